from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from kindred.atlas import LibraryAtlas, SheetsBusy, WholeMap, make_map, months, update_map
from kindred.atlas.columns import NO_DAY, OTHERS, columns_of, folder_groups
from kindred.atlas.map_file import load_map, newest_method, save_map
from kindred.atlas.sheets import AT_ONCE, Sheets, sheet_count, thumbnail_size
from kindred.errors import UsageError
from kindred.images import decode
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.store import Entry, Filter, SqliteStore
from pictures import save_picture

pytest.importorskip("sklearn", reason="maps need the extra maps")

COUNT = 30


def vector(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), np.sin(angle)]], np.float32)


def entry(path: Path, angle: float, taken: str | None = "2024-05-31") -> Entry:
    return Entry(path, 1, 1, width=96, height=64, taken=taken, vectors=vector(angle))


def put(library: Library, *entries: Entry) -> None:
    with SqliteStore.open(library.path / "store.sqlite") as writer:
        writer.put(entries)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """30 images whose vectors lie on a circle."""
    folder = tmp_path / "library"
    folder.mkdir()
    SqliteStore.create(folder / "store.sqlite", {"recipe": Recipe("made", "none").to_toml()}).close()
    with Library.open(folder) as opened:
        angles = np.linspace(0, 2 * np.pi, COUNT, endpoint=False)
        put(opened, *(entry(tmp_path / f"{number:02}.jpg", angle) for number, angle in enumerate(angles)))
        yield opened


def by_uid(mapped: WholeMap) -> dict[str, tuple[float, float]]:
    return {uid: (x, y) for uid, (x, y) in zip(mapped.uids, mapped.points.tolist(), strict=True)}


def test_every_image_is_on_the_map_and_neighbours_are_near(library: Library, tmp_path: Path) -> None:
    mapped = make_map(library, "mds")
    assert len(mapped) == len(set(mapped.uids)) == COUNT
    at = by_uid(mapped)
    around = [at[library.get(tmp_path / f"{number:02}.jpg").id] for number in range(COUNT)]
    steps = np.sqrt((np.diff([*around, around[0]], axis=0) ** 2).sum(axis=1))
    # The circle as the ranks deform it: no step is longer than a tenth of the way around.
    assert steps.max() < 0.25
    assert steps.sum() > 2


def test_of_many_images_a_sample_is_mapped_and_the_others_are_placed(library: Library) -> None:
    steps: list[tuple[int, int]] = []
    mapped = make_map(library, "mds", landmarks=12, progress=lambda *step: steps.append(step))
    assert len(mapped) == COUNT
    assert len(mapped.landmarks) == 12
    assert steps[0] == (12, COUNT)
    assert steps[-1] == (COUNT, COUNT)
    at = np.array([by_uid(mapped)[uid] for uid in library.store.outlines(Filter()).uids])
    steps_around = np.sqrt((np.diff(at, axis=0) ** 2).sum(axis=1))
    assert steps_around.max() < 0.25  # in the order of the circle, landmarks and others alike


def test_a_map_is_updated_without_moving_what_is_on_it(library: Library, tmp_path: Path) -> None:
    mapped = make_map(library, "spectral")
    before = by_uid(mapped)
    assert update_map(library, mapped) is mapped
    library.remove(tmp_path / "03.jpg")
    put(library, entry(tmp_path / "new.jpg", 2 * np.pi * 10.5 / COUNT))
    updated = update_map(library, mapped)
    after = by_uid(updated)
    new = library.get(tmp_path / "new.jpg").id
    assert after.keys() - before.keys() == {new}
    assert len(before.keys() - after.keys()) == 1
    assert all(after[uid] == before[uid] for uid in after if uid != new)
    assert updated.uids[-1] == new
    neighbours = [library.get(tmp_path / f"{number}.jpg").id for number in (10, 11)]
    apart = {uid: np.hypot(*np.subtract(after[new], at)) for uid, at in after.items() if uid != new}
    assert set(sorted(apart, key=lambda uid: apart[uid])[:4]) >= set(neighbours)
    assert updated.digest != mapped.digest
    assert np.array_equal(np.isin(updated.numbers[updated.landmarks], mapped.numbers[mapped.landmarks]), [True] * 29)


