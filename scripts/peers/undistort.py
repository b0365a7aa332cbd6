"""An undistorted model and its photos for OpenMVS: MODEL IMAGES HELD-OUT-LIST OUT."""
import pathlib
import sys

import pycolmap

model, images, held, out = sys.argv[1:5]
held = pathlib.Path(held)
left = set(held.read_text().split("\n")) if held.exists() else set()
names = [i.name for i in pycolmap.Reconstruction(model).images.values() if i.name not in left]
pycolmap.undistort_images(out, model, images, image_names=names)
# Older versions of OpenMVS read models as text alone.
pycolmap.Reconstruction(f"{out}/sparse").write_text(f"{out}/sparse")
