"""Hangs a mirror into a rendered set: photos of a room with a mirror, with truth.

    mirror.py SET OUT [--axis x] [--at 0.05] [--across 1.4 2.6 0.95 1.95]
                      [--photos 8-19,21] [--half]

The mirror lies at `--at` metres of an axis and faces to larger values;
`--across` are its ranges along the two other axes. It is framed by 5 cm. What a
pixel of it shows is found by a ray reflected at it, which meets the true surface
(SET/gt/mesh.ply); the colour there is the mean of the photos that see the place,
the more of those that look along the ray. Needs numpy, Open3D and OpenCV. With
`--half` photos have half the size. datasets/mirror is the room with
`--photos 8-19,21,23,25,28,30,32,34,36 --half`.
"""
import argparse
import pathlib
import shutil

import cv2
import numpy as np
import open3d as o3d

FRAME_M = 0.05
SEEN_M = 0.006
SHINE = 0.93


class Photo:
    """A photo with its true camera (SIMPLE_RADIAL)."""

    def __init__(self, fields, camera, folder):
        w, x, y, z = map(float, fields[1:5])
        self.rotation = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
        self.translation = np.array([float(v) for v in fields[5:8]])
        self.center = -self.rotation.T @ self.translation
        self.name = fields[9]
        self.f, self.cx, self.cy, self.k = camera
        self.picture = cv2.imread(str(folder / self.name)).astype(np.float32)

    def project(self, x):
        c = x @ self.rotation.T + self.translation
        u = c[:, :2] / np.maximum(c[:, 2:], 1e-6)
        u *= 1 + self.k * (u ** 2).sum(1, keepdims=True)
        return self.f * u + [self.cx, self.cy], c[:, 2]

    def rays(self):
        height, width = self.picture.shape[:2]
        y, x = np.mgrid[:height, :width] + 0.5
        distorted = np.stack([(x.ravel() - self.cx) / self.f, (y.ravel() - self.cy) / self.f], 1)
        u = distorted
        for _ in range(8):
            u = distorted / (1 + self.k * (u ** 2).sum(1, keepdims=True))
        return np.column_stack([u, np.ones(len(u))]) @ self.rotation

    def sample(self, px):
        parts = np.array_split((px - 0.5).astype(np.float32), len(px) // 30000 + 1)
        return np.concatenate([
            cv2.remap(self.picture, p[:, :1], p[:, 1:], cv2.INTER_LINEAR)[:, 0] for p in parts])


def read_mesh(path):
    with open(path, "rb") as f:
        counts = []
        while (line := f.readline().split()) != [b"end_header"]:
            if line[0] == b"element":
                counts.append(int(line[2]))
        vertices = np.frombuffer(f.read(12 * counts[0]), "<f4").reshape(-1, 3)
        face = np.dtype([("n", "u1"), ("i", "<i4", 3), ("label", "u1"), ("visible", "u1")])
        faces = np.frombuffer(f.read(face.itemsize * counts[1]), face)["i"]
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(vertices.copy()), o3d.core.Tensor(faces.astype(np.uint32)))
    return scene


def hits(scene, origins, directions):
    rays = np.column_stack([origins, directions]).astype(np.float32)
    return scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy()


def colors(scene, photos, places, toward):
    """Of surface points, as they look from along unit directions."""
    total, weights = np.zeros((len(places), 3)), np.zeros(len(places))
    for photo in photos:
        px, depth = photo.project(places)
        height, width = photo.picture.shape[:2]
        inset = np.minimum(px, [width, height] - px).min(1)
        at = np.flatnonzero((depth > 0.1) & (inset > 1))
        way = places[at] - photo.center
        distance = np.linalg.norm(way, axis=1)
        seen = np.abs(hits(scene, np.tile(photo.center, (len(at), 1)), way) - 1) * distance < SEEN_M
        at, way, distance = at[seen], way[seen], distance[seen]
        if len(at) == 0:
            continue
        cosine = -(way * toward[at]).sum(1) / distance
        weight = (np.clip(inset[at] - 1, 0, 60) / distance) ** 4 * (0.05 + np.clip(cosine, 0, 1) ** 4)
        total[at] += weight[:, None] * photo.sample(px[at])
        weights[at] += weight
    return np.where(weights[:, None] > 0, total / np.maximum(weights[:, None], 1e-30), 50)


