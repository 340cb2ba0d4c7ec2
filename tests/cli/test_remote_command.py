"""Commands on remote images: what they read, and what they say where they may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import Kindred
from pictures import encoded
from tagged_store import ROOT, TaggedStore, delete, disallow, put, tagged_store


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[TaggedStore]]:
    with tagged_store(monkeypatch, images=4) as opened:
        put("bucket/photos/copy.jpg", encoded(1))
        yield opened


def test_commands_on_remote_images(
    kindred: Kindred, recipe: Path, store: type[TaggedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = kindred("index", ROOT, "--recipe", recipe, "--json").json
    assert (found["found"], found["indexed"], found["skipped"]) == (5, 5, [])
    store.reads.clear()
    disallow(monkeypatch)

    near = kindred("search", f"{ROOT}/2.jpg", "--json").json["results"][0]
    assert (near["path"], near["missing"]) == (f"{ROOT}/2.jpg", False)
    disallow(monkeypatch)
    store.reads.clear()

    alone = kindred("duplicates")
    assert f"{ROOT}/copy.jpg" in alone.out
    assert f"Images of {ROOT} were compared by their ETags" in alone.err
    checked = kindred("doctor")
    assert f"files of {ROOT} are remote and were not looked for" in checked.out
    assert store.reads == []
    assert "compared by their ETags" not in kindred("--remote", ROOT, "duplicates").err
    assert store.reads

    delete("bucket/photos/0.jpg")
    assert kindred("index", ROOT, "--prune", "--json").json["removed"] == 1
    assert kindred("tag", "liked", f"{ROOT}/2.jpg").code == 0
    assert kindred("search", "--tag", "liked", f"{ROOT}/3.jpg", "--json").json["results"][0]["path"] == f"{ROOT}/2.jpg"
    moved = kindred("move", ROOT, "s3://elsewhere/photos")
    assert "moved from tagged://bucket/photos to s3://elsewhere/photos" in moved.out
    assert "does not exist" not in moved.err


def test_wrong_addresses_are_one_line_each(kindred: Kindred, store: type[TaggedStore], own_folder: Path) -> None:
    for words, why in {
        ("index", "tagged://bucket/nothing"): "no object is listed there",
        ("index", "file:///photos"): "without file://",
        ("index", "https://example.org/photos"): "the web has no lists of files",
        ("index", "nosuch://bucket/photos"): "has no nosuch://",
        ("--remote", "photos", "info"): "is not a remote address",
    }.items():
        done = kindred(*words)
        assert done.code != 0
        assert why in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert not (own_folder / ".kindred").exists()
    assert store.reads == []
