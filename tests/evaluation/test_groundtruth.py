from __future__ import annotations

import json
from pathlib import Path

import pytest

from kindred.errors import UsageError
from kindred.evaluation import GroundTruth, read_groundtruth

GENERAL: dict[str, object] = {
    "name": "small",
    "database": ["db/a.jpg", "db/b.jpg", "db/c.jpg"],
    "queries": {
        "one/q.jpg": {"relevant": ["db/c.jpg", "db/a.jpg"], "junk": ["db/b.jpg"], "box": [1, 2, 30.5, 40]},
        "r.jpg": {"relevant": []},
    },
}
OXFORD: dict[str, object] = {
    "name": "towers",
    "images": ["a", "b", "c", "d"],
    "queries": [{"image": "a", "bbx": [0, 0, 5, 5], "ok": [2, 0], "junk": [1]}],
}
REVISITED: dict[str, object] = {
    "name": "rtowers",
    "images": ["a", "b", "c", "d"],
    "queries": [
        {"image": "q", "bbx": [0, 0, 5, 5], "easy": [3], "hard": [1], "junk": [0]},
        {"image": "r", "bbx": None, "easy": [], "hard": [2], "junk": []},
    ],
}


def read(folder: Path, table: object) -> GroundTruth:
    file = folder / "groundtruth.json"
    file.write_text(json.dumps(table), encoding="utf-8")
    return read_groundtruth(file)


def test_the_general_form(tmp_path: Path) -> None:
    truth = read(tmp_path, GENERAL)
    assert (truth.name, truth.protocol, truth.settings) == ("small", "plain", ("",))
    assert truth.database == ("db/a.jpg", "db/b.jpg", "db/c.jpg")
    first, second = truth.queries
    assert (first.image, first.folder, first.box) == ("one/q.jpg", "one", (1, 2, 30.5, 40))
    assert first.judgements[""].relevant.tolist() == [0, 2]
    assert first.judgements[""].junk.tolist() == [1]
    assert (second.folder, second.box) == ("", None)
    assert second.judgements[""].relevant.size == second.judgements[""].junk.size == 0


def test_the_form_of_oxford_and_paris(tmp_path: Path) -> None:
    truth = read(tmp_path, OXFORD)
    assert (truth.protocol, truth.settings) == ("oxford", ("",))
    judgement = truth.queries[0].judgements[""]
    assert (judgement.relevant.tolist(), judgement.junk.tolist()) == ([0, 2], [1])


def test_the_settings_of_the_revisited_protocol(tmp_path: Path) -> None:
    truth = read(tmp_path, REVISITED)
    assert (truth.protocol, truth.settings) == ("revisited", ("easy", "medium", "hard"))
    found = {
        setting: (judgement.relevant.tolist(), judgement.junk.tolist())
        for setting, judgement in truth.queries[0].judgements.items()
    }
    assert found == {"easy": ([3], [0, 1]), "medium": ([1, 3], [0]), "hard": ([1], [0, 3])}


def test_locates_its_images_beside_it_or_in_another_folder(tmp_path: Path) -> None:
    truth = read(tmp_path, OXFORD)
    images = tmp_path / "jpg"
    images.mkdir()
    for name in "abcd":
        (images / f"{name}.jpg").touch()
    database, queries = truth.locate(images)
    assert database == [images / f"{name}.jpg" for name in "abcd"]
    assert queries == [images / "a.jpg"]
    (images / "c.jpg").unlink()
    with pytest.raises(UsageError, match=r"groundtruth\.json: database names c, which is not in .*jpg"):
        truth.locate(images)


