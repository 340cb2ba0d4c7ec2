"""The rendered collection: complete, reproducible, resumable, and made of pictures that differ."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kindred.errors import UsageError
from kindred_demo import DemoCollection, render_demo
from kindred_demo.camera import Camera, turned, warp
from kindred_demo.canvas import Canvas, smooth_path
from kindred_demo.kinds import KINDS, draw_thing, kind_of
from kindred_demo.lettering import lettering
from kindred_demo.motifs import MOTIFS
from kindred_demo.palettes import PALETTES, mix
from kindred_demo.photograph import photograph
from kindred_demo.plan import plan_photos, plan_queries, relevant
from kindred_demo.settings import settings_for
from kindred_demo.studio import Studio

OBJECTS, PHOTOS = 4, 12


@dataclass
class Rendered:
    made: DemoCollection
    progress: list[tuple[int, int]]

    def truth(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.made.groundtruth.read_text(encoding="utf-8"))
        return content

    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.made.folder).as_posix(): path.read_bytes()
            for path in sorted(self.made.folder.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    steps: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("demo") / "collection"
    made = render_demo(folder, objects=OBJECTS, photos=PHOTOS, progress=lambda done, total: steps.append((done, total)))
    return Rendered(made, steps)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(0)


def upright(jpeg: bytes | Path) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(jpeg) if isinstance(jpeg, bytes) else jpeg) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def test_the_example_is_a_query_of_the_whole_collection_with_one_object(tmp_path: Path) -> None:
    made = DemoCollection(tmp_path, tmp_path / "photos", tmp_path / "queries", tmp_path / "groundtruth.json")
    made.queries.mkdir()
    (made.queries / "mug-guitar.jpg").touch()
    example = made.example
    (planned,) = (each for each in plan_queries(0, objects=36) if tmp_path / each.name == example)
    assert planned.shot.companion is None


def test_every_file_of_the_ground_truth_exists_and_no_other(rendered: Rendered) -> None:
    truth = rendered.truth()
    assert set(truth) == {"name", "source", "licence", "metric", "database", "queries"}
    assert len(truth["database"]) == PHOTOS
    assert len(truth["queries"]) == OBJECTS
    assert set(rendered.files()) == {*truth["database"], *truth["queries"], "groundtruth.json", "demo.json"}
    assert all(name.startswith("photos/") for name in truth["database"])
    assert all(name.startswith("queries/") for name in truth["queries"])


def test_relevant_photographs_are_of_the_database_and_boxes_of_the_query(rendered: Rendered) -> None:
    truth = rendered.truth()
    for name, query in truth["queries"].items():
        assert set(query) == {"relevant", "junk", "box"}
        assert len(query["relevant"]) >= PHOTOS // OBJECTS
        assert set(query["relevant"]) <= set(truth["database"])
        height, width, _ = upright(rendered.made.folder / name).shape
        if query["box"] is not None:
            x0, y0, x1, y1 = query["box"]
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
    assert any(query["box"] for query in truth["queries"].values())


def test_pictures_have_a_cameras_size_and_differ(rendered: Rendered) -> None:
    small: list[NDArray[np.float32]] = []
    for path in sorted(rendered.made.folder.rglob("*.jpg")):
        pixels = upright(path)
        assert 360 <= min(pixels.shape[:2]) < max(pixels.shape[:2]) <= 640
        assert pixels.std() > 15
        small.append(np.asarray(Image.fromarray(pixels).resize((24, 24)), dtype=np.float32))
    gaps = [np.abs(a - b).mean() for i, a in enumerate(small) for b in small[:i]]
    assert min(gaps) > 4


def test_progress_counts_every_picture(rendered: Rendered) -> None:
    total = PHOTOS + OBJECTS
    assert rendered.progress == [(done, total) for done in range(total + 1)]


def test_a_complete_collection_is_left_alone(rendered: Rendered) -> None:
    before = {path: path.stat().st_mtime_ns for path in rendered.made.folder.rglob("*.jpg")}
    steps: list[tuple[int, int]] = []
    again = render_demo(
        rendered.made.folder,
        objects=OBJECTS,
        photos=PHOTOS,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert again == rendered.made
    assert steps == [(PHOTOS + OBJECTS, PHOTOS + OBJECTS)]
    assert {path: path.stat().st_mtime_ns for path in rendered.made.folder.rglob("*.jpg")} == before


def test_an_interrupted_run_resumes_with_the_same_files(rendered: Rendered, tmp_path: Path) -> None:
    folder = tmp_path / "collection"

    def stop(done: int, _total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_demo(folder, objects=OBJECTS, photos=PHOTOS, progress=stop)
    assert not (folder / "groundtruth.json").exists()
    assert not list(folder.rglob("*.part"))
    assert 5 <= len(list(folder.rglob("*.jpg"))) < PHOTOS + OBJECTS
    made = render_demo(folder, objects=OBJECTS, photos=PHOTOS)
    assert Rendered(made, []).files() == rendered.files()


def test_other_settings_or_other_files_in_the_folder_are_refused(rendered: Rendered, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"contains a demo collection made with .*give another folder"):
        render_demo(rendered.made.folder, seed=1, objects=OBJECTS, photos=PHOTOS)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match="contains files that are not a demo collection"):
        render_demo(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a part of its path is a file, not a folder; give another folder"):
        render_demo(tmp_path / "file" / "demo")


@pytest.mark.parametrize(("objects", "photos"), [(1, 10), (0, 0), (5, 4)])
def test_invalid_numbers_are_refused(objects: int, photos: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 2 objects"):
        render_demo(tmp_path / "demo", objects=objects, photos=photos)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_photographs_decode_upright(orientation: int, studio: Studio) -> None:
    planned = plan_photos(0, objects=OBJECTS, photos=PHOTOS)[0]
    plain, turned_one = (
        photograph(replace(planned.shot, orientation=value), studio, taken="2024:05:17 10:32:00")
        for value in (1, orientation)
    )
    with Image.open(io.BytesIO(turned_one.jpeg)) as image:
        stored = image.size
        assert image.getexif()[0x0112] == orientation
        assert image.getexif().get_ifd(0x8769)[0x9003] == "2024:05:17 10:32:00"
    upright_size = (turned_one.width, turned_one.height)
    assert stored == (upright_size if orientation == 3 else upright_size[::-1])
    difference = upright(plain.jpeg).astype(int) - upright(turned_one.jpeg)
    assert np.abs(difference).mean() < 4  # two JPEG files of the same picture


def test_the_default_plan_is_fair_and_varied() -> None:
    photos = plan_photos(0, objects=36, photos=324)
    assert len({each.name for each in photos}) == 324
    assert len({each.shot.seed for each in photos}) == 324
    assert [each.taken for each in photos] == sorted(each.taken for each in photos)
    turned_share = np.mean([each.shot.orientation != 1 for each in photos])
    assert 0.03 < turned_share < 0.25
    for thing in range(36):
        own = [each for each in photos if each.shot.thing == thing]
        assert len(own) == 9
        assert len(relevant(thing, photos)) >= 9
        assert len({each.shot.setting for each in own}) >= 3
    queries = plan_queries(0, objects=36)
    assert [each.shot.thing for each in queries] == list(range(36))
    assert len({each.name for each in queries}) == 36
    assert not {each.shot.seed for each in queries} & {each.shot.seed for each in photos}


def test_queries_keep_their_names_apart_in_a_large_collection() -> None:
    assert len({each.name for each in plan_queries(3, objects=400)}) == 400


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_kind_is_at_home_in_several_settings_and_drawn_from_the_seed(kind: str) -> None:
    assert len(settings_for(kind)) >= 3
    number = next(number for number in range(36) if kind_of(number) == kind)
    thing, again, other = (draw_thing(number, seed=seed) for seed in (0, 0, 1))
    assert thing.kind == kind
    assert thing.face.mode == "RGBA"
    assert thing.face.tobytes() == again.face.tobytes()
    assert thing.face.tobytes() != other.face.tobytes()
    assert 0.7 < thing.longest / KINDS[kind].longest < 1.4


@pytest.mark.parametrize("name", list(MOTIFS))
def test_motifs_fill_their_square_and_stay_near_it(name: str) -> None:
    canvas = Canvas(120, 120)
    MOTIFS[name](canvas.pen().at((0.5, 0.5), 0.25), PALETTES[0])
    ink = np.asarray(canvas.finished().getchannel("A")) > 0
    assert ink[30:90, 30:90].mean() > 0.1
    assert not ink[:18].any()
    assert not ink[-18:].any()
    assert not ink[:, :18].any()
    assert not ink[:, -18:].any()


def test_a_curve_goes_through_its_points() -> None:
    points = [(0.0, 0.0), (1.0, 0.5), (2.0, -1.0), (0.5, 2.0)]
    for closed in (True, False):
        path = smooth_path(points, closed=closed)
        assert [min(np.hypot(x - a, y - b) for a, b in path) for x, y in points] == pytest.approx([0, 0, 0, 0])


def test_lettering_stays_in_its_box() -> None:
    canvas = Canvas(200, 100)
    lettering(canvas.pen(), "THE QUIET OWL", box=(0.2, 0.1, 0.8, 0.4), ink=(0, 0, 0), weight=0.05, stretch=1.5)
    rows, columns = np.nonzero(np.asarray(canvas.finished().getchannel("A")))
    assert 39 <= columns.min() < columns.max() <= 160
    assert 19 <= rows.min() < rows.max() <= 80
    assert columns.max() - columns.min() > 100


def test_mixing_colours_runs_from_the_first_to_the_second() -> None:
    assert mix((0, 100, 200), (100, 0, 200), share=0.25) == (25, 75, 200)


def test_the_camera_sees_a_plane_as_it_sees_its_points() -> None:
    rotation = turned(pitch=-25, yaw=10, roll=3)
    camera = Camera(640, 480, 700.0, rotation, np.array([1.0, 2.0, 0.0]), 60.0, (12.0, -7.0))
    origin, across, down = np.array([-5.0, 3.0, -1.0]), np.array([8.0, 1.0, 0.0]), np.array([-1.0, 6.0, 0.5])
    s, t = 0.3, 0.8
    x, y, w = camera.plane(origin, across, down) @ np.array([s, t, 1.0])
    (seen,) = camera.project((origin + s * across + t * down)[None])
    assert seen == pytest.approx((x / w, y / w))
    assert camera.project(camera.target[None])[0] == pytest.approx((332.0, 233.0))
    assert rotation @ rotation.T == pytest.approx(np.eye(3))


def test_warp_puts_a_picture_where_its_square_is() -> None:
    picture = Image.new("RGBA", (20, 10), (200, 100, 50, 255))
    square = np.array([[20.0, 0, 30.0], [0, 10.0, 40.0], [0, 0, 1.0]])
    seen = warp(picture, square, frame=(100, 100))
    assert seen is not None
    patch, (left, top) = seen
    alpha = np.zeros((100, 100))
    alpha[top : top + patch.height, left : left + patch.width] = np.asarray(patch.getchannel("A")) / 255
    assert alpha[40:50, 30:50].min() == 1.0
    assert alpha.sum() == pytest.approx(200, abs=1)
    assert warp(picture, square - np.array([[0, 0, 90.0], [0, 0, 0], [0, 0, 0]]), frame=(100, 100)) is None
