"""Measure region proposals: how often a box meets the object, and what it costs, all sides in one run.

    python benchmarks/proposals.py [--dataset FOLDER] [--weights FOLDER] [--every 1] [--json]

The photos are the queries of Stanford Mobile Visual Search, DVD covers. Where the cover is in each is found by
matching SIFT with its reference (ratio test, MAGSAC homography, 15 inliers or more); photos where that fails are
left out. A side's box meets the cover where their intersection over union is above 0.5, or 0.7; given for its
best box and for the best among its first five and twenty. Milliseconds an image are medians of processor time,
without decoding and, for proposals from activations, without the pass that makes the map, which describing needs
anyhow.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from kindred.backbones import load
from kindred.backbones.detector import load_detector
from kindred.images import decode, resize
from kindred.proposals import activation_proposals
from kindred.regions import divide

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
FIRST = (1, 5, 20)
Source = TypeVar("Source")
Row = dict[str, str | float]
Pixels = NDArray[np.uint8]
Shares = NDArray[np.float64]
"""Boxes as shares of the image, x0 y0 x1 y1."""


def cover_box(photo: Path, reference: Path) -> Shares | None:
    """Return the box of the reference in the photo, (4,), or None where too little matches."""
    sift = cv2.SIFT.create(1500)
    images = [resize(decode(path.read_bytes(), longest=640).pixels, longest=640) for path in (reference, photo)]
    (points, codes), (its_points, its_codes) = (
        sift.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None) for image in images
    )
    pairs = [a for a, b in cv2.BFMatcher().knnMatch(codes, its_codes, k=2) if a.distance < 0.75 * b.distance]
    if len(pairs) < 15:
        return None
    here = np.array([points[pair.queryIdx].pt for pair in pairs], np.float32)
    there = np.array([its_points[pair.trainIdx].pt for pair in pairs], np.float32)
    homography, inliers = cv2.findHomography(here, there, cv2.USAC_MAGSAC, 4.0)
    if homography is None or inliers.sum() < 15:
        return None
    (height, width), size = images[0].shape[:2], np.array(images[1].shape[1::-1])
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    seen = np.clip(cv2.perspectiveTransform(corners, homography)[0] / size, 0, 1)
    box = np.concatenate([seen.min(axis=0), seen.max(axis=0)])
    return box if cv2.isContourConvex((seen * size).astype(np.int32)) and (box[2:] - box[:2]).min() > 0.1 else None


def photos(dataset: Path, every: int) -> tuple[list[Pixels], Shares]:
    """Return photos, 320 pixels long as recipes have them, and the box of the cover in each, (N, 4)."""
    queries = json.loads((dataset / "groundtruth.json").read_text())["queries"]
    images, boxes = [], []
    for name, query in sorted(queries.items())[::every]:
        box = cover_box(dataset / name, dataset / query["relevant"][0])
        if box is not None:
            images.append(resize(decode((dataset / name).read_bytes(), longest=320).pixels, longest=320, multiple=32))
            boxes.append(box)
    return images, np.array(boxes)


def overlaps(box: Shares, boxes: Shares) -> Shares:
    """Return the intersection over union of one box with each of (R, 4)."""
    sides = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0)
    shared = sides.prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    found: Shares = shared / union
    return found


def measure(name: str, sources: Sequence[Source], propose: Callable[[Source], Shares], truth: Shares) -> Row:
    """Return one row: how often the first boxes meet the truth, and the milliseconds."""
    propose(sources[0])
    times: list[float] = []
    best: dict[int, list[float]] = {first: [] for first in FIRST}
    count = 0
    for source, box in zip(sources, truth, strict=True):
        start = time.process_time()
        boxes = propose(source)
        times.append(1e3 * (time.process_time() - start))
        count += len(boxes)
        for first in FIRST:
            best[first].append(overlaps(box, boxes[:first]).max(initial=0))
    row: Row = {"side": name, "ms": float(np.median(times)), "boxes": count / len(truth)}
    for first in FIRST:
        row |= {f"{iou}@{first}": float(np.mean(np.array(best[first]) > iou)) for iou in (0.5, 0.7)}
    return row


def from_activations(maps: NDArray[np.float32], *, channels: int = 8) -> Shares:
    boxes, _ = activation_proposals(maps, channels=channels)
    return boxes / np.array([maps.shape[2], maps.shape[1]] * 2, np.float64)


def sides(images: list[Pixels], truth: Shares, weights: Path) -> list[Row]:
    def size(image: Pixels) -> Shares:
        return np.array([image.shape[1], image.shape[0]] * 2, np.float64)

    detector = load_detector(weights / "ssd_mobilenet_v1_coco.onnx", threads=1)
    rows = [
        measure("whole image", images, lambda _: np.array([[0.0, 0.0, 1.0, 1.0]]), truth),
        measure(
            "dense, 0.75 and 0.5",
            images,
            lambda image: divide(image.shape[1], image.shape[0], "dense", sizes=(0.75, 0.5)).boxes / size(image),
            truth,
        ),
        measure("SSD MobileNetV1", images, lambda image: detector.propose(image[None])[0][0] / size(image), truth),
    ]
    for model in ("kin", str(weights / "mobilenet_v2.onnx")):
        engine = load(model, threads=1)
        maps = [engine.run(image[None])[0][0] for image in images]
        label = Path(model).stem
        rows.append(measure(f"{label}, energy alone", maps, partial(from_activations, channels=0), truth))
        rows.append(measure(f"{label}, as by default", maps, from_activations, truth))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=SHARED / "data" / "smvs-dvd", help="(default: %(default)s)")
    parser.add_argument(
        "--weights", type=Path, default=SHARED / "weights", help="of the networks (default: %(default)s)"
    )
    parser.add_argument("--every", type=int, default=1, help="take only each so-manieth photo (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not options.dataset.is_dir() or not options.weights.is_dir():
        print("proposals.py: needs the development data smvs-dvd and the networks of ../shared; nothing was measured")
        return
    cv2.setNumThreads(1)
    images, truth = photos(options.dataset, options.every)
    rows = sides(images, truth, options.weights)
    if options.json:
        print(json.dumps({"date": str(date.today()), "photos": len(images), "rows": rows}))
        return
    print(f"{date.today()}  {platform.machine()}, {os.cpu_count()} cores  Python {platform.python_version()}")
    print(f"{len(images)} photos; how often a box meets the cover, IoU above 0.5 / 0.7")
    print(f"{'':28}{'ms':>7}{'boxes':>7}" + "".join(f"{f'first {first}':>14}" for first in FIRST))
    for row in rows:
        shares = "".join(f"{row[f'0.5@{first}']:8.2f} /{row[f'0.7@{first}']:5.2f}" for first in FIRST)
        print(f"{row['side']:28}{row['ms']:7.2f}{row['boxes']:7.1f}{shares}")


if __name__ == "__main__":
    main()
