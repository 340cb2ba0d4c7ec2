"""Data sets: the published benchmarks of the field, read in the layouts in which they are published.

A new one is a reader (folder → GroundTruth, without downloads) and a line of `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

from kindred.errors import UsageError
from kindred.evaluation.buildings import (
    is_oxford,
    is_paris,
    is_revisited,
    read_oxford,
    read_paris,
    read_revisited,
    refuse_pickle,
)
from kindred.evaluation.classes import (
    is_cars,
    is_classes,
    is_cub,
    is_sop,
    read_cars,
    read_classes,
    read_cub,
    read_sop,
)
from kindred.evaluation.groundtruth import GroundTruth, read_groundtruth
from kindred.evaluation.groups import is_holidays, is_ukbench, read_holidays, read_ukbench
from kindred.evaluation.ilias import is_ilias, read_ilias
from kindred.hints import check_known, check_type

__all__ = ["DATASETS", "Dataset", "Reader", "read_dataset"]

JSON_NAME = "groundtruth.json"


class Reader(Protocol):
    """A function that reads the ground truth of a data set; `partial` allows missing images."""

    def __call__(self, folder: Path, *, partial: bool = False) -> GroundTruth:
        """Read the set, opening no image. Raises UsageError that names what is missing."""
        ...


class Dataset(NamedTuple):
    """One published data set: its reader, how its folder is recognised, a summary, author and year."""

    read: Reader
    recognise: Callable[[Path], bool]
    summary: str
    source: str


def read_json_folder(folder: Path, *, partial: bool = False) -> GroundTruth:  # noqa: ARG001 - as all readers
    """Read `groundtruth.json` of a folder."""
    return read_groundtruth(folder / JSON_NAME)


# In the order in which a folder is recognised: unambiguous layouts first, any folder of folders last.
DATASETS: dict[str, Dataset] = {
    "json": Dataset(
        read_json_folder,
        lambda folder: (folder / JSON_NAME).is_file(),
        f"`{JSON_NAME}` with the database and the relevant images of each query",
        "Kindred",
    ),
    "revisited": Dataset(
        read_revisited,
        is_revisited,
        "ROxford5k or RParis6k: `roxford5k.json` or `rparis6k.json`, images in `jpg/`; the published pickle is refused",
        "Radenović et al. 2018",
    ),
    "sop": Dataset(read_sop, is_sop, "Stanford Online Products: `Ebay_test.txt`, its test half", "Song et al. 2016"),
    "cub": Dataset(
        read_cub,
        is_cub,
        "CUB-200-2011: `images.txt`, `image_class_labels.txt`, `images/`; classes 101 to 200",
        "Wah et al. 2011",
    ),
    "cars": Dataset(
        read_cars, is_cars, "Cars196: `cars_annos.mat`, `car_ims/`; classes 99 to 196", "Krause et al. 2013"
    ),
    "oxford5k": Dataset(
        read_oxford,
        is_oxford,
        "Oxford5k: `*_query.txt`, `*_good.txt`, `*_ok.txt`, `*_junk.txt` and the images",
        "Philbin et al. 2007",
    ),
    "paris6k": Dataset(read_paris, is_paris, "Paris6k: laid out as Oxford5k", "Philbin et al. 2008"),
    "ukbench": Dataset(
        read_ukbench, is_ukbench, "UKBench: `ukbench00000.jpg` …, or those in `full/`", "Nistér and Stewénius 2006"
    ),
    "holidays": Dataset(
        read_holidays,
        is_holidays,
        "INRIA Holidays: `100000.jpg` …, or those in `jpg/`",
        "Jégou, Douze and Schmid 2008",
    ),
    "ilias": Dataset(
        read_ilias,
        is_ilias,
        "ILIAS: `ilias_core/OBJECT/query/` and `pos/`, with boxes; mAP@1000 (`mAP@1k`)",
        "Kordopatis-Zilos et al. 2025",
    ),
    "classes": Dataset(
        read_classes, is_classes, "a folder of classes: each sub-folder one class, with several images", "any"
    ),
}
"""The data sets that can be read, by the names of `--dataset`."""


def read_dataset(path: Path, dataset: str | None = None, *, partial: bool = False) -> GroundTruth:
    """Read the ground truth at `path`: a JSON file, or the folder of a published set.

    `dataset` is a name of `DATASETS`; None recognises the set by the files in the folder. With `partial`, images may
    be missing in a published set, and those of the database that cannot be used are left out, so that they count as not
    found: the figures are then not comparable with published ones. Raises UsageError if the set is not recognised
    or not complete.
    """
    check_type("groundtruth", path, Path, "the Path of a file or folder")
    if path.suffix == ".pkl":
        refuse_pickle(path)
    if dataset is not None:
        check_known("dataset", dataset, DATASETS, error=UsageError)
    truth = _read(path, dataset, partial=partial)
    return replace(truth, lenient=True) if partial else truth


def _read(path: Path, dataset: str | None, *, partial: bool) -> GroundTruth:
    if not path.is_dir():
        if dataset in (None, "json"):
            return read_groundtruth(path)
        raise UsageError(f"{path}: {'is a file' if path.exists() else 'no such folder'}; give the folder of {dataset}")
    return _chosen(path, dataset).read(path, partial=partial)


def _chosen(folder: Path, dataset: str | None) -> Dataset:
    if dataset is not None:
        return DATASETS[dataset]
    found = next((known for known in DATASETS.values() if known.recognise(folder)), None)
    if found is None:
        raise UsageError(
            f"{folder}: has no {JSON_NAME} and not the layout of a known data set "
            f"({', '.join(DATASETS)}); write a {JSON_NAME}, or name it: dataset=NAME in Python, --dataset NAME on the "
            "command line"
        )
    return found
