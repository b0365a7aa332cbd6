#!/bin/sh
# Poses to a dense cloud with OpenMVS, where somebody built it: FOLDER
# FOLDER: images/ and sparse/ of an undistorted COLMAP model. The cloud is
# FOLDER/scene_dense.ply.
set -eu
# OpenMVS takes relative paths from its working folder.
folder=$(cd "$1" && pwd)
# A build without CUDA may not know the option that turns it off.
cpu=""
case "$(DensifyPointCloud --help -w "$folder" 2>&1)" in
    *cuda-device*) cpu="--cuda-device -2" ;;
esac
InterfaceCOLMAP -i "$folder" -o "$folder/scene.mvs" -w "$folder"
# shellcheck disable=SC2086
DensifyPointCloud "$folder/scene.mvs" -o "$folder/scene_dense.mvs" -w "$folder" --resolution-level 1 $cpu
