from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.duplicates import DuplicateGroup, default_threshold, files, find_duplicates, links, neighbours
from kindred.errors import UsageError
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Entry, SqliteStore


def turned(*degrees: float) -> NDArray[np.float32]:
    """Unit vectors (n, 2) at angles: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def cosine(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def make_library(folder: Path, similarity: str = "cosine") -> Library:
    """A library of given vectors, whose network is never loaded."""
    folder.mkdir(parents=True)
    recipe = Recipe("made", "none", similarity=similarity)
    SqliteStore.create(folder / "store.sqlite", {"recipe": recipe.to_toml()}).close()
    return Library.open(folder)


def put(library: Library, *entries: Entry) -> None:
    with SqliteStore.open(library.path / "store.sqlite") as writer:
        writer.put(entries)


def fill(library: Library, vectors: NDArray[np.float32], contents: Sequence[bytes] | None = None) -> list[Path]:
    """Add one image per vector, each a file of unique content unless `contents` are given."""
    paths = [library.path / f"{number:03}.jpg" for number in range(len(vectors))]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number] if contents else f"picture {number}".encode())
    put(
        library,
        *(Entry(path, path.stat().st_size, 1, vectors=row[None]) for path, row in zip(paths, vectors, strict=True)),
    )
    return paths


def names(groups: Sequence[DuplicateGroup]) -> list[list[int]]:
    return [sorted(int(path.stem) for path in group.paths) for group in groups]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    with make_library(tmp_path / "library") as made:
        yield made


def test_groups_are_ordered_by_similarity(library: Library) -> None:
    fill(library, turned(0, 100, 3, 200, 101, 300))
    groups = find_duplicates(library, threshold=0.99)
    assert names(groups) == [[1, 4], [0, 2]]
    assert groups[0].score == pytest.approx(cosine(1), abs=1e-6)
    assert groups[1].score == pytest.approx(cosine(3), abs=1e-6)


def test_the_score_of_a_group_is_that_of_its_weakest_needed_link(library: Library) -> None:
    fill(library, turned(0, 5, 12, 90))
    (group,) = find_duplicates(library, threshold=cosine(13))
    assert names([group]) == [[0, 1, 2]]
    assert group.score == pytest.approx(cosine(7), abs=1e-6)  # 0 and 2 are 12 degrees apart
    assert names(find_duplicates(library, threshold=cosine(6))) == [[0, 1]]


def test_libraries_without_similar_images_or_without_images_have_no_groups(library: Library) -> None:
    assert find_duplicates(library) == []
    fill(library, turned(0, 90, 180))
    assert find_duplicates(library) == []


def test_a_group_may_be_larger_than_k(library: Library) -> None:
    fill(library, turned(*np.linspace(0, 3, 60), 180))
    assert names(find_duplicates(library, threshold=0.99, k=2)) == [list(range(60))]


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "l1", "chi_square"])
def test_the_threshold_is_a_cosine_for_every_similarity(tmp_path: Path, similarity: str) -> None:
    with make_library(tmp_path / "library", similarity) as library:
        fill(library, turned(0, 2, 40, 45, 90))
        groups = find_duplicates(library, threshold=cosine(5.1))
        assert names(groups) == [[0, 1], [2, 3]]
        assert [group.score for group in groups] == pytest.approx([cosine(2), cosine(5)], abs=1e-6)


def test_identical_files_are_grouped_independently_of_their_vectors(library: Library) -> None:
    fill(library, turned(0, 90, 180, 45), [b"the same", b"the same", b"the sama", b"longer than those"])
    (group,) = find_duplicates(library, threshold=1.0)
    assert names([group]) == [[0, 1]]
    assert (group.kind, group.score) == ("same_bytes", 1.0)


def test_files_that_differ_only_in_the_middle_are_not_the_same(library: Library) -> None:
    ends = b"e" * files.ENDS
    fill(library, turned(0, 90, 180), [ends + b"a" + ends, ends + b"b" + ends, ends + b"a" + ends])
    assert names(find_duplicates(library)) == [[0, 2]]


def test_missing_files_are_compared_by_vector(library: Library) -> None:
    for path in fill(library, turned(0, 1, 90), [b"same", b"same", b"same"])[:2]:
        path.unlink()
    (group,) = find_duplicates(library)
    assert (group.kind, names([group])) == ("alike", [[0, 1]])


def test_a_link_to_a_file_is_not_a_copy(library: Library) -> None:
    paths = fill(library, turned(0, 0, 2, 90), [b"one", b"one", b"two", b"three"])
    paths[0].unlink()
    paths[0].symlink_to(paths[1])
    assert names(find_duplicates(library, threshold=cosine(1))) == []
    assert names(find_duplicates(library, threshold=cosine(3))) == [[1, 2]]  # the real file stands for both


def test_images_that_share_only_a_region_are_not_duplicates(library: Library) -> None:
    everything = np.full(4, np.nan, np.float32)
    part = np.array([0, 0, 10, 10], np.float32)
    for number, degrees in enumerate(((0, 90), (45, 90.5), (120, 0.5))):
        entry = Entry(
            library.path / f"{number:03}.jpg",
            number,
            1,
            vectors=turned(*degrees),
            boxes=np.stack([everything, part]),
        )
        put(library, entry)
    assert find_duplicates(library, threshold=0.99) == []


def test_removed_images_are_in_no_group(library: Library) -> None:
    paths = fill(library, turned(0, 1, 2), [b"same"] * 3)
    with SqliteStore.open(library.path / "store.sqlite") as writer:
        writer.forget(paths[1:2])
    assert names(find_duplicates(library)) == [[0, 2]]


def test_reports_progress(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 2)
    fill(library, turned(0, 90, 1, 180, 181))
    steps: list[tuple[str, int, int]] = []
    groups = find_duplicates(library, progress=lambda *step: steps.append(step))
    assert [step for step in steps if step[0] == "Searching"] == [("Searching", at, 5) for at in (2, 4, 5)]
    assert [step for step in steps if step[0] == "Reading images"][-1] == ("Reading images", 5, 5)
    assert names(groups) == [[0, 2], [3, 4]]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_invalid_thresholds_are_refused(library: Library, threshold: float) -> None:
    with pytest.raises(UsageError, match="expected a cosine above 0, at most 1"):
        find_duplicates(library, threshold=threshold)


def test_k_must_be_a_number_of_neighbours(library: Library) -> None:
    with pytest.raises(UsageError, match="k: got 0"):
        find_duplicates(library, k=0)


def by_hand(vectors: NDArray[np.float32], threshold: float) -> list[tuple[list[int], float]]:
    """Compare all pairs; groups grow pair by pair, the most similar first."""
    cosines = {pair: float(vectors[pair[0]] @ vectors[pair[1]]) for pair in combinations(range(len(vectors)), 2)}
    groups: list[tuple[set[int], float]] = []
    for pair in sorted(cosines, key=lambda pair: -cosines[pair]):
        if cosines[pair] >= threshold:
            touched = [group for group in groups if group[0] & set(pair)]
            if len(touched) == 1 and set(pair) <= touched[0][0]:
                continue
            groups = [group for group in groups if group not in touched]
            groups.append((set(pair).union(*(group[0] for group in touched)), cosines[pair]))
    return sorted((sorted(group), score) for group, score in groups)


@pytest.mark.parametrize("spare", [0, 5, 1 << 20])  # links are dropped again and again, or never
@pytest.mark.parametrize("seed", range(3))
def test_equals_comparing_all_pairs(library: Library, seed: int, spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((40, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    monkeypatch.setattr(links, "SPARE_LINKS", spare)
    fill(library, vectors)
    groups = find_duplicates(library, threshold=0.97, k=39)
    expected = by_hand(vectors, 0.97)
    found = sorted(zip(names(groups), (group.score for group in groups), strict=True))
    assert [group for group, _ in found] == [group for group, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-6)
    assert groups == sorted(groups, key=lambda group: -group.score)


def test_unusual_file_names(library: Library) -> None:
    odd = os.fsencode(library.path) + b"/\xff\xfe.jpg"
    paths = [Path(os.fsdecode(odd)), library.path / "plain.jpg"]
    for path in paths:
        path.write_bytes(b"same")
    put(library, *(Entry(path, 4, 1, vectors=turned(90 * at)) for at, path in enumerate(paths)))
    (group,) = find_duplicates(library)
    assert set(group.paths) == set(paths)


def test_whitened_vectors_have_a_lower_threshold(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_threshold(library) == 0.95
    monkeypatch.setattr(library, "recipe", replace(library.recipe, whitening="some"))
    assert default_threshold(library) == 0.85
