"""Photos to poses with openmvg-rs: IMAGES OUT [SEED]. The model goes to OUT/sparse/0."""
import pathlib
import sys

import openmvg_rs

images, out = sys.argv[1], pathlib.Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
chosen = {"seed": int(sys.argv[3])} if len(sys.argv) > 3 else {}
openmvg_rs.reconstruct(images, **chosen).write_colmap(str(out))

# Photos that were undistorted for it get their own names back.
table = pathlib.Path(images) / "names.tsv"
if table.is_file():
    names = dict(line.split("\t") for line in table.read_text().splitlines())
    path = out / "sparse" / "0" / "images.txt"
    rows = [row.rsplit(" ", 1) for row in path.read_text().split("\n")]
    path.write_text("\n".join(" ".join([*row[:-1], names.get(row[-1], row[-1])]) for row in rows))
