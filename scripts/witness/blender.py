"""Opens a GLB in Blender without a window and says what arrived.

    blender --background --factory-startup --python-exit-code 1 --python blender.py -- MODEL.glb

Fails where the file does not import, has no faces, a mesh has no UV map, or
a material's base colour is not an image with pixels.
"""
import sys

import bpy
import numpy

# Blender 3.4's glTF importer asks numpy for a name that 1.24 dropped.
if "bool" not in numpy.__dict__:
    numpy.bool = bool

path = sys.argv[sys.argv.index("--") + 1]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=path)
meshes = [o for o in bpy.data.objects if o.type == "MESH"]
faces = sum(len(o.data.polygons) for o in meshes)
assert faces > 0, "no faces"
for o in meshes:
    assert o.data.uv_layers, f"{o.name} has no UV map"
    for slot in o.material_slots:
        nodes = slot.material.node_tree.nodes
        pictures = [n.image for n in nodes if n.type == "TEX_IMAGE" and n.image]
        assert pictures, f"{slot.material.name} has no picture"
        for picture in pictures:
            width, height = picture.size
            assert width > 0 and height > 0 and picture.pixels[0] >= 0.0, picture.name
low = [min((o.matrix_world @ v.co)[k] for o in meshes for v in o.data.vertices) for k in range(3)]
high = [max((o.matrix_world @ v.co)[k] for o in meshes for v in o.data.vertices) for k in range(3)]
size = " x ".join(f"{b - a:.3g}" for a, b in zip(low, high))
print(f"  Blender {bpy.app.version_string}: {len(meshes)} meshes, {faces} faces, "
      f"{len(bpy.data.images)} pictures, {size}")
