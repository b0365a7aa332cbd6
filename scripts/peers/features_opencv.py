"""SIFT of a folder of photos with OpenCV: IMAGES OUT.json."""
import json
import pathlib
import sys

import cv2

sift = cv2.SIFT_create(nfeatures=8192)
counts = []
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is not None:
        counts.append(len(sift.detectAndCompute(grey, None)[0]))
pathlib.Path(sys.argv[2]).write_text(json.dumps({"keypoints": sum(counts), "photos": len(counts)}))
