"""Answers without copies of the query or of each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kindred.duplicates import search_without_copies, without_copies
from kindred.library import Answer, Hit


def photo(path: Path, seed: int, *, size: tuple[int, int] = (320, 240), turn: int = 0) -> Path:
    tiles = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    image = Image.fromarray(tiles).resize((640, 480), Image.Resampling.BICUBIC).resize(size)
    image.rotate(turn, expand=True).save(path, quality=85)
    return path


def answer_of(paths: list[Path]) -> Answer:
    hits = tuple(Hit(rank, path, 1 - rank / 100) for rank, path in enumerate(paths, 1))
    count = len(hits)
    return Answer(hits, np.arange(count), np.array([hit.score for hit in hits], np.float32), 0.0)


def test_the_query_and_copies_of_better_answers_are_left_out(tmp_path: Path) -> None:
    query = photo(tmp_path / "query.jpg", 0)
    same_bytes = tmp_path / "bytes.jpg"
    same_bytes.write_bytes(query.read_bytes())
    link = tmp_path / "link.jpg"
    link.symlink_to(query)
    answers = [
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
    kept = without_copies(answer_of(answers), [query])
    assert [answers[at].name for at in kept] == ["other.jpg", "third.jpg", "gone.jpg"]
    assert [answers[at].name for at in without_copies(answer_of(answers))] == [
        "query.jpg",
        "other.jpg",
        "third.jpg",
        "gone.jpg",
    ]


def test_more_are_asked_for_until_there_are_enough(tmp_path: Path) -> None:
    copies = [photo(tmp_path / f"copy-{at}.jpg", 0, size=(300 + at, 225 + at)) for at in range(12)]
    others = [photo(tmp_path / f"{seed}.jpg", seed) for seed in range(1, 4)]
    every = [*copies, *others]
    asked: list[int] = []

    def search(k: int) -> Answer:
        asked.append(k)
        return answer_of(every[:k])

    answer = search_without_copies(search, [], 3)
    assert [hit.path for hit in answer] == [copies[0], *others[:2]]
    assert [hit.rank for hit in answer] == [1, 2, 3]
    assert len(answer.ids) == len(answer.scores) == 3
    assert asked == [11, 22]
    assert [hit.path for hit in search_without_copies(search, [copies[0]], 3)] == others
