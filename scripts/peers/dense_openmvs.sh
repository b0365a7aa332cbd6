#!/bin/sh
# Poses to a dense cloud with OpenMVS, where somebody built it: FOLDER
# FOLDER: images/ and sparse/ of an undistorted COLMAP model. The cloud is
# FOLDER/scene_dense.ply.
set -eu
InterfaceCOLMAP -i "$1" -o "$1/scene.mvs" -w "$1" --image-folder "$1/images"
DensifyPointCloud "$1/scene.mvs" -o "$1/scene_dense.mvs" -w "$1" --resolution-level 1 --cuda-device -2
