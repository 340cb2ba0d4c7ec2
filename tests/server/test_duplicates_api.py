"""Duplicates over HTTP: the search, its groups, what is decided about them, and lists of them."""

from __future__ import annotations

import csv
import io
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from kindred.duplicates.found_file import FILE
from kindred.library import Library
from kindred.recipe import Recipe
from kindred.server import ServerSettings, create_app
from lookalikes import photograph
from served import ADDRESS, MakeClient

API = "/api/v1"
PATIENCE = 60
NAMES = ("again.png", "other.png", "other.jpg", "small.jpg", "whole.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture, its exact copy and a smaller one; another picture in two formats under one name."""
    made = tmp_path / "pictures"
    made.mkdir()
    photograph(1).save(made / "whole.png")
    shutil.copy(made / "whole.png", made / "again.png")
    photograph(1).resize((320, 240)).save(made / "small.jpg")
    photograph(2).save(made / "other.png")
    photograph(2).save(made / "other.jpg")
    (made / "small.mov").write_bytes(b"film")
    return made


@pytest.fixture
def library(tmp_path: Path, folder: Path, recipe: Recipe) -> Path:
    path = tmp_path / "library"
    with Library.create(path, recipe=recipe) as made:
        made.index(folder)
    return path


@pytest.fixture
def client(make_client: MakeClient) -> TestClient:
    made = make_client()
    searched(made)
    return made


def searched(client: TestClient, **wanted: object) -> dict[str, Any]:
    answer = client.post(f"{API}/duplicates", json=wanted)
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + PATIENCE
    while (job := client.get(answer.headers["location"]).json())["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (job["kind"], job["state"]) == ("duplicates", "done"), job
    result: dict[str, Any] = job["result"]
    return result


def groups(client: TestClient, **params: Any) -> list[list[str]]:
    """Return the names of the images of each group."""
    answer = client.get(f"{API}/duplicates", params=params)
    assert answer.status_code == 200, answer.text
    return [[Path(image["path"]).name for image in group["images"]] for group in answer.json()["groups"]]


def ids(client: TestClient) -> dict[str, str]:
    found = client.get(f"{API}/duplicates", params={"threshold": 0.85}).json()["groups"]
    return {Path(image["path"]).name: image["id"] for group in found for image in group["images"]}


COPIES = {"kinds": ["same_picture"]}


def test_before_the_first_search_there_are_no_groups(make_client: MakeClient) -> None:
    answer = make_client().get(f"{API}/duplicates", params={"threshold": 0.9, "kinds": ["same_bytes"]})
    assert answer.status_code == 200  # a browser would write any other status into its console
    found = answer.json()
    assert (found["searched"], found["threshold"], found["least"]) == (None, None, None)
    assert (found["groups"], found["total"], found["images"], found["next"]) == ([], 0, 0, None)
    assert set(found["counts"].values()) == {0}


def test_what_needs_a_search_says_how_to_start_one(make_client: MakeClient) -> None:
    client = make_client()
    for answer in (
        client.get(f"{API}/duplicates/list"),
        client.post(f"{API}/duplicates/keep", json={"rules": ["larger"], "tag": "best"}),
    ):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["title"] == "Not searched yet"
        assert answer.json()["hint"] == "POST /duplicates starts the search"


def test_the_groups_of_a_search_with_facts_about_their_images(client: TestClient, folder: Path) -> None:
    found = client.get(f"{API}/duplicates", params=COPIES).json()
    assert found["images"] == len(NAMES)
    assert (found["changed"], found["marked"], found["most"], found["next"]) == (False, 0, None, None)
    assert found["counts"]["same_picture"] == found["total"] == 2
    assert found["folders"] == [{"path": str(folder), "images": len(NAMES)}]
    assert [[Path(image["path"]).name for image in group["images"]] for group in found["groups"]] == [
        ["other.png", "other.jpg"],
        ["again.png", "small.jpg", "whole.png"],
    ]
    group = found["groups"][1]
    assert (group["at"], group["kind"], len(group["key"])) == (1, "same_picture", 16)
    small = group["images"][1]
    assert (small["width"], small["height"], small["size"]) == (320, 240, (folder / "small.jpg").stat().st_size)
    assert (small["keep"], small["tags"], small["missing"], small["companions"]) == (None, [], False, [])
    assert small["modified"].startswith("20")


def test_one_group_has_the_files_that_belong_to_its_images(client: TestClient, folder: Path) -> None:
    (group,) = (each for each in client.get(f"{API}/duplicates", params=COPIES).json()["groups"] if each["at"] == 1)
    one = client.get(f"{API}/duplicates/{group['key']}", params={"rule": "larger"}).json()
    assert [image["companions"] for image in one["images"]] == [[], [str(folder / "small.mov")], []]
    assert [image["keep"] for image in one["images"]] == [True, False, False]
    for key in ("0" * 16, "x"):
        assert client.get(f"{API}/duplicates/{key}").status_code == 404


def test_groups_come_page_by_page(client: TestClient) -> None:
    first = client.get(f"{API}/duplicates", params={**COPIES, "limit": 1}).json()
    assert (first["total"], len(first["groups"]), first["next"]) == (2, 1, 1)
    second = client.get(f"{API}/duplicates", params={**COPIES, "limit": 1, "after": first["next"]}).json()
    assert (second["groups"][0]["at"], second["next"]) == (1, None)
    assert client.get(f"{API}/duplicates", params={"limit": 0}).json()["groups"] == []


def test_the_threshold_needs_no_other_search(client: TestClient) -> None:
    found = client.get(f"{API}/duplicates").json()
    assert found["least"] == pytest.approx(found["threshold"] - 0.1)
    assert groups(client, kinds=["alike"], threshold=0.9999) == []
    few = client.get(f"{API}/duplicates", params={"threshold": found["least"]}).json()
    assert few["threshold"] == found["least"]
    below = client.get(f"{API}/duplicates", params={"threshold": 0.5})
    assert (below.status_code, "search again" in below.text) == (400, True)
    above = client.get(f"{API}/duplicates", params={"threshold": 0.99, "most": 0.95})
    assert (above.status_code, "most is 0.95" in above.json()["detail"]) == (400, True)


def test_images_that_are_not_the_same_are_never_in_one_group_again(client: TestClient) -> None:
    known = ids(client)
    pair = {"ids": [known["other.png"], known["other.jpg"]]}
    assert client.post(f"{API}/duplicates/not-same", json=pair).json() == {"marked": 1}
    assert groups(client, **COPIES) == [["again.png", "small.jpg", "whole.png"]]
    assert len(groups(client, **COPIES, marked=True)) == 2
    listed = client.get(f"{API}/duplicates/not-same").json()
    assert (sorted(listed["pairs"][0]), listed["total"], listed["next"]) == (sorted(pair["ids"]), 1, None)
    searched(client)
    assert len(groups(client, **COPIES)) == 1
    assert client.request("DELETE", f"{API}/duplicates/not-same", json=pair).json() == {"unmarked": 1}
    assert len(groups(client, **COPIES)) == 2
    one = {"ids": [known["small.jpg"]], "others": [known["whole.png"], known["again.png"]]}
    assert client.post(f"{API}/duplicates/not-same", json=one).json() == {"marked": 2}
    assert groups(client, kinds=["same_bytes"]) == [["again.png", "whole.png"]]


def test_what_to_keep_is_chosen_by_rules_and_tagged(client: TestClient, folder: Path, library: Path) -> None:
    found = client.get(f"{API}/duplicates", params={**COPIES, "rule": ["format", "larger"]}).json()
    assert [[image["keep"] for image in group["images"]] for group in found["groups"]] == [
        [True, False],
        [True, False, False],
    ]
    done = client.post(
        f"{API}/duplicates/keep", json={"rules": ["format", "larger"], "tag": "best", "tag_others": "spare"}
    )
    assert done.json() == {"groups": 2, "kept": 2, "others": 3}
    with Library.open(library) as opened:
        tags = {name: opened.get(folder / name).tags for name in NAMES}
    assert tags == {
        "again.png": ("best",),
        "other.png": ("best",),
        "other.jpg": ("spare",),
        "small.jpg": ("spare",),
        "whole.png": ("spare",),
    }
    assert groups(client, **COPIES, without_tag="best") == []
    assert len(groups(client, **COPIES, without_tag="none")) == 2
    assert groups(client, **COPIES, without_tag=["best", "spare"]) == []
    assert len(groups(client, **COPIES, without_tag=["best", "none"])) == 2  # not all of their images have one
    assert client.get(f"{API}/duplicates", params=COPIES).json()["groups"][0]["images"][0]["tags"] == ["best"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*NAMES, "small.mov"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"rules": ["larger"]}, 400),
        ({"rules": [], "tag": "best"}, 422),
        ({"rules": ["biggest"], "tag": "best"}, 422),
        ({"rules": ["folder"], "tag": "best"}, 400),
        ({"rules": ["larger"], "tag": " "}, 400),
        ({"rules": ["larger"], "tag": "best", "more": 1}, 422),
    ],
)
def test_what_cannot_be_kept_is_a_problem(client: TestClient, body: dict[str, object], status: int) -> None:
    answer = client.post(f"{API}/duplicates/keep", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_list_is_a_file(client: TestClient, folder: Path) -> None:
    answer = client.get(f"{API}/duplicates/list", params={**COPIES, "rule": "larger"})
    assert answer.headers["content-disposition"] == 'attachment; filename="duplicates.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(Path(row["path"]).name, row["keep"]) for row in rows] == [
        *(("other.png", "yes"), ("other.jpg", "no")),
        *(("again.png", "yes"), ("small.jpg", "no"), ("whole.png", "no")),
    ]
    assert rows[3]["companions"] == str(folder / "small.mov")
    found = client.get(f"{API}/duplicates/list", params={**COPIES, "format": "json"}).json()
    assert [len(group["images"]) for group in found["groups"]] == [2, 3]
    assert client.get(f"{API}/duplicates/list", params={"format": "xml"}).status_code == 422


