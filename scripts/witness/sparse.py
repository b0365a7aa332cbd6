"""What pycolmap says of a work folder's sparse model.

    sparse.py WORK [--photos DIR [--only-count]]

Loads WORK/sparse/model and compares its mean reprojection error with the one
in WORK/report/report.json (at most 1e-3 px apart). With --photos, pycolmap
reconstructs the same photos at its defaults (kept beside WORK), and the
median angle between the relative rotations of the two models is printed; it
and the number of registered photos decide the exit code: under 0.5 degrees,
and at least 95 % of the photos given or as many as pycolmap placed (with
--only-count the latter alone, where that model is no reference).
"""
import argparse
import itertools
import json
import pathlib
import sys

import numpy as np
import pycolmap

parser = argparse.ArgumentParser()
parser.add_argument("work", type=pathlib.Path)
parser.add_argument("--photos", type=pathlib.Path)
parser.add_argument("--only-count", action="store_true")
args = parser.parse_args()

report = json.loads((args.work / "report/report.json").read_text())
ours = pycolmap.Reconstruction(args.work / "sparse/model")
error = ours.compute_mean_reprojection_error()
own_error = report["stages"]["sparse"]["mean_error_px"]
print(f"  pycolmap {pycolmap.__version__}: {ours.num_reg_images()} photos, "
      f"{ours.num_points3D()} points, mean reprojection error {error:.4f} px (ours {own_error:.4f})")
failed = abs(error - own_error) > 1e-3


def rotations(model):
    return {i.name: i.cam_from_world().rotation.matrix() for i in model.images.values() if i.has_pose}


def reference(photos, out):
    """The largest model of pycolmap at its defaults, made once."""
    if not (out / "images.bin").exists():
        out.mkdir(parents=True, exist_ok=True)
        database = out / "database.db"
        database.unlink(missing_ok=True)
        pycolmap.extract_features(database, photos)
        pycolmap.match_exhaustive(database)
        models = pycolmap.incremental_mapping(database, photos, out)
        max(models.values(), key=lambda m: m.num_reg_images()).write(out)
    return pycolmap.Reconstruction(out)


if args.photos:
    theirs = reference(args.photos, args.work.with_suffix(".pycolmap"))
    a, b = rotations(ours), rotations(theirs)
    common = sorted(a.keys() & b.keys())
    angles = []
    for i, j in itertools.combinations(common, 2):
        difference = (a[i] @ a[j].T).T @ (b[i] @ b[j].T)
        angles.append(np.degrees(np.arccos(np.clip((np.trace(difference) - 1) / 2, -1, 1))))
    median = float(np.median(angles)) if angles else float("nan")
    print(f"  beside pycolmap's model: {len(a)} against {len(b)} photos placed, "
          f"median relative rotation {median:.4f} degrees over {len(angles)} pairs")
    enough = report["registered"] >= min(0.95 * report["given"], len(b))
    failed |= not (enough and (args.only_count or median < 0.5))

sys.exit(int(failed))
