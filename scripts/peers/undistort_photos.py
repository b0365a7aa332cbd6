"""Photos without distortion and their K.txt, for a peer that knows none: IMAGES MODEL:PARAMS OUT."""
import pathlib
import sys

import pycolmap

images, (model, params), out = pathlib.Path(sys.argv[1]), sys.argv[2].split(":"), pathlib.Path(sys.argv[3])
out.mkdir(parents=True, exist_ok=True)
names = []
for path in sorted(images.iterdir()):
    photo = pycolmap.Bitmap.read(path, as_rgb=True)
    if photo is None:
        continue
    camera = pycolmap.Camera(
        model=model, width=photo.width, height=photo.height, params=[float(p) for p in params.split(",")])
    photo, camera = pycolmap.undistort_image(pycolmap.UndistortCameraOptions(), photo, camera)
    name = path.with_suffix(".png").name
    photo.write(out / name)
    names.append(f"{name}\t{path.name}\n")
matrix = camera.calibration_matrix()
# What they were called, for the model that comes of them.
(out / "names.tsv").write_text("".join(names))
(out / "K.txt").write_text("\n".join(" ".join(map(str, row)) for row in matrix) + "\n")
