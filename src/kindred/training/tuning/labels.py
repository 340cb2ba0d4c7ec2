"""Labels: the images to train on, and their classes or listed pairs, from folders or tables."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kindred._support.csv_files import HEAD_CHARACTERS, delimiter_of
from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError
from kindred.images import find_images

__all__ = ["LabelledImages", "read_classes", "read_labels", "read_pairs", "read_unlabelled"]

UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their classes.

    paths: of the images. labels: (N,) int64, indices into `classes`, −1 for an image of unknown class. notes: for the
    user, one line each.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> LabelledImages:
        """Return the images of these indices; classes without images keep their label."""
        chosen = [int(index) for index in indices]
        paths = tuple(self.paths[index] for index in chosen)
        return LabelledImages(paths, self.labels[chosen], self.classes, self.notes)


def read_unlabelled(folder: Path) -> LabelledImages:
    """Return all images below `folder`, without classes. Raises UsageError if there is none."""
    paths = _images(folder)
    if not paths:
        raise UsageError(f"{folder}: no images; expected a folder of images to train on")
    return LabelledImages(tuple(paths), np.full(len(paths), UNLABELLED))


def read_classes(folder: Path) -> LabelledImages:
    """Return the images of a folder of classes: each of its sub-folders is one, with everything below it.

    Sub-folders without images, and images outside all sub-folders, are left out and noted. Raises UsageError if
    there are fewer than two classes.
    """
    paths = _images(folder)
    names = {path: path.relative_to(folder).parts[0] for path in paths if path.parent != folder}
    classes = sorted(set(names.values()))
    notes = []
    empty = sorted(each.name for each in folder.iterdir() if each.is_dir() and each.name not in classes)
    empty = [name for name in empty if not name.startswith(".")]
    if empty:
        notes.append(f"{len(empty)} empty classes left out: {_some(empty)}")
    if stray := len(paths) - len(names):
        notes.append(f"{stray} images directly in {folder} left out: they have no class")
    if len(classes) < 2:
        raise UsageError(
            f"{folder}: {len(classes)} classes; expected two or more sub-folders with images, one for each class "
            "(or --labels FILE.csv, or a method that needs no labels: manifold, clusters)"
        )
    return _labelled(names, classes, notes)


def read_labels(file: Path, folder: Path) -> LabelledImages:
    """Return the images and classes of a CSV table with the columns `path` (relative to `folder`) and `label`.

    Rows with an empty label are left out and noted. Raises UsageError if a file is missing, naming the first and
    its line, if a path has two labels, and if there are fewer than two classes.
    """
    names: dict[Path, str] = {}
    missing: list[tuple[int, str]] = []
    unlabelled = 0
    for line, row in _rows(file, ("path", "label")):
        path, label = folder / row["path"], row["label"].strip()
        if not label:
            unlabelled += 1
        elif not _is_file(path):
            missing.append((line, row["path"]))
        elif names.setdefault(path, label) != label:
            raise UsageError(
                f"{file}: line {line}: {row['path']} has the labels {names[path]!r} and {label!r}; give one"
            )
    if missing:
        line, path_text = missing[0]
        raise UsageError(
            f"{file}: line {line}: {path_text} is not in {folder} ({len(missing)} such lines); "
            "paths are relative to the folder of the images"
        )
    classes = sorted(set(names.values()))
    if len(classes) < 2:
        raise UsageError(f"{file}: {len(classes)} classes; expected two or more in the column label")
    return _labelled(names, classes, [f"{unlabelled} rows without a label left out"] if unlabelled else [])


def read_pairs(file: Path, paths: Sequence[Path], folder: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read a CSV table of pairs with the columns `a`, `b` (paths relative to `folder`) and `same` (1 or 0).

    Returns the positive pairs (n, 2) and the negative pairs (m, 2) as indices into `paths`, int64. Raises UsageError,
    naming the line, if a path is not one of `paths` or is paired with itself, and if there is no positive pair.
    """
    indices = {path: index for index, path in enumerate(paths)}
    same: list[tuple[int, int]] = []
    different: list[tuple[int, int]] = []
    for line, row in _rows(file, ("a", "b", "same")):
        if row["same"].strip() not in ("0", "1"):
            raise UsageError(f"{file}: line {line}: same is {row['same']!r}; expected 1 or 0")
        for name in (row["a"], row["b"]):
            if folder / name not in indices:
                raise UsageError(f"{file}: line {line}: {name} is not a usable image of {folder}")
        if folder / row["a"] == folder / row["b"]:
            raise UsageError(f"{file}: line {line}: {row['a']} is paired with itself; expected two images")
        pair = indices[folder / row["a"]], indices[folder / row["b"]]
        (same if row["same"].strip() == "1" else different).append(pair)
    if not same:
        raise UsageError(f"{file}: no pair with same = 1; expected at least one positive pair")
    return np.array(same, np.int64).reshape(-1, 2), np.array(different, np.int64).reshape(-1, 2)


def _images(folder: Path) -> list[Path]:
    return [found.path for found in find_images(folder) if found.reason is None]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


def _labelled(names: Mapping[Path, str], classes: Sequence[str], notes: list[str]) -> LabelledImages:
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[name] for name in names.values()], np.int64)
    alone = sorted(name for name, count in Counter(names.values()).items() if count == 1)
    if alone:
        notes = [*notes, f"{len(alone)} classes have a single image and give no positive pair: {_some(alone)}"]
    return LabelledImages(tuple(names), labels, tuple(classes), tuple(notes))


def _rows(file: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a CSV table with a header, each with its line number."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stored:
            delimiter = delimiter_of(stored.readline(HEAD_CHARACTERS))
            stored.seek(0)
            table = csv.DictReader(stored, skipinitialspace=True, delimiter=delimiter)
            if missing := [name for name in columns if name not in (table.fieldnames or ())]:
                raise UsageError(f"{file}: no column {', '.join(missing)}; expected a header with {','.join(columns)}")
            for row in table:
                if any(row[name] is None for name in columns):
                    raise UsageError(f"{file}: line {table.line_num}: too few columns; expected {','.join(columns)}")
                yield table.line_num, row
    except OSError as error:
        raise UsageError(f"{file}: the table cannot be read ({explain_os_error(error)})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: not a CSV table in UTF-8 ({error})") from error


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
