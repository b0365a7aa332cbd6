"""A sparse model as a problem of "bundle adjustment in the large", moved off its optimum: MODEL PROBLEM.

A camera a photo; pixels are those of its focal length without distortion. Cameras are turned by about 0.2°
and moved by 0.2 % of the scene's size, points moved as far, focal lengths changed by 1 %.
"""
import sys

import numpy as np
import pycolmap

model = pycolmap.Reconstruction(sys.argv[1])
rng = np.random.default_rng(1)
flip = np.diag([1.0, -1.0, -1.0])  # The problem's cameras look along −z, y up.
images = sorted((i for i in model.images.values() if i.has_pose), key=lambda i: i.name)
index = {image.image_id: k for k, image in enumerate(images)}
points = sorted(model.points3D.items())
centres = np.array([i.projection_center() for i in images])
size = np.median(np.linalg.norm(centres - np.median(centres, axis=0), axis=1)) or 1.0

rows, cameras = [], []
for image in images:
    camera = model.cameras[image.camera_id]
    focal = camera.mean_focal_length()
    pose = image.cam_from_world()
    turn = flip @ pycolmap.Rotation3d(0.0035 * rng.standard_normal(3)).matrix() @ pose.rotation.matrix()
    centre = image.projection_center() + 0.002 * size * rng.standard_normal(3)
    axis = pycolmap.Rotation3d(turn)
    angle = axis.angle()
    quat = np.asarray(axis.quat)  # x y z w
    sine = np.linalg.norm(quat[:3])
    vector = quat[:3] / sine * 2 * np.arctan2(sine, quat[3]) if sine > 0 else np.zeros(3)
    cameras.append([*vector, *(-turn @ centre), focal * (1 + 0.01 * rng.standard_normal()), 0.0, 0.0])
seen = 0
for number, (_, point) in enumerate(points):
    for element in point.track.elements:
        image = model.images[element.image_id]
        camera = model.cameras[image.camera_id]
        ray = camera.cam_from_img(image.points2D[element.point2D_idx].xy)
        if element.image_id in index and ray is not None and np.isfinite(ray).all():
            focal = camera.mean_focal_length()
            rows.append(f"{index[element.image_id]} {number} {focal * ray[0]:.6f} {-focal * ray[1]:.6f}")
with open(sys.argv[2], "w") as out:
    print(len(cameras), len(points), len(rows), file=out)
    out.write("\n".join(rows) + "\n")
    for camera in cameras:
        out.write("\n".join(f"{v:.12e}" for v in camera) + "\n")
    for _, point in points:
        out.write("\n".join(f"{v:.12e}" for v in point.xyz + 0.002 * size * rng.standard_normal(3)) + "\n")
