"""How the registered key frames of a video cover it.

    video.py WORK [--truth GT]

Prints how many key frames are registered (30 points or more), the share of
the duration that they span and the longest gap. With --truth (a folder with
images.txt, COLMAP text, a pose per frame): for every 15 degrees of azimuth
that the camera passed whether a registered frame lies there, and the
distance of the camera centres and the angle between the rotations after a
similarity alignment (a video decoded sideways shows in the latter alone).
Exit 1 where fewer than 40 span less than 95 %, a gap exceeds 1.5 s, a step of
azimuth is empty, or the means are over 3 mm or 1 degree.
"""
import argparse
import json
import pathlib
import sys

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("work", type=pathlib.Path)
parser.add_argument("--truth", type=pathlib.Path)
parser.add_argument("--duration", type=float, help="seconds; default: from the last key frame")
args = parser.parse_args()

photos = json.loads((args.work / "ingest/photos.json").read_text())["photos"]
outcome = json.loads((args.work / "sparse/photos.json").read_text())
placed = {r["name"] for r in outcome if r["registered"] and r["points"] >= 30}
times = sorted(p["time_s"] for p in photos if p["name"] in placed)
duration = args.duration or max(p["time_s"] for p in photos)
gaps = np.diff(times)
span = (times[-1] - times[0]) / duration
print(f"  {len(times)} of {len(photos)} key frames registered, spanning {100 * span:.1f} % of "
      f"{duration:.1f} s, longest gap {gaps.max():.2f} s")
failed = len(times) < 40 or span < 0.95 or gaps.max() > 1.5


def poses(images_txt):
    """Frame name to camera centre and rotation from the world; COLMAP text."""
    found = {}
    lines = [line for line in images_txt.read_text().splitlines() if not line.startswith("#")]
    for line in lines:
        words = line.split()
        if len(words) == 10 and words[9].lower().endswith((".png", ".jpg")):
            w, x, y, z, *t = map(float, words[1:8])
            rotation = np.array([
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ])
            found[words[9]] = (-rotation.T @ np.array(t), rotation)
    return found


if args.truth:
    import pycolmap

    truth = poses(args.truth / "images.txt")
    model = pycolmap.Reconstruction(args.work / "sparse/model")
    pairs = [
        (i.projection_center(), i.cam_from_world().rotation.matrix(),
         *truth[pathlib.PurePosixPath(i.name).name])
        for i in model.images.values()
        if i.has_pose and i.name in placed
    ]
    ours, our_turns, theirs, their_turns = (np.array(side) for side in zip(*pairs))
    mean_a, mean_b = ours.mean(0), theirs.mean(0)
    u, s, vt = np.linalg.svd((theirs - mean_b).T @ (ours - mean_a))
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ flip @ vt
    scale = (s * np.diag(flip)).sum() / ((ours - mean_a) ** 2).sum()
    distance = np.linalg.norm(scale * (ours - mean_a) @ rotation.T + mean_b - theirs, axis=1)
    turns = our_turns @ rotation.T @ their_turns.transpose(0, 2, 1)
    angles = np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    path = np.array([c for c, _ in truth.values()])
    # The plane of the orbit: least spread of the centres.
    middle = path.mean(0)
    across = np.linalg.svd(path - middle, full_matrices=False)[2]
    azimuth = lambda c: np.degrees(np.arctan2((c - middle) @ across[1], (c - middle) @ across[0])) % 360
    passed = set((azimuth(path) // 15).astype(int))
    met = set((azimuth(theirs) // 15).astype(int))
    print(f"  camera centres {1000 * distance.mean():.2f} mm mean, {1000 * distance.max():.2f} mm max, "
          f"rotations {angles.mean():.3f} degrees; "
          f"{len(passed & met)} of {len(passed)} steps of azimuth have a frame")
    failed |= bool(passed - met) or distance.mean() > 0.003 or angles.mean() > 1.0

sys.exit(int(failed))
