"""Depth of a Poisson octree whose cells are two point spacings wide, as ours: CLOUD.

CLOUD is a binary PLY of ours: 28 bytes a point, position first. Between 8 and 11: a level more costs four
times as much.
"""
import sys

import numpy
from scipy.spatial import cKDTree

data = open(sys.argv[1], "rb").read()
start = data.index(b"end_header\n") + 11
rows = numpy.frombuffer(data, numpy.uint8, offset=start).reshape(-1, 28)
points = rows[:, :12].copy().view("<f4").astype(float)
asked = points[:: max(1, len(points) // 20000)]
spacing = numpy.median(cKDTree(points).query(asked, 7)[0][:, 6]) * (numpy.pi / 6) ** 0.5
extent = (points.max(0) - points.min(0)).max()
print(int(numpy.clip(numpy.ceil(numpy.log2(1.1 * extent / (2 * spacing))), 8, 11)))
