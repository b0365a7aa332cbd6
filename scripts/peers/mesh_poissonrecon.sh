#!/bin/sh
# Cloud with normals to surface with PoissonRecon, where somebody built it: CLOUD OUT.ply DEPTH
# What the finest three levels of the octree saw no points of is cut away.
set -eu
raw="${2%.ply}-whole.ply"
PoissonRecon --in "$1" --out "$raw" --depth "$3" --density
SurfaceTrimmer --in "$raw" --out "$2" --trim "$(($3 - 3))"
rm -f "$raw"
