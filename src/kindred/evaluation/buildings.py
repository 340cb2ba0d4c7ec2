"""Oxford5k, Paris6k and their revisited versions: landmarks, with regions of photos as queries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from kindred._support.files import read_bounded
from kindred.errors import UsageError
from kindred.evaluation.groundtruth import GroundTruth, Judgement, Query, positions, read_groundtruth
from kindred.evaluation.layouts import LIST_BYTES, check_count, images_below, rows_of, subfolder

__all__ = ["is_oxford", "is_paris", "is_revisited", "read_oxford", "read_paris", "read_revisited", "refuse_pickle"]

QUERIES = 55
# The published archive has 5,063 files; lists with 5,062 are in use too.
OXFORD_IMAGES = (5062, 5063)
# Twenty of the 6,412 published files are damaged; they may have been deleted.
PARIS_IMAGES = (6412, 6392)
OXFORD_PREFIX = "oxc1_"
REVISITED = {"roxford5k": 4993, "rparis6k": 6322}
REVISITED_QUERIES = 70
SUFFIX = "_query.txt"


def read_oxford(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read Oxford5k: its text lists (`*_query.txt` and so on) and its images (Philbin et al. 2007).

    The lists may lie in a sub-folder, the images in any. Images listed as good or ok are relevant, including the
    query's own image; junk is removed from the ranking.
    """
    return _read(folder, "oxford5k", OXFORD_IMAGES, partial=partial)


def read_paris(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read Paris6k, in the layout of Oxford5k (Philbin et al. 2008); its damaged files are left out."""
    return _read(folder, "paris6k", PARIS_IMAGES, partial=partial)


def read_revisited(folder: Path, *, partial: bool = False) -> GroundTruth:
    """Read ROxford5k or RParis6k: `roxford5k.json` or `rparis6k.json`, the images beside it or in `jpg`.

    The ground truth was published as a pickle, which is refused (Radenović et al. 2018).
    """
    name = next((name for name in REVISITED if (folder / f"{name}.json").is_file()), None)
    if name is None:
        pickles = sorted(folder.glob("gnd_*.pkl"))
        if pickles:
            refuse_pickle(pickles[0])
        raise UsageError(f"{folder}: expected {' or '.join(f'{known}.json' for known in REVISITED)} in it")
    truth = read_groundtruth(folder / f"{name}.json")
    if truth.protocol != "revisited":
        raise UsageError(f"{truth.file}: expected queries with the lists 'easy', 'hard' and 'junk'")
    check_count(folder, name, "images", len(truth.database), [REVISITED[name]], partial=partial)
    check_count(folder, name, "queries", len(truth.queries), [REVISITED_QUERIES], partial=partial)
    root = subfolder(folder, "jpg")
    return GroundTruth(name, truth.file, "revisited", truth.database, truth.queries, root=root)


def refuse_pickle(file: Path) -> NoReturn:
    """Raise UsageError: pickles are not read; the message says what to do."""
    raise UsageError(
        f"{file}: reading a pickle can execute any code, so pickles are refused; convert it to JSON: "
        '{"name": …, "images": imlist, "queries": [{"image": one of qimlist, "bbx": …, "easy": …, "hard": …, '
        '"junk": … of the same position in gnd}, …]}'
    )


def is_oxford(folder: Path) -> bool:
    """Return whether there are query lists with Oxford's prefix."""
    lists = _lists(folder)
    return bool(lists) and read_bounded(lists[0], LIST_BYTES).startswith(OXFORD_PREFIX.encode())


def is_paris(folder: Path) -> bool:
    """Return whether there are query lists; Oxford5k is recognised before."""
    return bool(_lists(folder))


def is_revisited(folder: Path) -> bool:
    """Return whether the revisited ground truth is there, possibly as the pickle that will be refused."""
    return any((folder / f"{name}.json").is_file() for name in REVISITED) or any(folder.glob("gnd_*.pkl"))


def _lists(folder: Path) -> list[Path]:
    """Return the query lists in `folder` or its sub-folders; searching deeper takes long in a large set."""
    return sorted([*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*/*{SUFFIX}")])


def _read(folder: Path, name: str, images: tuple[int, ...], *, partial: bool) -> GroundTruth:
    database = images_below(folder)
    check_count(folder, name, "images", len(database), images, partial=partial)
    places: dict[str, int] = {}
    for place, path in enumerate(database):
        stem = path.rpartition("/")[2].rpartition(".")[0]
        if stem in places:
            raise UsageError(f"{folder}: {path} has the name of {database[places[stem]]}; {name} has each name once")
        places[stem] = place
    lists = _lists(folder)
    check_count(folder, name, "queries (*_query.txt)", len(lists), [QUERIES], partial=partial)
    queries = tuple(_query(file, name, places, database, partial=partial) for file in lists)
    return GroundTruth(name, folder, "oxford", tuple(database), queries, root=folder, lenient=name == "paris6k")


def _query(file: Path, name: str, places: Mapping[str, int], database: list[str], *, partial: bool) -> Query:
    """Read one query: its file, and the three lists beside it."""
    rows = list(rows_of(file, 5))
    try:
        ((image, *numbers),) = rows
        x0, y0, x1, y1 = (float(number) for number in numbers)
    except ValueError as error:
        raise UsageError(f"{file}: expected one line: the image, then x0 y0 x1 y1 in pixels") from error
    if not (x0 < x1 and y0 < y1):
        raise UsageError(f"{file}: the box is {x0:g} {y0:g} {x1:g} {y1:g}; expected x0 < x1 and y0 < y1")

    def listed(kind: str) -> list[int]:
        source = file.with_name(file.name.removesuffix(SUFFIX) + f"_{kind}.txt")
        stems = [row[0] for row in rows_of(source, 1)]
        missing = next((stem for stem in stems if stem not in places), None)
        # No list contains a damaged image of Paris6k, so a missing one was not downloaded.
        if missing is not None and not partial:
            raise UsageError(f"{source}: names {missing}, which is not among the images of {name}; fetch it")
        return [places[stem] for stem in stems if stem in places]

    stem = image.removeprefix(OXFORD_PREFIX)
    if stem not in places:
        raise UsageError(f"{file}: names {stem}, which is not among the images of {name}; fetch it")
    judgement = Judgement(positions(listed("good") + listed("ok")), positions(listed("junk")))
    return Query(database[places[stem]], (x0, y0, x1, y1), {"": judgement})
