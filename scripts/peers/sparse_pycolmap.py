"""Photos to poses with pycolmap: IMAGES PAIRS OUT incremental|global [SEED MODEL:PARAMS].

The model goes to OUT/model. With MODEL:PARAMS all photos have this camera, and it stays.

PAIRS keeps features and matches, which are the same for both mappers, with their cost (cost.json): the
second run takes them over, and the harness adds that cost to its own.
"""
import json
import pathlib
import resource
import shutil
import sys
import time

import pycolmap

images, pairs, out, mapper = (*map(pathlib.Path, sys.argv[1:4]), sys.argv[4])
pairs.mkdir(parents=True, exist_ok=True)
out.mkdir(parents=True, exist_ok=True)
cost, matched = pairs / "cost.json", pairs / "database.db"
seed, camera = (int(sys.argv[5]), sys.argv[6].split(":")) if len(sys.argv) > 6 else (0, None)
pycolmap.set_random_seed(seed)
reader = pycolmap.ImageReaderOptions()
if camera:
    reader.camera_model, reader.camera_params = camera
if not cost.exists():
    started = time.monotonic()
    matched.unlink(missing_ok=True)
    pycolmap.extract_features(
        matched, images, camera_mode=pycolmap.CameraMode.SINGLE, reader_options=reader)
    pycolmap.match_exhaustive(matched)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cost.write_text(json.dumps({
        "wall_s": time.monotonic() - started,
        "cpu_s": used.ru_utime + used.ru_stime,
        "rss_mib": used.ru_maxrss / 1024,
    }))
database = out / "database.db"
shutil.copy(matched, database)
if mapper == "incremental":
    options = pycolmap.IncrementalPipelineOptions(random_seed=seed) if camera else {}
    if camera:
        options.ba_refine_focal_length = options.ba_refine_extra_params = False
    models = pycolmap.incremental_mapping(database, images, out, options=options)
else:
    options = pycolmap.GlobalPipelineOptions(random_seed=seed) if camera else {}
    if camera:
        solver = options.mapper.bundle_adjustment
        solver.refine_focal_length = solver.refine_extra_params = False
    elif hasattr(pycolmap, "calibrate_view_graph"):
        # Without this the mapper would trust the focal length that was guessed.
        pycolmap.calibrate_view_graph(database)
    models = pycolmap.global_mapping(database, images, out, options=options)
if not models:
    sys.exit("no model")
best = max(models.values(), key=lambda m: m.num_reg_images())
(out / "model").mkdir(exist_ok=True)
best.write(out / "model")