def test_an_image_described_again_moves(library: Library, tmp_path: Path) -> None:
    mapped = make_map(library, "mds")
    put(library, entry(tmp_path / "00.jpg", np.pi))
    moved = by_uid(update_map(library, mapped))[library.get(tmp_path / "00.jpg").id]
    opposite = by_uid(mapped)[library.get(tmp_path / "15.jpg").id]
    assert np.hypot(*np.subtract(moved, opposite)) < 0.15


def test_a_map_is_computed_anew_when_much_has_changed(library: Library, tmp_path: Path) -> None:
    mapped = make_map(library, "mds")
    put(library, *(entry(tmp_path / f"more-{number}.jpg", number / 10) for number in range(20)))
    updated = update_map(library, mapped)
    assert len(updated) == COUNT + 20
    assert len(updated.landmarks) == COUNT + 20  # all mapped by the method


def test_a_map_needs_four_images(library: Library, tmp_path: Path) -> None:
    library.remove([tmp_path / f"{number:02}.jpg" for number in range(27)])
    with pytest.raises(UsageError, match="at least 4"):
        make_map(library, "mds")


def test_a_map_comes_back_from_its_file(library: Library) -> None:
    mapped = make_map(library, "mds", landmarks=9)
    assert newest_method(library.path) is None
    save_map(library.path, mapped)
    again = load_map(library.path, "mds", images=COUNT)
    assert again is not None
    assert again.digest == mapped.digest
    assert again.revision == mapped.revision
    assert again.landmarks.tolist() == mapped.landmarks.tolist()
    assert load_map(library.path, "tsne", images=COUNT) is None
    assert newest_method(library.path) == "mds"


@pytest.mark.parametrize(
    "change",
    [
        {"points": np.full((COUNT, 2), np.nan, np.float32)},
        {"points": np.zeros((COUNT - 1, 2), np.float32)},
        {"numbers": np.zeros(COUNT, np.int64)},
        {"landmarks": np.array([COUNT])},
        {"landmarks": np.array([-1])},
        {"uids": np.zeros(COUNT)},
        {"levels": np.full(COUNT, 99, np.uint8)},
        {"version": np.array(99)},
        {"points": np.array([{}], object)},
    ],
)
def test_a_damaged_map_file_counts_as_none(library: Library, change: dict[str, np.ndarray]) -> None:
    save_map(library.path, make_map(library, "mds"))
    file = library.path / "atlas" / "map-mds.npz"
    with np.load(file) as arrays:
        sound = dict(arrays)
    np.savez(file, **{**sound, **change})
    assert load_map(library.path, "mds", images=COUNT) is None