def with_mirror(scene, photos, photo, axis, at, across):
    others = [a for a in range(3) if a != axis]
    picture = photo.picture.copy()
    directions = photo.rays()
    with np.errstate(divide="ignore"):
        t = (at - photo.center[axis]) / directions[:, axis]
    crossing = photo.center + np.where(np.isfinite(t), t, 0)[:, None] * directions
    from_edge = np.min([
        np.minimum(crossing[:, o] - low, high - crossing[:, o])
        for o, (low, high) in zip(others, across)], axis=0)
    idx = np.flatnonzero((t > 0) & (directions[:, axis] < 0) & (from_edge > -FRAME_M))
    surface = hits(scene, np.tile(photo.center, (len(idx), 1)), directions[idx])
    idx = idx[surface > t[idx] - 1e-4]
    flat = picture.reshape(-1, 3)
    frame = idx[from_edge[idx] <= 0]
    flat[frame] = np.array([30, 45, 70]) * (0.8 + 0.4 * np.sin(40 * crossing[frame].sum(1)))[:, None]
    idx = idx[from_edge[idx] > 0]
    if len(idx) > 0:
        turned = directions[idx].copy()
        turned[:, axis] *= -1
        turned /= np.linalg.norm(turned, axis=1, keepdims=True)
        way = hits(scene, crossing[idx] + 1e-4 * turned, turned)
        places = crossing[idx] + np.where(np.isfinite(way), way, 8)[:, None] * turned
        flat[idx] = SHINE * colors(scene, photos, places, -turned)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def numbers(text):
    for part in text.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--axis", choices="xyz", default="x")
    parser.add_argument("--at", type=float, default=0.05)
    parser.add_argument("--across", type=float, nargs=4, default=[1.4, 2.6, 0.95, 1.95])
    parser.add_argument("--photos", type=numbers)
    parser.add_argument("--half", action="store_true")
    asked = parser.parse_args()
    scene = read_mesh(asked.set / "gt/mesh.ply")
    head, camera = (asked.set / "gt/cameras.txt").read_text().splitlines()[:2]
    camera = camera.split()
    intrinsics = [float(v) for v in camera[4:]]
    lines = [line.split() for line in (asked.set / "gt/images.txt").read_text().splitlines()]
    lines = [f for f in lines if len(f) == 10]
    photos = [Photo(f, intrinsics, asked.set / "images") for f in lines]
    keep = None if asked.photos is None else {f"{n:04}.jpg" for n in asked.photos}
    for folder in ("images", "gt"):
        (asked.out / folder).mkdir(parents=True, exist_ok=True)
    shares = 2 if asked.half else 1
    size = [int(v) // shares for v in camera[2:4]]
    values = [v / shares for v in intrinsics[:3]] + intrinsics[3:]
    text = f"{head}\n1 {camera[1]} {size[0]} {size[1]} " + " ".join(f"{v:.12g}" for v in values)
    (asked.out / "gt/cameras.txt").write_text(text + "\n")
    shutil.copy(asked.set / "gt/points3D.txt", asked.out / "gt")
    poses = ["# IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then an (empty) line of 2D points"]
    across = [asked.across[:2], asked.across[2:]]
    for fields, photo in zip(lines, photos):
        if keep is None or photo.name in keep:
            picture = with_mirror(scene, photos, photo, "xyz".index(asked.axis), asked.at, across)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            quality = [cv2.IMWRITE_JPEG_QUALITY, 88 if asked.half else 95]
            cv2.imwrite(str(asked.out / "images" / photo.name), picture, quality)
            poses += [" ".join(fields), ""]
            print(photo.name, flush=True)
    (asked.out / "gt/images.txt").write_text("\n".join(poses) + "\n")


if __name__ == "__main__":
    main()
