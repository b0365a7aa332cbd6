"""Photos to poses with pycolmap: IMAGES OUT incremental|global. The model goes to OUT/model."""
import pathlib
import sys

import pycolmap

images, out, mapper = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
out.mkdir(parents=True, exist_ok=True)
database = out / "database.db"
database.unlink(missing_ok=True)
pycolmap.set_random_seed(0)
pycolmap.extract_features(database, images, camera_mode=pycolmap.CameraMode.SINGLE)
pycolmap.match_exhaustive(database)
if mapper == "incremental":
    models = pycolmap.incremental_mapping(database, images, out)
else:
    # Without this the mapper would trust the focal length that was guessed.
    if hasattr(pycolmap, "calibrate_view_graph"):
        pycolmap.calibrate_view_graph(database)
    models = pycolmap.global_mapping(database, images, out)
if not models:
    sys.exit("no model")
best = max(models.values(), key=lambda m: m.num_reg_images())
(out / "model").mkdir(exist_ok=True)
best.write(out / "model")