def test_a_map_folder_that_links_elsewhere_is_not_written_to(library: Library, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (library.path / "atlas").symlink_to(elsewhere)
    mapped = make_map(library, "mds")
    save_map(library.path, mapped)
    assert list(elsewhere.iterdir()) == []
    assert load_map(library.path, "mds", images=COUNT) is None


def test_columns_follow_the_order_of_the_map(library: Library, tmp_path: Path) -> None:
    put(library, entry(tmp_path / "deep" / "a.jpg", 1.0, taken="1969-12-31"))
    library.tag(tmp_path / "07.jpg", ["sea", "rare"])
    library.tag(tmp_path / "08.jpg", "sea")
    mapped = make_map(library, "mds")
    columns = columns_of(library.store, mapped)
    at = {path.name: number for number, path in enumerate(columns.outlines.paths)}
    assert [mapped.uids[at[name]] for name in ("07.jpg", "a.jpg")] == [
        library.get(tmp_path / name).id for name in ("07.jpg", "deep/a.jpg")
    ]
    np.testing.assert_allclose(columns.aspects, 1.5)
    assert columns.days[at["a.jpg"]] == -1
    assert columns.days[at["07.jpg"]] == np.datetime64("2024-05-31").astype(int)
    assert dict(zip(columns.tags.names, columns.tags.sizes, strict=True)) == {"sea": 2, "rare": 1}
    assert columns.tags.names[columns.tags.numbers[at["07.jpg"]]] == "rare"
    assert columns.tags.names[columns.tags.numbers[at["08.jpg"]]] == "sea"
    assert columns.tags.numbers[at["09.jpg"]] == OTHERS
    assert columns.folders.names[columns.folders.numbers[at["a.jpg"]]] == "deep"
    library.remove(tmp_path / "07.jpg")
    now = columns_of(library.store, mapped)
    assert (now.days[at["07.jpg"]], now.aspects[at["07.jpg"]]) == (NO_DAY, -1)
    assert (now.days == NO_DAY).sum() == (now.aspects < 0).sum() == 1
    assert sum(now.folders.sizes) == len(mapped) - 1  # it does not count for the folder of another image
    assert now.folders.numbers[at["07.jpg"]] == OTHERS
    library.remove(list(mapped.uids))
    none = columns_of(library.store, mapped)
    assert (none.days == NO_DAY).all()
    assert (none.aspects == -1).all()
    assert (none.folders.names, none.folders.sizes) == ((), ())


def test_the_largest_folder_is_divided_as_long_as_there_are_few_groups() -> None:
    paths = [Path(f"/p/a/{inner}/{number}.jpg") for inner in "xyz" for number in range(5)]
    paths += [Path(f"/p/b/{number}/{number}.jpg") for number in range(20)]
    paths += [Path("/p/top.jpg")]
    groups = folder_groups(paths)
    assert dict(zip(groups.names, groups.sizes, strict=True)) == {"b": 20, "a/x": 5, "a/y": 5, "a/z": 5, "p": 1}
    assert groups.numbers[15] == groups.names.index("b")
    assert groups.names[groups.numbers[-1]] == "p"
    assert folder_groups([]).names == ()
    alone = folder_groups([Path("/p/a.jpg"), Path("/p/b.jpg")])
    assert (alone.names, alone.sizes, alone.numbers.tolist()) == (("p",), (2,), [0, 0])


def test_months_are_counted_in_order_of_time() -> None:
    days = {date(2024, 5, 31): 1, date(999, 1, 1): 4, None: 7, date(2024, 5, 1): 2}
    assert list(months(days).items()) == [("0999-01", 4), ("2024-05", 3)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((96, 64), (32, 21)), ((64, 96), (21, 32)), ((50, 50), (32, 32)), ((0, 0), (32, 32)), ((9000, 10), (32, 11))],
)
def test_thumbnails_have_the_shape_of_their_image_within_bounds(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert thumbnail_size(*size, 32) == expected


def test_a_sheet_shows_each_image_in_its_cell(tmp_path: Path) -> None:
    paths = [save_picture(tmp_path / f"{number}.png", number, width=96, height=64) for number in range(3)]
    paths.insert(1, tmp_path / "missing.png")
    sheets = Sheets(tmp_path)
    data = sheets.get([f"{number:016x}" for number in range(4)], paths, np.array([[96, 64]] * 4, np.int32), 32)
    sheet = decode(data).pixels.astype(int)
    assert sheet.shape == (32, 128, 3)
    assert np.abs(sheet[4:28, 36:60] - 128).max() < 12  # the missing one: grey
    for cell, path in ((0, paths[0]), (2, paths[2]), (3, paths[3])):
        own = decode(path).pixels
        shown = sheet[:21, 32 * cell : 32 * cell + 32]
        assert np.abs(shown.mean(axis=(0, 1)) - own.mean(axis=(0, 1))).max() < 12
        assert np.abs(sheet[24:, 32 * cell : 32 * cell + 32] - 128).max() < 20
    assert len(list((tmp_path / "atlas").iterdir())) == 1


def test_a_sheet_is_made_once(tmp_path: Path) -> None:
    read: list[str] = []

    def thumbnail(uid: str, _: Path, __: int) -> np.ndarray:
        read.append(uid)
        return np.zeros((32, 32, 3), np.uint8)

    sizes = np.ones((2, 2), np.int32)
    sheets = Sheets(tmp_path, thumbnails=thumbnail)
    one = sheets.get(["a" * 16, "b" * 16], [tmp_path, tmp_path], sizes, 128)
    assert sheets.get(["a" * 16, "b" * 16], [tmp_path, tmp_path], sizes, 128) == one
    assert sorted(read) == ["a" * 16, "b" * 16]
    assert sheets.cached(["a" * 16, "b" * 16], 128)
    (tmp_path / "atlas").joinpath(next((tmp_path / "atlas").iterdir()).name).write_bytes(b"no picture")
    assert sheets.get(["a" * 16, "b" * 16], [tmp_path, tmp_path], sizes, 128) == one
    assert len(read) == 4


def test_the_cache_of_sheets_is_bounded(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = random.integers(0, 255, (128, 128, 3), np.uint8)
    sheets = Sheets(tmp_path, thumbnails=lambda *_: noise, most_bytes=20_000)
    sizes = np.ones((1, 2), np.int32)
    for number in range(6):
        size = len(sheets.get([f"{number:016x}"], [tmp_path], sizes, 128))
    files = list((tmp_path / "atlas").iterdir())
    assert len(files) == 20_000 // size
    assert sheets.cached([f"{5:016x}"], 128)
    assert not sheets.cached([f"{0:016x}"], 128)


def test_a_sheet_is_made_once_for_all_who_want_it_and_few_at_a_time(tmp_path: Path) -> None:
    sizes = np.ones((1, 2), np.int32)
    go = threading.Event()
    begun: list[str] = []

    def thumbnail(uid: str, _: Path, __: int) -> np.ndarray:
        begun.append(uid)
        assert go.wait(20)
        return np.zeros((32, 32, 3), np.uint8)

    sheets = Sheets(tmp_path, thumbnails=thumbnail)
    with ThreadPoolExecutor(AT_ONCE + 1) as threads:
        wanted = [0, 0, *range(1, AT_ONCE)]  # the first one twice
        made = [threads.submit(sheets.get, [f"{number:016x}"], [tmp_path], sizes, 32) for number in wanted]
        while len(begun) < AT_ONCE:
            assert not any(each.done() for each in made)
        for busy in (0, 99):  # one that is being made, and one more
            with pytest.raises(SheetsBusy):
                sheets.get([f"{busy:016x}"], [tmp_path], sizes, 32, wait=0)
        go.set()
        assert made[0].result(20) == made[1].result(20)
    assert sorted(begun) == [f"{number:016x}" for number in range(AT_ONCE)]


def test_invalid_cells_and_numbers_are_refused(library: Library) -> None:
    atlas = LibraryAtlas(library)
    assert atlas.get() is None
    atlas.make("mds")
    made = atlas.get()
    assert made is not None
    with pytest.raises(UsageError, match="cell is 64; expected 32 or 128"):
        atlas.sheet(made, 64, 0)
    for number in (-1, 1):
        with pytest.raises(UsageError, match=f"sheet: got {number}; expected 0 to 0"):
            atlas.sheet(made, 32, number)
    assert sheet_count(4097, 32) == 2
    assert sheet_count(0, 32) == 0


def test_an_atlas_follows_the_library(library: Library, tmp_path: Path) -> None:
    atlas = LibraryAtlas(library)
    mapped = atlas.make("mds")
    first = atlas.get()
    assert first is not None
    assert atlas.get() is first
    assert atlas.is_current(mapped)
    library.tag(tmp_path / "00.jpg", "sea")  # columns change, the map does not
    second = atlas.get("mds")
    assert second is not None
    assert second.mapped is first.mapped
    assert second.digest != first.digest
    assert second.columns.tags.names == ("sea",)
    library.remove(tmp_path / "00.jpg")
    assert not atlas.is_current(mapped)
    assert len(atlas.make("mds")) == COUNT - 1
    again = LibraryAtlas(library).get()  # from the file
    assert again is not None
    assert len(again.mapped) == COUNT - 1
