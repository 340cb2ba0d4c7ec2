"""Results without copies of the query or of each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kindred.duplicates import search_without_copies, without_copies
from kindred.library import Hit, Results


def photo(path: Path, seed: int, *, size: tuple[int, int] = (320, 240), turn: int = 0) -> Path:
    tiles = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    image = Image.fromarray(tiles).resize((640, 480), Image.Resampling.BICUBIC).resize(size)
    image.rotate(turn, expand=True).save(path, quality=85)
    return path


def results_of(paths: list[Path]) -> Results:
    hits = tuple(Hit(rank, path, 1 - rank / 100) for rank, path in enumerate(paths, 1))
    count = len(hits)
    return Results(hits, np.arange(count), np.array([hit.score for hit in hits], np.float32), 0.0)


def test_the_query_and_copies_of_better_results_are_left_out(tmp_path: Path) -> None:
    query = photo(tmp_path / "query.jpg", 0)
    same_bytes = tmp_path / "bytes.jpg"
    same_bytes.write_bytes(query.read_bytes())
    link = tmp_path / "link.jpg"
    link.symlink_to(query)
    paths = [
        query,
        same_bytes,
        link,
        photo(tmp_path / "small.jpg", 0, size=(200, 150)),
        photo(tmp_path / "turned.jpg", 0, turn=90),
        photo(tmp_path / "other.jpg", 1),
        photo(tmp_path / "other.png", 1),
        photo(tmp_path / "third.jpg", 2),
        tmp_path / "gone.jpg",
    ]
    kept, of_query = without_copies(results_of(paths), [query])
    assert [paths[at].name for at in kept] == ["other.jpg", "third.jpg", "gone.jpg"]
    assert [paths[at].name for at in of_query] == ["query.jpg", "bytes.jpg", "link.jpg", "small.jpg", "turned.jpg"]
    assert [paths[at].name for at in without_copies(results_of(paths)).kept] == [
        "query.jpg",
        "other.jpg",
        "third.jpg",
        "gone.jpg",
    ]


def test_images_marked_as_not_the_same_are_no_copies(tmp_path: Path) -> None:
    query = photo(tmp_path / "query.jpg", 0)
    small, other, copy = (tmp_path / f"{name}.jpg" for name in ("small", "other", "copy"))
    photo(small, 0, size=(280, 210))
    other.write_bytes(query.read_bytes() + b" ")
    copy.write_bytes(other.read_bytes())
    paths, apart = [query, other, copy], [(other, query), (query, tmp_path / "elsewhere.jpg")]
    assert [paths[at] for at in without_copies(results_of(paths), [query], apart=apart).kept] == [other]
    assert [paths[at] for at in without_copies(results_of(paths), apart=apart).kept] == [query, other]
    paths, apart = [small, other, copy, query], [(other, query), (small, other)]
    assert [paths[at] for at in without_copies(results_of(paths), apart=apart).kept] == [small, other]


def test_more_results_are_requested_until_there_are_enough(tmp_path: Path) -> None:
    copies = [photo(tmp_path / f"copy-{at}.jpg", 0, size=(300 + at, 225 + at)) for at in range(12)]
    others = [photo(tmp_path / f"{seed}.jpg", seed) for seed in range(1, 4)]
    every = [*copies, *others]
    asked: list[int] = []

    def search(k: int) -> Results:
        asked.append(k)
        return results_of(every[:k])

    results = search_without_copies(search, [], 3)
    assert [hit.path for hit in results] == [copies[0], *others[:2]]
    assert [hit.rank for hit in results] == [1, 2, 3]
    assert len(results.ids) == len(results.scores) == 3
    assert asked == [11, 22]
    assert results.copies == ()
    apart = search_without_copies(search, [copies[0]], 3)
    assert [hit.path for hit in apart] == others
    assert [hit.path for hit in apart.copies] == copies


def test_an_image_whose_only_answers_are_its_copies_is_answered(tmp_path: Path) -> None:
    """A query that is in the library is found there, although it is left out of its own results."""
    query, other = photo(tmp_path / "query.jpg", 0), photo(tmp_path / "other.jpg", 1)

    def search(_: int) -> Results:
        hits = (Hit(1, query, 0.99, probability=0.99), Hit(2, other, 0.1, probability=0.1))
        return Results(hits, np.arange(2), np.array([0.99, 0.1], np.float32), 0.0)

    results = search_without_copies(search, [query], 3)
    assert ([hit.path for hit in results], results.answered) == ([other], True)
    assert results.above(0.5).answered is True
    assert search_without_copies(search, [photo(tmp_path / "third.jpg", 2)], 3).likely(0.5).answered is True
    uncalibrated = Results((), np.empty(0, np.int64), np.empty(0, np.float32), 0.0, (Hit(1, query, 0.99),))
    assert uncalibrated.answered is None
