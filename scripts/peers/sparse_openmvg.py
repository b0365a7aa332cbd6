"""Photos to poses with openmvg-rs: IMAGES OUT. The model goes to OUT/sparse/0."""
import pathlib
import sys

import openmvg_rs

images, out = sys.argv[1], pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
openmvg_rs.reconstruct(images).write_colmap(str(out))
