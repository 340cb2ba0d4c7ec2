"""A query of few pixels: images of more pixels are compared with it at its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kindred.arrays import Vectors
from kindred.describer import Describer
from kindred.images import ImageLike, decode, resize
from kindred.library import Library
from kindred.library.resolution import CANDIDATES, LEAST, ReducedVectors, SmallQuery, small_query
from kindred.recipe import Recipe
from kindred.rerank import Context
from kindred.rerank.calibrated import evidence_of
from kindred.store import Filter
from pictures import Pixels

COUNT = 12
SIDE = 48


def photo(number: int) -> Pixels:
    """Return a picture whose finest details a thumbnail does not show."""
    random = np.random.default_rng(number)
    tiles = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((320, 240))
    pixels = np.array(tiles)
    fine = random.random((240, 320)) < 0.5
    pixels[fine] = random.integers(0, 256, (int(fine.sum()), 3))
    return pixels


def thumbnail(number: int) -> Pixels:
    return np.asarray(Image.fromarray(photo(number)).resize((SIDE, 36), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def wide(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, size=256, pooling="max", taps=("shallow",))


@pytest.fixture
def library(tmp_path: Path, wide: Recipe) -> Iterator[Library]:
    """Photographs, and thumbnails of all but the first."""
    for kind, draw in (("photos", photo), ("thumbnails", thumbnail)):
        (tmp_path / kind).mkdir()
        for number in range(kind == "thumbnails", COUNT):
            Image.fromarray(draw(number)).save(tmp_path / kind / f"{number:02}.png")
    with Library.create(tmp_path / "library", recipe=wide) as made:
        made.index([tmp_path / "photos", tmp_path / "thumbnails"])
        yield made


def scores(library: Library, query: ImageLike, **options: object) -> dict[str, float]:
    found = library.search(query, k=50, **options)  # type: ignore[arg-type]
    return {f"{hit.path.parent.name}/{hit.path.stem}": hit.score for hit in found}


def test_larger_images_are_compared_at_the_size_of_the_query(library: Library, tmp_path: Path) -> None:
    found = scores(library, thumbnail(0))
    assert len(found) == 2 * COUNT - 1
    query = library.describe(thumbnail(0))[0]
    for number in range(COUNT):
        whole = decode(tmp_path / "photos" / f"{number:02}.png", longest=SIDE).pixels
        at_size = library.describe(resize(whole, longest=SIDE))[0]
        assert found[f"photos/{number:02}"] == pytest.approx(float(at_size @ query), abs=1e-3)
    for number in range(1, COUNT):
        stored = library.describe(thumbnail(number))[0]
        assert found[f"thumbnails/{number:02}"] == pytest.approx(float(stored @ query), abs=1e-3)
    assert max(found, key=lambda name: found[name]) == "photos/00"
    assert abs(found["photos/00"] - scores(library, query)["photos/00"]) > 2e-3


@pytest.mark.parametrize("longest", [1, 12])
def test_images_are_reduced_to_no_fewer_pixels_than_distinguish_them(
    library: Library, tmp_path: Path, longest: int
) -> None:
    tiny = resize(photo(0), longest=longest)
    found, query = scores(library, tiny), library.describe(tiny)[0]
    for number in range(COUNT):
        reduced = resize(decode(tmp_path / "photos" / f"{number:02}.png", longest=LEAST).pixels, longest=LEAST)
        expected = float(library.describe(reduced)[0] @ query)
        assert found[f"photos/{number:02}"] == pytest.approx(expected, abs=1e-3)


def test_other_queries_are_compared_as_the_images_are_stored(library: Library) -> None:
    for query, options in (
        (photo(0), {}),
        (photo(0), {"box": (0, 0, 60, 45)}),
        (thumbnail(0), {"negatives": [photo(3)]}),
    ):
        described = library.describe(query if not options.get("box") else photo(0)[:45, :60])[0]
        found = scores(library, query, **options)
        if "negatives" not in options:
            assert found == pytest.approx(scores(library, described), abs=1e-3)
        assert not library._reduced._known


def test_a_filter_holds_for_larger_images_too(library: Library, tmp_path: Path) -> None:
    where = Filter(folder=tmp_path / "thumbnails")
    assert set(scores(library, thumbnail(0), where=where)) == {f"thumbnails/{number:02}" for number in range(1, COUNT)}
    assert len(library.search(thumbnail(0), k=2)) == 2


def test_a_file_that_cannot_be_read_is_compared_as_it_is_stored(library: Library, tmp_path: Path) -> None:
    stored = scores(library, library.describe(thumbnail(0))[0])
    (tmp_path / "photos" / "03.png").unlink()
    (tmp_path / "photos" / "04.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    found = scores(library, thumbnail(0))
    assert found["photos/03"] == pytest.approx(stored["photos/03"], abs=1e-3)
    assert found["photos/04"] == pytest.approx(stored["photos/04"], abs=1e-3)
    assert abs(found["photos/05"] - stored["photos/05"]) > 2e-3


def test_the_images_of_many_queries_are_described_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[int] = []
    vectors = Describer.whole_vectors

    def counted(self: Describer, items: Iterable[tuple[int, ImageLike]]) -> Generator[tuple[int, Vectors]]:
        listed = list(items)
        described.append(len(listed))
        return vectors(self, listed)

    first = scores(library, thumbnail(0))
    monkeypatch.setattr(Describer, "whole_vectors", counted)
    assert scores(library, thumbnail(0)) == first
    assert sum(described) == 0
    smaller = np.array(Image.fromarray(thumbnail(0)).resize((40, 30)))
    scores(library, smaller)
    assert sum(described) == COUNT


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, wide: Recipe) -> None:
    monkeypatch.setattr("kindred.library.resolution.CACHED", 5)
    describer = Describer(wide)
    remembered = ReducedVectors()
    for longest in (30, 40):
        query = SmallQuery(describer, longest, {number: np.zeros(1, np.float32) for number in range(4)})
        remembered.describe(query, {number: Path("/none") for number in range(4)})
    assert sorted(remembered._known) == [(30, 3), (40, 0), (40, 1), (40, 2), (40, 3)]


def test_which_queries_are_small(wide: Recipe) -> None:
    describer = Describer(wide)
    assert describer.full_size == 256
    assert small_query(describer, 204, 100) is not None
    assert small_query(describer, 205, 100) is None
    assert small_query(describer, None, None) is None
    rows = dataclasses.replace(wide, passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
    assert small_query(Describer(rows), 40, 30) is None
    both = Recipe("both", ensemble=(wide, dataclasses.replace(wide, size=400)))
    assert Describer(both).full_size == 400
    assert CANDIDATES > COUNT


def test_the_filter_of_larger_images(wide: Recipe) -> None:
    query = SmallQuery(Describer(wide), 100)
    assert query.larger(None) == [Filter(min_longest=125), Filter(min_longest=250)]
    assert query.larger(Filter(tags=("a",), min_longest=300)) == [Filter(tags=("a",), min_longest=300)]
    assert SmallQuery(query.describer, 204).larger(None) == [Filter(min_longest=255)]


def test_the_probability_follows_the_comparison_at_the_size_of_the_query() -> None:
    class Gallery:
        def fetch(self, ids: NDArray[np.int64]) -> Vectors:
            rows: Vectors = np.eye(3, dtype=np.float32)[ids]
            return rows

    query = np.eye(3, dtype=np.float32)[:1]
    at_size = {2: np.array([0.8, 0.6, 0], np.float32)}
    context = Context(query, Gallery(), at_query_size=at_size)  # type: ignore[arg-type]
    found = evidence_of(context, 0, np.array([1, 2]))
    assert found.cosines.tolist() == pytest.approx([0, 0.8])
    assert found.best.tolist() == pytest.approx([0.8, 0.8])


def test_small_images_among_queries_of_a_stream(library: Library) -> None:
    data = BytesIO()
    Image.fromarray(thumbnail(2)).save(data, "PNG")
    alone = [library.search(query, k=5) for query in (photo(1), data.getvalue())]
    together = [each.results for each in library.search_each([photo(1), data.getvalue()], k=5)]
    for one, other in zip(alone, together, strict=True):
        assert other is not None
        assert [hit.path for hit in one] == [hit.path for hit in other]
        assert one.scores == pytest.approx(other.scores, abs=1e-3)
