"""Custom pooling functions, named in a recipe: imported only if allowed."""

from __future__ import annotations

import dataclasses
import importlib
import linecache
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kindred.cli.app import run
from kindred.describer import Describer, fit_recipe
from kindred.errors import LibraryError, RecipeError, RecipeMismatch
from kindred.library import Library
from kindred.pooling import POOLINGS, find_pooling, is_custom
from kindred.recipe import Recipe
from kindred.store import SqliteStore
from pictures import make_folder, picture
from tiny_model import home, make_recipe

SOURCE = """
print("imported", flush=True)
def squares(maps, *, power=2.0):
    return (maps ** power).mean(axis=(2, 3))
def broken(maps):
    return maps["no such thing"]
def flat(maps):
    return maps.reshape(len(maps), -1, 1)
number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "custom").mkdir()
    (tmp_path / "custom" / "my_poolings.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path / "custom")
    yield "my_poolings"
    sys.modules.pop("my_poolings", None)


@pytest.fixture
def recipe(tmp_path: Path) -> Iterator[Recipe]:
    with home(tmp_path / "home") as folder:
        yield make_recipe(folder)


def test_nothing_is_imported_unless_it_is_allowed(
    module: str, recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    custom = dataclasses.replace(recipe, pooling=f"{module}:squares")
    with pytest.raises(RecipeError, match=r"is code outside Kindred, .* allow_code=True in Python, --allow-code"):
        Describer(custom)
    with pytest.raises(RecipeError, match="is code outside Kindred"):
        Library.create(tmp_path / "library", recipe=custom)
    assert not (tmp_path / "library").exists()
    assert module not in sys.modules
    assert capfd.readouterr().out == ""


def test_the_pooling_equals_the_function(module: str, recipe: Recipe) -> None:
    custom = dataclasses.replace(recipe, pooling=f"{module}:squares", pooling_options={"power": 1.0}, allow_code=True)
    averaged = dataclasses.replace(recipe, pooling="average")
    images = [picture(1), picture(2)]
    np.testing.assert_allclose(Describer(custom).describe(images), Describer(averaged).describe(images), atol=1e-5)
    squared = Describer(dataclasses.replace(custom, pooling_options={}))
    assert np.abs(squared.describe(images) - Describer(averaged).describe(images)).max() > 1e-3
    assert squared.dimension == Describer(averaged).dimension


def test_a_library_cannot_allow_code(module: str, recipe: Recipe, tmp_path: Path) -> None:
    custom = dataclasses.replace(recipe, pooling=f"{module}:squares")
    make_folder(tmp_path / "photos", 5)
    with Library.create(tmp_path / "library", recipe=custom, allow_code=True) as library:
        library.index(tmp_path / "photos")
        assert "allow_code" not in library.store.meta["recipe"]
    with Library.open(tmp_path / "library") as library:
        with pytest.raises(RecipeError, match="is code outside Kindred"):
            library.search(picture(1))
        with pytest.raises(RecipeError, match="is code outside Kindred"):
            library.index(tmp_path / "photos")
        with pytest.raises(RecipeError, match="is code outside Kindred"):
            Library.open(tmp_path / "library", recipe=custom.allowing_code()).index(tmp_path / "photos")
        stored = library.store.meta["recipe"]
        library.store.set_meta("recipe", stored + "allow_code = true\n")
    with pytest.raises(LibraryError, match="allow_code"):
        Library.open(tmp_path / "library")
    with _restored(tmp_path, stored) as library:
        assert library.search(tmp_path / "photos" / "00003.jpg")[0].path.name == "00003.jpg"


def test_a_library_sent_to_another_process_may_run_what_the_sender_allowed(
    module: str, recipe: Recipe, tmp_path: Path
) -> None:
    custom = dataclasses.replace(recipe, pooling=f"{module}:squares", allow_code=True)
    make_folder(tmp_path / "photos", 3)
    with Library.create(tmp_path / "library", recipe=custom) as library:
        library.index(tmp_path / "photos")
        sent, bare = pickle.dumps(library), pickle.dumps(Library.open(library.path))
    with pickle.loads(sent) as again:
        assert len(again.search(next((tmp_path / "photos").iterdir()))) == 3
    with pickle.loads(bare) as again, pytest.raises(RecipeError, match="allow_code=True"):
        again.search(next((tmp_path / "photos").iterdir()))


def _restored(folder: Path, stored: str) -> Library:
    with SqliteStore.open(folder / "library" / "store.sqlite") as store:
        store.set_meta("recipe", stored)
    return Library.open(folder / "library", allow_code=True)


def test_changed_code_of_the_same_name_changes_the_fingerprint(module: str, recipe: Recipe, tmp_path: Path) -> None:
    custom = dataclasses.replace(recipe, pooling=f"{module}:squares", allow_code=True)
    make_folder(tmp_path / "photos", 3)
    with Library.create(tmp_path / "library", recipe=custom) as library:
        library.index(tmp_path / "photos")
    sys.modules.pop(module)
    file = tmp_path / "custom" / f"{module}.py"
    file.write_text(SOURCE.replace("mean(", "max("))
    importlib.invalidate_caches()
    linecache.clearcache()
    for cached in (tmp_path / "custom").rglob("*.pyc"):
        cached.unlink()
    refused = pytest.raises(RecipeMismatch, match="made with another pooling function or other parameters of it")
    with Library.open(tmp_path / "library", allow_code=True) as library, refused:
        library.index(tmp_path / "photos")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_module:f", r"cannot be imported \(No module named 'no_such_module'\)"),
        ("my_poolings:nothing", "has no attribute 'nothing'"),
        ("my_poolings:number", "is a int; expected a function of maps"),
        (":f", "cannot be imported"),
        ("my_poolings:", "cannot be imported"),
        ("my_poolings:broken", "failed on a map of ones"),
        ("my_poolings:flat", r"got vectors of shape .* for one map; expected \(1, D\)"),
    ],
)
def test_invalid_functions_are_reported_in_one_line(module: str, recipe: Recipe, name: str, why: str) -> None:
    assert module
    with pytest.raises(RecipeError, match=why) as caught:
        Describer(dataclasses.replace(recipe, pooling=name, allow_code=True))
    assert "\n" not in str(caught.value)


def test_permission_is_never_saved_and_applies_to_ensembles(recipe: Recipe, tmp_path: Path) -> None:
    custom = dataclasses.replace(recipe, pooling="a.b:c").allowing_code()
    assert custom.allow_code
    assert "allow" not in custom.to_toml()
    assert "allow_code" not in custom.as_dict()
    assert custom == custom.allowing_code(False)
    assert custom.digest == custom.allowing_code(False).digest
    both = Recipe("both", ensemble=(recipe, dataclasses.replace(recipe, pooling="a.b:c"))).allowing_code()
    assert all(part.allow_code for part in both.ensemble)
    (tmp_path / "custom.toml").write_text(custom.to_toml())
    assert not Recipe.load(tmp_path / "custom.toml").allow_code
    assert Recipe.load(tmp_path / "custom.toml", allow_code=True).with_settings(["size=64"]).allow_code
    (tmp_path / "custom.toml").write_text(custom.to_toml() + "allow_code = true\n")
    with pytest.raises(RecipeError, match="unknown key 'allow_code'"):
        Recipe.load(tmp_path / "custom.toml")
    with pytest.raises(RecipeError, match="unknown key 'allow_code'"):
        custom.with_settings(["allow_code=true"])


def test_names_of_the_table_are_not_custom() -> None:
    assert find_pooling("gem") is POOLINGS["gem"]
    assert not any(is_custom(name) for name in POOLINGS)
    with pytest.raises(RecipeError, match="did you mean 'gem'"):
        find_pooling("gemm")


def test_it_can_be_whitened(module: str, recipe: Recipe, tmp_path: Path) -> None:
    custom = dataclasses.replace(recipe, pooling=f"{module}:squares", allow_code=True)
    paths = make_folder(tmp_path / "photos", 40)
    fit_recipe(custom, paths, dimension=4).save(tmp_path / "fitted.toml")
    fitted = Recipe.load(tmp_path / "fitted.toml", allow_code=True)
    assert Describer(fitted).describe(paths[:3]).shape == (3, 4)


def test_the_command_line_requires_permission(
    module: str, recipe: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_folder(tmp_path / "photos", 4)
    (tmp_path / "custom.toml").write_text(dataclasses.replace(recipe, pooling=f"{module}:squares").to_toml())
    where = ["--library", str(tmp_path / "library")]
    index = ["index", str(tmp_path / "photos"), "--recipe", str(tmp_path / "custom.toml"), *where]
    assert run(index) == 1
    assert "--allow-code on the command line" in capfd.readouterr().err
    assert module not in sys.modules
    assert run([*index, "--allow-code"]) == 0
    search = ["search", str(tmp_path / "photos" / "00002.jpg"), *where]
    assert run(search) == 1
    assert run([*search, "--allow-code", "-k", "1"]) == 0
    assert "00002.jpg" in capfd.readouterr().out
