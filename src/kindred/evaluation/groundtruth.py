"""Ground truth: the images of a database that are relevant to each query, read from JSON.

There are two formats. The general one, with paths relative to the folder of the JSON file:

    {"name": …, "database": [path, …],
     "queries": {path: {"relevant": [path, …], "junk": [path, …], "box": null | [x0, y0, x1, y1]}, …}}

and that of the landmark benchmarks, where numbers are positions in `images`, from 0:

    {"name": …, "images": [name, …],
     "queries": [{"image": name, "bbx": [x0, y0, x1, y1], "ok": [n, …], "junk": [n, …]}, …]}

This is the format of Oxford5k and Paris6k; ROxford5k and RParis6k have the lists "easy" and "hard" instead of "ok".
`kindred.evaluation.datasets` reads data sets in the layouts in which they are published.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import is_file, read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError
from kindred.images import EXTENSIONS
from kindred.regions import Box

__all__ = ["USUAL_RECALLS", "GroundTruth", "Judgement", "Protocol", "Query", "positions", "read_groundtruth"]

Protocol = Literal["plain", "holidays", "ilias", "oxford", "revisited", "ukbench"]
"""plain: plain average precision. holidays, oxford: trapezoidal. revisited: trapezoidal, and three settings. ukbench:
plain, and N-S. ilias: plain, within the first 1,000 results."""

LARGEST = 1 << 30
"""Bytes of a ground truth: 10 million names."""

USUAL_RECALLS = (1, 10)
"""The depths k of recall@k that are always reported."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """The relevant and the junk images of a query: positions in the database, (n,) int64; all others are irrelevant.

    Both are in ascending order without duplicates. junk is removed from a ranking before it is scored: it is neither
    relevant nor irrelevant.
    """

    relevant: NDArray[np.int64]
    junk: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("relevant", "junk"):
            object.__setattr__(self, name, positions(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Query:
    """One query: `image`, or the part of it in `box`, in pixels of the upright original.

    judgements: by setting, which is "" unless the protocol has several ("easy", "medium", "hard").
    itself: the position of the query's own image in the database, if the protocol removes it from the ranking
    (Holidays, and all sets of classes); it is among the junk, too. None if the image is not in the database, or counts
    as a result.
    """

    image: str
    box: Box | None
    judgements: Mapping[str, Judgement]
    itself: int | None = None

    @property
    def judgement(self) -> Judgement:
        """That of the first setting, the only one unless the protocol has several."""
        return next(iter(self.judgements.values()))

    @property
    def folder(self) -> str:
        """The outermost folder of the query's path; "" if there is none."""
        parts = PurePosixPath(self.image).parts
        return parts[0] if len(parts) > 1 else ""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A database, its queries, and the protocol by which they are scored; `file` is where it was read.

    root: the folder of the images; None for that of `file`. recalls: the usual depths k of recall@k for the set.
    lenient: whether images of the database that cannot be decoded are left out instead of raising an error, as of a
    partial set (and of Paris6k, which is published with twenty damaged files). boxes: by position in the database, the
    boxes of what is to be found (ILIAS), x0 y0 x1 y1 in pixels of the upright original; empty if the set has none.
    """

    name: str
    file: Path
    protocol: Protocol
    database: tuple[str, ...]
    queries: tuple[Query, ...]
    root: Path | None = None
    recalls: tuple[int, ...] = USUAL_RECALLS
    lenient: bool = False
    boxes: Mapping[int, tuple[Box, ...]] = field(default_factory=dict)

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings of the protocol."""
        return ("easy", "medium", "hard") if self.protocol == "revisited" else ("",)

    def locate(self, folder: Path | None = None) -> tuple[list[Path], list[Path]]:
        """Return the files of the database and of the queries, in `folder` or else in the folder of the set.

        A name without an extension refers to the file of that name with any image extension. Raises UsageError naming
        the first missing file.
        """
        root = folder or self.root or self.file.parent
        return (
            [self._file_of(name, root, "database") for name in self.database],
            [self._file_of(query.image, root, "queries") for query in self.queries],
        )

    @property
    def digest(self) -> str:
        """A digest of queries, database and judgements, as 16 hexadecimal digits, independent of folders."""
        parts = hashlib.sha256(repr((self.protocol, self.recalls, self.lenient, self.database)).encode())
        for query in self.queries:
            parts.update(repr((query.image, query.box, query.itself)).encode())
            for setting, judgement in query.judgements.items():
                parts.update(setting.encode() + judgement.relevant.tobytes() + b"|" + judgement.junk.tobytes())
        if self.boxes:
            parts.update(repr(sorted(self.boxes.items())).encode())
        return parts.hexdigest()[:16]

    def _file_of(self, name: str, root: Path, key: str) -> Path:
        path = root / name
        if is_file(path):
            return path
        for extension in sorted(EXTENSIONS):
            candidate = path.with_name(path.name + extension)
            if is_file(candidate):
                return candidate
        raise UsageError(
            f"{self.file}: {key} names {name}, which is not in {root}; put the image there, or remove it from the list"
        )