def test_removed_images_leave_their_groups_and_the_search_counts_as_old(client: TestClient, library: Path) -> None:
    known = ids(client)
    with Library.open(library) as opened:
        opened.remove([known["other.jpg"], known["small.jpg"]])
    assert groups(client, **COPIES) == []
    assert groups(client, kinds=["same_bytes"]) == [["again.png", "whole.png"]]
    assert client.get(f"{API}/duplicates").json()["changed"] is True


def test_moved_images_are_listed_where_they_are(client: TestClient, library: Path, folder: Path) -> None:
    with Library.open(library) as opened:
        folder.rename(folder.with_name("moved"))
        opened.move(folder, folder.with_name("moved"))
    found = client.get(f"{API}/duplicates", params=COPIES).json()["groups"]
    assert {Path(image["path"]).parent.name for group in found for image in group["images"]} == {"moved"}
    assert not any(image["missing"] for group in found for image in group["images"])


def test_the_last_search_is_there_after_a_restart(client: TestClient, library: Path) -> None:
    before = client.get(f"{API}/duplicates").json()
    with TestClient(create_app(library, ServerSettings()), base_url=ADDRESS) as again:
        after = again.get(f"{API}/duplicates").json()
    for each in (before, after):
        for group in each["groups"]:
            for image in group["images"]:
                image.pop("frames")  # known only where the file was decoded
            group["score"] = pytest.approx(group["score"], abs=1e-6)
    assert after == before


