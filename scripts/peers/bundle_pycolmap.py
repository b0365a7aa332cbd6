"""Ceres, as pycolmap drives it, on a problem of "bundle adjustment in the large": PROBLEM OUT.json.

Squared loss, up to 50 iterations, f, k1 and k2 of every camera free: what our solver does.
"""
import json
import sys
import time

import numpy as np
import pycolmap

numbers = np.fromstring(open(sys.argv[1]).read(), sep=" ")
n_cameras, n_points, n_rows = numbers[:3].astype(int)
rows = numbers[3:3 + 4 * n_rows].reshape(-1, 4)
cameras = numbers[3 + 4 * n_rows:3 + 4 * n_rows + 9 * n_cameras].reshape(-1, 9)
points = numbers[3 + 4 * n_rows + 9 * n_cameras:].reshape(-1, 3)
flip = np.diag([1.0, -1.0, -1.0])

model = pycolmap.Reconstruction()
places = [[] for _ in range(n_cameras)]
tracks = [[] for _ in range(n_points)]
for camera, point, x, y in rows:
    tracks[int(point)].append((int(camera) + 1, len(places[int(camera)])))
    places[int(camera)].append((x, -y))
for k, c in enumerate(cameras):
    camera = pycolmap.Camera(camera_id=k + 1, model="RADIAL", width=1, height=1,
                             params=[c[6], 0.0, 0.0, c[7], c[8]])
    angle = np.linalg.norm(c[:3])
    turn = pycolmap.Rotation3d(c[:3]).matrix() if angle else np.eye(3)
    image = pycolmap.Image(f"{k}", np.array(places[k]).reshape(-1, 2), k + 1, k + 1)
    model.add_camera_with_trivial_rig(camera)
    model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(pycolmap.Rotation3d(flip @ turn), flip @ c[3:6]))
for k, x in enumerate(points):
    track = pycolmap.Track([pycolmap.TrackElement(i, p) for i, p in tracks[k]])
    model.add_point3D(x, track)


def cost():
    total = 0.0
    for image in model.images.values():
        camera, pose = image.camera, image.cam_from_world()
        seen = [p for p in image.points2D if p.has_point3D()]
        if not seen:
            continue
        xyz = np.array([model.points3D[p.point3D_id].xyz for p in seen])
        xyz = xyz @ pose.rotation.matrix().T + pose.translation
        p = xyz[:, :2] / xyz[:, 2:]
        f, _, _, k1, k2 = camera.params
        r2 = (p ** 2).sum(1, keepdims=True)
        off = f * p * (1 + r2 * (k1 + k2 * r2)) - np.array([q.xy for q in seen])
        total += (off ** 2).sum()
    return 0.5 * total


options = pycolmap.BundleAdjustmentOptions()
options.refine_focal_length = options.refine_extra_params = True
options.refine_principal_point = False
options.print_summary = False
solver = options.ceres.solver_options if hasattr(options, "ceres") else options.solver_options
solver.max_num_iterations = 50
config = pycolmap.BundleAdjustmentConfig()
for k in range(n_cameras):
    config.add_image(k + 1)
before = cost()
started = time.monotonic()
adjuster = pycolmap.create_default_bundle_adjuster(options, config, model)
summary = adjuster.solve()
wall = time.monotonic() - started
after = cost()
rows = [("rms", (2 * after / n_rows) ** 0.5, "px"), ("wall", wall, "s"), ("initial_cost", before, "px2"),
        ("final_cost", after, "px2")]
json.dump({"rows": [dict(metric=m, value=v, unit=u) for m, v, u in rows]}, open(sys.argv[2], "w"))
