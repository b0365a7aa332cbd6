"""A problem with the statistics of Ladybug (Agarwal et al., ECCV 2010): CAMERAS POINTS OBSERVATIONS OUT.

A vehicle drives a street with bends, a metre a picture; pictures are 512 by 384 at a focal length of about 400
px; points stand along the road and are seen by about four near pictures each. Pixels are 0.7 px off, one in
200 by tens; the start has drifted poses, points that are moved and focal lengths that are 1 % wrong.
"""
import sys

import numpy as np

n_cameras, n_points, n_rows, out = (*map(int, sys.argv[1:4]), sys.argv[4])
rng = np.random.default_rng(n_cameras)


def turn(vector):
    angle = np.linalg.norm(vector)
    if angle < 1e-12:
        return np.eye(3)
    k = vector / angle
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def axis_angle(r):
    angle = np.arccos(np.clip((np.trace(r) - 1) / 2, -1, 1))
    axis = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    length = np.linalg.norm(axis)
    return axis / length * angle if length > 1e-12 else np.zeros(3)


# The world has y up; cameras look along −z and are turned a little to the side in turns.
heading = np.cumsum(0.03 * np.convolve(rng.standard_normal(n_cameras + 40), np.ones(20) / 4, "same")[:n_cameras])
ahead = np.stack([-np.sin(heading), np.zeros(n_cameras), -np.cos(heading)], 1)
centres = np.cumsum(ahead, 0) + 0.02 * rng.standard_normal((n_cameras, 3))
side = np.array([0.0, 0.6, -0.6])[np.arange(n_cameras) % 3]
rotations = [turn(np.array([0, -h - s, 0])) @ turn(0.01 * rng.standard_normal(3))
             for h, s in zip(heading, side)]
focal = 400 * (1 + 0.002 * rng.standard_normal(n_cameras))


def pixel(camera, x):
    p = (x - centres[camera]) @ rotations[camera].T
    return p[2], -focal[camera] * p[:2] / p[2]


mean = n_rows / n_points
points, seen = [], []
while len(points) < n_points:
    base = rng.integers(n_cameras)
    depth = 10 * np.exp(0.6 * rng.standard_normal())
    ray = np.array([rng.uniform(-256, 256), rng.uniform(-192, 192), 0.0]) / focal[base]
    x = centres[base] + rotations[base].T @ (depth * (ray + [0, 0, -1]))
    near = [k for k in range(max(0, base - 12), min(n_cameras, base + 13))]
    visible = []
    for k in near:
        z, p = pixel(k, x)
        if z < -1 and abs(p[0]) < 256 and abs(p[1]) < 192:
            visible.append(k)
    wanted = 2 + rng.poisson(mean - 2)
    if len(visible) < 2:
        continue
    order = sorted(visible, key=lambda k: (abs(k - base), k))[:max(2, wanted + 1)]
    points.append(x)
    seen.append(sorted(order))
rows = [(k, j) for j, cameras in enumerate(seen) for k in cameras]
for k in set(range(n_cameras)) - {r[0] for r in rows}:
    sys.exit(f"camera {k} sees nothing")

lines = []
for k, j in rows:
    _, p = pixel(k, points[j])
    p = p + 0.7 * rng.standard_normal(2)
    if rng.random() < 0.005:
        p = p + 15 * rng.standard_normal(2)
    lines.append(f"{k} {j} {p[0]:.6e} {p[1]:.6e}")
drift = np.cumsum(0.004 * rng.standard_normal((n_cameras, 3)), 0)
with open(out, "w") as file:
    print(n_cameras, n_points, len(rows), file=file)
    file.write("\n".join(lines) + "\n")
    for k in range(n_cameras):
        r = turn(0.002 * rng.standard_normal(3)) @ rotations[k]
        t = -r @ (centres[k] + drift[k] + 0.01 * rng.standard_normal(3))
        values = [*axis_angle(r), *t, focal[k] * (1 + 0.01 * rng.standard_normal()), 0.0, 0.0]
        file.write("\n".join(f"{v:.16e}" for v in values) + "\n")
    for j, x in enumerate(points):
        x = x + drift[seen[j][0]] + 0.1 * rng.standard_normal(3)
        file.write("\n".join(f"{v:.16e}" for v in x) + "\n")