@pytest.fixture
def stored(client: TestClient, library: Path) -> Iterator[dict[str, Any]]:
    client.get(f"{API}/duplicates")
    with np.load(library / FILE) as found:
        yield dict(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", np.array(99)),
        ("library", np.frombuffer(b"another", np.uint8)),
        ("kinds", np.array([200], np.uint8)),
        ("bounds", np.array([0.5, 0.9])),
        ("ends", np.array([[1, 1]], np.int64)),
        ("ends", np.array([1, 2], np.int64)),
        ("turns", np.array([99], np.uint8)),
        ("scores", np.array([np.nan], np.float32)),
        ("cosines", np.array([7.0], np.float32)),
        ("searched", np.array(2**62)),
    ],
)
def test_a_damaged_file_counts_as_no_search(
    stored: dict[str, Any], library: Path, make_client: MakeClient, name: str, value: np.ndarray[Any, Any]
) -> None:
    np.savez(library / FILE, **{**stored, name: value})
    assert make_client().get(f"{API}/duplicates").json()["searched"] is None


def test_a_file_that_is_none_counts_as_no_search(client: TestClient, library: Path, make_client: MakeClient) -> None:
    client.get(f"{API}/duplicates")
    for content in (b"", b"no archive", b"PK\x03\x04" + bytes(100)):
        (library / FILE).write_bytes(content)
        assert make_client().get(f"{API}/duplicates").json()["searched"] is None
    (library / FILE).unlink()
    (library / FILE).symlink_to("/etc/passwd")
    assert make_client().get(f"{API}/duplicates").json()["searched"] is None


def test_a_read_only_server_shows_groups_and_changes_nothing(
    client: TestClient, make_client: MakeClient, library: Path
) -> None:
    known = ids(client)
    reader = make_client(read_only=True)
    assert len(groups(reader, **COPIES)) == 2
    pair = {"ids": [known["other.png"], known["other.jpg"]]}
    for answer in (
        reader.post(f"{API}/duplicates/not-same", json=pair),
        reader.request("DELETE", f"{API}/duplicates/not-same", json=pair),
        reader.post(f"{API}/duplicates/keep", json={"rules": ["larger"], "tag": "best"}),
    ):
        assert answer.status_code == 403
    assert len(groups(client, **COPIES)) == 2
    before = (library / FILE).stat()
    assert searched(reader, threshold=0.97)["threshold"] == 0.97  # in memory alone
    assert reader.get(f"{API}/duplicates").json()["threshold"] == 0.97
    assert (library / FILE).stat() == before
    assert make_client().get(f"{API}/duplicates").json()["threshold"] != 0.97


@pytest.mark.parametrize(
    "params",
    [
        *({"kinds": "copies"}, {"threshold": 0}, {"threshold": "nan"}, {"most": 2}),
        *({"rule": "x"}, {"after": -1}, {"limit": 501}),
    ],
)
def test_parameters_are_checked(client: TestClient, params: dict[str, object]) -> None:
    answer = client.get(f"{API}/duplicates", params=params)  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize(
    "given", [{"ids": []}, {"ids": ["x"]}, {"ids": ["0" * 16] * 1001}, {}, {"ids": ["0" * 16], "a": 1}]
)
def test_pairs_are_checked(client: TestClient, given: dict[str, object]) -> None:
    assert client.post(f"{API}/duplicates/not-same", json=given).status_code == 422
