#!/bin/sh
# Surface to textured model with OpenMVS, where somebody built it: FOLDER MESH
# FOLDER: images/ and sparse/ of an undistorted COLMAP model, in whose frame the mesh is. The model is
# FOLDER/scene_texture.glb.
set -eu
# OpenMVS takes relative paths from its working folder.
folder=$(cd "$1" && pwd)
mesh=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
InterfaceCOLMAP -i "$folder" -o "$folder/scene.mvs" -w "$folder"
TextureMesh "$folder/scene.mvs" -m "$mesh" -o "$folder/scene_texture.mvs" -w "$folder" --export-type glb