def test_a_missing_query_is_named(tmp_path: Path) -> None:
    truth = read(tmp_path, GENERAL)
    (tmp_path / "db").mkdir()
    for path in truth.database:
        (tmp_path / path).touch()
    with pytest.raises(UsageError, match=r"queries names one/q\.jpg, which is not in"):
        truth.locate()


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.json: the ground truth cannot be read \(no such file"):
        read_groundtruth(tmp_path / "gone.json")
    damaged = tmp_path / "damaged.json"
    for content in (b"{", b"\xff\xfe", b""):
        damaged.write_bytes(content)
        with pytest.raises(UsageError, match=r"damaged\.json: the ground truth is not JSON"):
            read_groundtruth(damaged)


def changed(table: dict[str, object], **entry: object) -> dict[str, object]:
    """`table` with `entry` in its first query."""
    queries = json.loads(json.dumps(table["queries"]))
    next(iter(queries.values() if isinstance(queries, dict) else queries)).update(entry)
    return table | {"queries": queries}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "expected an object with the keys"),
        ({"database": ["a"]}, "expected an object with the keys"),
        (GENERAL | {"name": 3}, "name is 3"),
        (GENERAL | {"database": "db"}, "database is missing or invalid; expected a list of paths"),
        (GENERAL | {"database": []}, "database is missing or invalid; expected at least one image"),
        (GENERAL | {"database": ["x", "y", "x"]}, "database names x twice"),
        (GENERAL | {"queries": {}}, "at least one query"),
        (GENERAL | {"queries": {"q": ["db/a.jpg"]}}, r"queries\['q'\] is missing or invalid"),
        (GENERAL | {"queries": {"q": {}}}, r"queries\['q'\].relevant is missing"),
        (changed(GENERAL, relevant=["db/z.jpg"]), r"relevant names db/z\.jpg, which is not in the database"),
        (changed(GENERAL, junk=["one/q.jpg"]), r"junk names one/q\.jpg, which is not in the database"),
        (changed(GENERAL, junk=["db/a.jpg"]), "lists an image as both relevant and junk"),
        (changed(GENERAL, box=[1, 2, 3]), "box is missing or invalid; expected null or four finite numbers"),
        (changed(GENERAL, box=[1, 2, 3, "4"]), "four finite numbers"),
        (changed(GENERAL, box=[0, 0, 10**400, 10**400]), "four finite numbers"),
        (changed(GENERAL, box=[0, 0, float("inf"), 5]), "four finite numbers"),
        (changed(GENERAL, box=[0, 0, float("nan"), 5]), "four finite numbers"),
        (changed(GENERAL, box=[5, 2, 5, 4]), "x0 < x1 and y0 < y1"),
        (OXFORD | {"queries": {}}, "a list of at least one query"),
        (OXFORD | {"queries": [3]}, r"queries\[0\] is missing or invalid"),
        (changed(OXFORD, ok=[4]), r"queries\[0\].ok .* whole numbers from 0 to 3"),
        (changed(OXFORD, ok=[-1]), "whole numbers from 0 to 3"),
        (changed(OXFORD, junk=[True]), "whole numbers from 0 to 3"),
        (changed(REVISITED, hard=None), r"queries\[0\].hard is missing"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path: Path, table: object, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(tmp_path, table)
    assert "groundtruth.json: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "images", "queries", "protocol"),
    [
        ("oxford5k", 5063, 55, "oxford"),
        ("paris6k", 6392, 55, "oxford"),
        ("roxford5k", 4993, 70, "revisited"),
        ("rparis6k", 6322, 70, "revisited"),
    ],
)
def test_the_published_benchmarks(shared: Path, name: str, images: int, queries: int, protocol: str) -> None:
    truth = read_groundtruth(shared / f"data/groundtruth-only/{name}.json")
    assert (len(truth.database), len(truth.queries), truth.protocol) == (images, queries, protocol)
    if protocol == "oxford":
        places = {image: place for place, image in enumerate(truth.database)}
        assert all(places[query.image] in query.judgements[""].relevant for query in truth.queries)
    else:
        assert not {query.image for query in truth.queries} & set(truth.database)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "images", "queries", "folders"),
    [
        ("smvs-dvd", 100, 200, {"Canon", "E63"}),
        ("gardens-point", 200, 200, {"day_right"}),
        ("grocery", 2936, 2485, {"test"}),
    ],
)
def test_the_development_sets(shared: Path, name: str, images: int, queries: int, folders: set[str]) -> None:
    truth = read_groundtruth(shared / f"data/{name}/groundtruth.json")
    database, asked = truth.locate()
    assert (len(database), len(asked)) == (images, queries)
    assert {query.folder for query in truth.queries} == folders
