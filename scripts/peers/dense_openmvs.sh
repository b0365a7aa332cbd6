#!/bin/sh
# Poses to a dense cloud with OpenMVS, where somebody built it: MODEL IMAGES OUT
# MODEL: undistorted COLMAP model; IMAGES: its photos. The cloud is OUT/scene_dense.ply.
set -eu
mkdir -p "$3/sparse"
cp "$1"/* "$3/sparse/"
ln -sfn "$(realpath "$2")" "$3/images"
InterfaceCOLMAP -i "$3" -o "$3/scene.mvs" -w "$3" --image-folder "$3/images"
DensifyPointCloud "$3/scene.mvs" -o "$3/scene_dense.mvs" -w "$3" --resolution-level 1 --cuda-device -2