def read_groundtruth(file: Path) -> GroundTruth:
    """Read either format without opening images. Raises UsageError naming the file and what is invalid in it."""
    try:
        table = json.loads(read_bounded(file, LARGEST).decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{file}: the ground truth cannot be read ({explain_os_error(error)})") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, or not JSON
        raise UsageError(f"{file}: the ground truth is not JSON ({error})") from error
    if not isinstance(table, dict) or not ("database" in table or "images" in table) or "queries" not in table:
        raise UsageError(f"{file}: expected an object with the keys 'database' (or 'images') and 'queries'")
    name = table.get("name", file.parent.name)
    if not isinstance(name, str):
        raise UsageError(f"{file}: name is {name!r}; expected text")
    return _Reader(file, name).read(table)


class _Reader:
    """Reads and validates one file; errors name it."""

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.name = file, name

    def read(self, table: Mapping[str, object]) -> GroundTruth:
        if "database" in table:
            database, queries = self.general(table["database"], table["queries"])
            return GroundTruth(self.name, self.file, "plain", database, queries)
        database = self.names(table["images"], "images")
        listed = table["queries"]
        if not isinstance(listed, list) or not listed:
            raise self.refuse("queries", "a list of at least one query")
        revisited = isinstance(listed[0], dict) and "easy" in listed[0]
        queries = tuple(
            self.building(entry, f"queries[{at}]", len(database), revisited=revisited)
            for at, entry in enumerate(listed)
        )
        return GroundTruth(self.name, self.file, "revisited" if revisited else "oxford", database, queries)

    def general(self, paths: object, table: object) -> tuple[tuple[str, ...], tuple[Query, ...]]:
        """Read `database` and `queries` of the general format."""
        database = self.names(paths, "database")
        places = {path: place for place, path in enumerate(database)}
        if not isinstance(table, dict) or not table:
            raise self.refuse("queries", "an object with at least one query")
        queries = []
        for image, entry in table.items():
            if not isinstance(entry, dict):
                raise self.refuse(f"queries[{image!r}]", "an object with the key 'relevant'")
            lists = (
                self.places(entry.get(key, [] if key == "junk" else None), f"queries[{image!r}].{key}", places)
                for key in ("relevant", "junk")
            )
            box = self.box(entry.get("box"), f"queries[{image!r}].box")
            queries.append(Query(image, box, {"": self.judgement(*lists, where=f"queries[{image!r}]")}))
        return database, tuple(queries)

    def building(self, entry: object, where: str, count: int, *, revisited: bool) -> Query:
        """Read one query of a landmark benchmark."""
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
            raise self.refuse(where, "an object with the key 'image'")
        box = self.box(entry.get("bbx"), f"{where}.bbx")

        def numbers(key: str) -> list[int]:
            return self.numbers(entry.get(key), f"{where}.{key}", count)

        junk = numbers("junk")
        if not revisited:
            return Query(entry["image"], box, {"": self.judgement(numbers("ok"), junk, where=where)})
        easy, hard = numbers("easy"), numbers("hard")
        settings = {
            "easy": self.judgement(easy, junk + hard, where=where),
            "medium": self.judgement(easy + hard, junk, where=where),
            "hard": self.judgement(hard, junk + easy, where=where),
        }
        return Query(entry["image"], box, settings)

    def judgement(self, relevant: Iterable[int], junk: Iterable[int], *, where: str) -> Judgement:
        judgement = Judgement(positions(relevant), positions(junk))
        if np.intersect1d(judgement.relevant, judgement.junk).size:
            raise UsageError(f"{self.file}: {where} lists an image as both relevant and junk; expected one of the two")
        return judgement

    def places(self, paths: object, where: str, places: Mapping[str, int]) -> list[int]:
        found = []
        for path in self.texts(paths, where):
            if path not in places:
                raise UsageError(f"{self.file}: {where} names {path}, which is not in the database; add it there")
            found.append(places[path])
        return found

    def names(self, value: object, where: str) -> tuple[str, ...]:
        """Read a list of images, at least one and none twice."""
        names = self.texts(value, where)
        if not names:
            raise self.refuse(where, "at least one image")
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise UsageError(f"{self.file}: {where} names {twice} twice; name it once")
        return names

    def numbers(self, value: object, where: str, count: int) -> list[int]:
        if not isinstance(value, list) or not all(_is_whole(number) and 0 <= number < count for number in value):
            raise self.refuse(where, f"a list of whole numbers from 0 to {count - 1}")
        return value

    def texts(self, value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refuse(where, "a list of paths")
        return tuple(value)

    def box(self, value: object, where: str) -> Box | None:
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 4 or not _are_finite(value):
            raise self.refuse(where, "null or four finite numbers x0, y0, x1, y1")
        x0, y0, x1, y1 = (float(edge) for edge in value)
        if not (x0 < x1 and y0 < y1):
            raise self.refuse(where, "x0 < x1 and y0 < y1")
        return x0, y0, x1, y1

    def refuse(self, where: str, expected: str) -> UsageError:
        return UsageError(f"{self.file}: {where} is missing or invalid; expected {expected}")


def positions(numbers: Iterable[int]) -> NDArray[np.int64]:
    """Return positions in the form of a Judgement: ascending, without duplicates, read-only."""
    found = np.unique(numbers if isinstance(numbers, np.ndarray) else np.fromiter(numbers, dtype=np.int64))
    found = found.astype(np.int64)
    found.flags.writeable = False
    return found


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_finite(values: Sequence[object]) -> TypeGuard[Sequence[float]]:
    # An integer of JSON may be larger than any float.
    return all(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 for value in values)
