from __future__ import annotations

import base64
import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kindred.atlas import lay_out, map_library, map_page, write_coordinates, write_map_page
from kindred.errors import UsageError
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Entry, SqliteStore
from pictures import save_picture

pytest.importorskip("sklearn", reason="maps need the extra maps")

COUNT = 24


def put(library: Library, *entries: Entry) -> None:
    with SqliteStore.open(library.path / "store.sqlite") as writer:
        writer.put(entries)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """24 pictures; their vectors lie on a circle."""
    folder = tmp_path / "library"
    folder.mkdir()
    SqliteStore.create(folder / "store.sqlite", {"recipe": Recipe("made", "none").to_toml()}).close()
    with Library.open(folder) as opened:
        for number, angle in enumerate(np.linspace(0, 2 * np.pi, COUNT, endpoint=False)):
            path = save_picture(tmp_path / "pictures" / f"{number:02}.jpg", number)
            vector = np.array([[np.cos(angle), np.sin(angle)]], np.float32)
            put(opened, Entry(path, path.stat().st_size, 1, vectors=vector))
        yield opened


def test_maps_every_image_with_its_own_picture_and_place(library: Library) -> None:
    mapped = map_library(library, "mds", longest=16)
    assert [path.name for path in mapped.paths] == [f"{number:02}.jpg" for number in range(COUNT)]
    assert mapped.total == COUNT
    assert mapped.missing == ()
    assert all(max(pixels.shape) == 16 for pixels in mapped.thumbnails)
    angles = np.unwrap(np.arctan2(mapped.points[:, 1], mapped.points[:, 0]))
    np.testing.assert_allclose(np.abs(np.diff(angles)), 2 * np.pi / COUNT, rtol=1e-3)


def test_draws_some_at_random_where_there_are_more(library: Library) -> None:
    few = map_library(library, "mds", images=10)
    assert len(few.paths) == len(few.points) == len(few.thumbnails) == 10
    assert few.total == COUNT
    assert few.paths == map_library(library, "mds", images=10).paths
    assert few.paths != map_library(library, "mds", images=10, seed=1).paths


def test_missing_and_damaged_files_are_left_out_and_reported(library: Library) -> None:
    paths = map_library(library, "mds").paths
    paths[3].unlink()
    paths[5].write_bytes(b"no picture")
    steps: list[tuple[int, int]] = []
    mapped = map_library(library, "mds", progress=lambda *step: steps.append(step))
    assert [path for path, _ in mapped.missing] == [paths[3], paths[5]]
    assert mapped.missing[0][1] == "file vanished"
    assert len(mapped.paths) == len(mapped.points) == COUNT - 2
    assert steps == [(done, COUNT) for done in range(1, COUNT + 1)]


def test_an_unknown_method_is_refused_before_any_image_is_read(library: Library) -> None:
    steps: list[tuple[int, int]] = []
    with pytest.raises(UsageError, match="unknown map 'mdss'; did you mean 'mds'"):
        map_library(library, "mdss", progress=lambda *step: steps.append(step))
    assert steps == []


def test_too_few_images_say_how_many_are_needed(library: Library) -> None:
    for path in map_library(library, "mds").paths[3:]:
        path.unlink()
    with pytest.raises(
        UsageError, match=r"got 3 vectors .* at least 4: .*\(21 of the library's files cannot be read\)"
    ):
        map_library(library, "mds")


def test_of_several_vectors_that_of_the_whole_image_is_used(library: Library) -> None:
    paths = map_library(library, "mds").paths
    everything, part = np.full(4, np.nan, np.float32), np.array([0, 0, 9, 9], np.float32)
    vectors = np.array([[0, 50], [50, 0]], np.float32)
    put(library, Entry(paths[0], 1, 1, vectors=vectors, boxes=np.stack([part, everything])))
    mapped = map_library(library, "mds")
    assert mapped.paths == paths
    assert np.ptp(mapped.points[:, 0]) == pytest.approx(51, abs=0.5)  # from 50 to −1 along the first axis


def test_of_parts_only_the_first_counts(library: Library) -> None:
    paths = map_library(library, "mds").paths
    boxes = np.array([[0, 0, 9, 9], [9, 9, 18, 18]], np.float32)
    for number, path in enumerate(paths):
        put(library, Entry(path, 1, 1, vectors=np.array([[number, 0], [0, 99]], np.float32), boxes=boxes))
    mapped = map_library(library, "mds")
    assert mapped.paths == paths
    assert np.ptp(mapped.points[:, 0]) == pytest.approx(COUNT - 1, abs=0.01)


def test_coordinates_are_written_as_csv(library: Library, tmp_path: Path) -> None:
    mapped = map_library(library, "mds")
    odd = Path(os.fsdecode(b'/a, "b"\xff.jpg'))
    mapped = replace(mapped, paths=(odd, *mapped.paths[1:]))
    write_coordinates(tmp_path / "map.csv", mapped)
    with (tmp_path / "map.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["path", "x", "y"]
    assert [line[0] for line in lines[1:]] == [str(path) for path in mapped.paths]
    np.testing.assert_allclose(np.array([line[1:] for line in lines[1:]], float), mapped.points, rtol=1e-4)
    with pytest.raises(UsageError, match=r"coordinates .* cannot be written: no such file"):
        write_coordinates(tmp_path / "no" / "map.csv", mapped)


def test_the_page_holds_every_image_and_escapes_names(library: Library, tmp_path: Path) -> None:
    mapped = map_library(library, "mds")
    hostile = Path(os.fsdecode(b'/x"><script>alert(1)</script>\xff.jpg'))
    mapped = replace(mapped, paths=(hostile, *mapped.paths[1:]), total=99)
    layout = lay_out(mapped.points)
    page = map_page(mapped, layout, title="<b>Mine</b>", method="mds")
    assert page.count("<img ") == COUNT
    assert page.count("<script>") == 1
    assert "&lt;b&gt;Mine&lt;/b&gt;" in page
    assert f"{COUNT} of 99 images by mds" in page
    assert "x%22%3E%3Cscript%3E" in page
    for column, row in layout.cells.tolist():
        assert f"left:{column * 64}px;top:{row * 64}px" in page
    write_map_page(tmp_path / "map.html", page)
    assert (tmp_path / "map.html").read_text(encoding="utf-8") == page
    with pytest.raises(UsageError, match="cannot be written"):
        write_map_page(tmp_path / "no" / "map.html", page)


def test_the_page_runs_only_its_own_script(library: Library) -> None:
    mapped = map_library(library, "mds")
    page = map_page(mapped, lay_out(mapped.points), title="Mine", method="mds")
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "http" not in page.replace("http-equiv", "")
