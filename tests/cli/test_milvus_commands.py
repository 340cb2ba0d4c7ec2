"""Commands with an index in Milvus print the same as without, and refuse what it cannot do in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import COUNT, Kindred
from kindred.cli.building import KINDS_HELP
from kindred.errors import UsageError
from kindred.index.milvus import building
from kindred.index.milvus.kinds import DEFAULT_KIND, KINDS
from kindred.library import Library
from kindred.store import STORES, Place
from milvus_server import MilvusProcess
from postgres_server import free_port


@pytest.fixture(autouse=True)
def _settling(monkeypatch: pytest.MonkeyPatch, milvus: MilvusProcess) -> None:
    monkeypatch.setattr(building, "SETTLING_SECONDS", milvus.settling)


def test_the_help_names_every_kind() -> None:
    assert f"Kind of index: {', '.join([*KINDS][:-1])} or {[*KINDS][-1]}." in KINDS_HELP
    assert KINDS_HELP.endswith(f"or {DEFAULT_KIND}.")


@pytest.mark.parametrize("kind", STORES)
def test_the_results_are_those_without_a_server(
    kindred: Kindred,
    milvus: MilvusProcess,
    photos: Path,
    recipe: Path,
    tmp_path: Path,
    kind: str,
    place_for: Callable[[str], Place],
) -> None:
    own = Path(shutil.copytree(photos, tmp_path / "own"))
    place, url = place_for(kind), str(milvus.url(f"commands_{kind}"))
    assert kindred("index", own, "--library", place, "--recipe", recipe).code == 0

    def results(image: Path, *words: object) -> object:
        return kindred("search", image, "-k", 20, "--library", place, "--json", *words).json["results"]

    first, *others = sorted(own.rglob("*.jpg"))
    plain = results(first)
    built = kindred("build-index", "--library", place, "--index", url)
    assert built.code == 0
    assert built.out.startswith(f"Built an index (hnsw) of {COUNT} vectors in ")
    assert f"--index {url}" in built.out
    assert results(first, "--index", url) == plain
    others[0].unlink()
    shutil.copy(first, own / "new.jpg")
    assert kindred("index", own, "--library", place, "--prune", "--index", url).code == 0
    plain = results(first)
    assert results(first, "--index", url) == plain
    again = kindred("build-index", "--library", place, "--index", url, "--json").json
    assert (again["created"], again["added"], again["removed"], again["vectors"]) == (False, 1, 1, COUNT)
    assert results(first, "--index", url) == plain
    with Library.open(place, index=url) as opened:
        assert opened.server == milvus.url(f"commands_{kind}")
        assert len(opened.search(first, k=20)) == COUNT
        assert opened.build_index("ivf").created
    assert kindred("verify", "--library", place, "--index", url).code == 0


def test_wrong_usage_is_one_line(kindred: Kindred, library: Path, photos: Path) -> None:
    image = next(photos.rglob("*.jpg"))
    away = f"milvus://127.0.0.1:{free_port()}/photos?timeout=1"
    cases: dict[tuple[object, ...], str] = {
        ("build-index",): "build-index: give the address of a server with --index",
        ("search", image, "--index", "http://host/x"): "index: got an address with another form; expected milvus://",
        ("build-index", "--index", away, "--kind", "hsnw"): "kind of index",
    }
    for words, message in cases.items():
        done = kindred(*words)
        assert done.code == 2
        assert message in done.err
        assert done.err.count("\n") == 1
    # Without an index that the library records, there is nothing to ask a server for.
    assert kindred("search", image, "--index", away).code == 0
    with Library.open(library) as opened, pytest.raises(UsageError, match="opened without index="):
        opened.build_index()


def test_a_recipe_that_milvus_cannot_search_is_refused(kindred: Kindred, photos: Path, recipe: Path) -> None:
    assert kindred("index", photos, "--recipe", recipe, "--set", "similarity=l1").code == 0
    done = kindred("build-index", "--index", "milvus://127.0.0.1/photos")
    assert done.code == 2
    assert "(similarity l1) is not searched by Milvus; leave out the address" in done.err


def test_the_address_may_be_in_the_environment(
    kindred: Kindred, library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KINDRED_INDEX", "milvus://host/1")
    done = kindred("build-index", "--library", library)
    assert done.code == 2
    assert "index: got an address with collection '1'" in done.err
