"""Data sets of classes: every image is a query for the others of its class, as usual in metric learning."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path

from kindred.errors import MissingExtra, UsageError
from kindred.evaluation.groundtruth import GroundTruth
from kindred.evaluation.layouts import among_classes, check_count, images_below, rows_of

__all__ = ["is_cars", "is_classes", "is_cub", "is_sop", "read_cars", "read_classes", "read_cub", "read_sop"]

USUAL = (1, 2, 4, 8, 10)
SOP_RECALLS = (1, 10, 100, 1000)
SOP_LIST, SOP_IMAGES, SOP_CLASSES = "Ebay_test.txt", 60502, 11316
CUB_LISTS = ("images.txt", "image_class_labels.txt")
CUB_IMAGES, CUB_FIRST = 5924, 101  # Song et al. 2016: the first half of the classes is for training
CARS_LIST, CARS_IMAGES, CARS_FIRST = "cars_annos.mat", 8131, 99


def read_classes(folder: Path, *, partial: bool = False) -> GroundTruth:  # noqa: ARG001 - as all readers
    """Read a folder of classes: each sub-folder is one class, with all images below it.

    An image that is alone in its class is in the database, but not a query.
    """
    labels = {path: path.partition("/")[0] for path in images_below(folder)}
    stray = next((path for path in labels if "/" not in path), None)
    if stray is not None:
        raise UsageError(f"{folder / stray}: is in no class; expected a sub-folder of {folder} for each class")
    _check_pairs(folder, labels)
    return among_classes(folder.resolve().name, folder, labels, root=folder, recalls=USUAL)


def read_sop(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read the test half of Stanford Online Products: `Ebay_test.txt` and the images (Song et al. 2016)."""
    rows = rows_of(folder / SOP_LIST, 4)
    labels: dict[str, Hashable] = {path: label for _, label, _, path in rows if label != "class_id"}
    check_count(folder, "the test half of SOP", "images", len(labels), [SOP_IMAGES], partial=partial)
    check_count(folder, "the test half of SOP", "classes", len(set(labels.values())), [SOP_CLASSES], partial=partial)
    return among_classes("sop", folder / SOP_LIST, labels, root=folder, recalls=SOP_RECALLS)


def read_cub(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read CUB-200-2011: `images.txt`, `image_class_labels.txt` and `images/` (Wah et al. 2011).

    The classes 101 to 200 are the test set, as usual in metric learning; the train/test split published with the
    images is for classification.
    """
    paths, numbers = (dict(rows_of(folder / name, 2)) for name in CUB_LISTS)
    if paths.keys() != numbers.keys():
        raise UsageError(f"{folder}: {' and '.join(CUB_LISTS)} do not list the same images")
    labels = {path: _whole(numbers[key], folder / CUB_LISTS[1]) for key, path in paths.items()}
    tested = {path: label for path, label in labels.items() if label >= CUB_FIRST}
    check_count(folder, "CUB-200-2011 (classes 101 to 200)", "images", len(tested), [CUB_IMAGES], partial=partial)
    return among_classes("cub-200-2011", folder / CUB_LISTS[0], tested, root=folder / "images", recalls=USUAL)


def read_cars(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read Cars196: `cars_annos.mat` and `car_ims/` (Krause et al. 2013); classes 99 to 196 are the test set.

    Needs SciPy. Cars196 as a folder of classes is read by `read_classes`, which leaves the split to the folder.
    """
    file = folder / CARS_LIST
    labels = {path: label for path, label in _cars(file) if label >= CARS_FIRST}
    check_count(folder, "Cars196 (classes 99 to 196)", "images", len(labels), [CARS_IMAGES], partial=partial)
    return among_classes("cars196", file, labels, root=folder, recalls=USUAL)


def is_classes(folder: Path) -> bool:
    """Return whether `folder` has at least two sub-folders with images and no image of its own."""
    found = [path.partition("/") for path in images_below(folder)]
    return all(slash for _, slash, _ in found) and len({first for first, _, _ in found}) > 1


def is_sop(folder: Path) -> bool:
    """Return whether the list of the test half is there."""
    return (folder / SOP_LIST).is_file()


def is_cub(folder: Path) -> bool:
    """Return whether both lists are there."""
    return all((folder / name).is_file() for name in CUB_LISTS)


def is_cars(folder: Path) -> bool:
    """Return whether the annotations are there."""
    return (folder / CARS_LIST).is_file()


def _cars(file: Path) -> list[tuple[str, int]]:
    """Return (path, class) of each image; a MATLAB file has plain arrays, and reading it executes nothing."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MissingExtra(f"reading {file.name}", "maps") from None
    try:
        table = loadmat(file, squeeze_me=True)["annotations"].reshape(-1)
        return [(str(path), int(label)) for path, label in zip(table["relative_im_path"], table["class"], strict=True)]
    except Exception as error:  # SciPy raises many kinds of exception for a damaged file
        raise UsageError(f"{file}: expected the annotations of Cars196 ({type(error).__name__}: {error})") from error


def _whole(text: str, file: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{file}: {text!r} is not a class; expected a whole number") from None


def _check_pairs(folder: Path, labels: Mapping[str, Hashable]) -> None:
    """Raise UsageError if no class has two images, so that no query has a relevant image."""
    if len(set(labels.values())) == len(labels):
        raise UsageError(
            f"{folder}: no class has two images; expected sub-folders, one for each class, with several images each"
        )
