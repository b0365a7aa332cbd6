"""Photos to poses with openmvg-rs: IMAGES OUT [SEED]. The model goes to OUT/sparse/0."""
import pathlib
import sys

import openmvg_rs

images, out = sys.argv[1], pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
chosen = {"seed": int(sys.argv[3])} if len(sys.argv) > 3 else {}
openmvg_rs.reconstruct(images, **chosen).write_colmap(str(out))
