"""A tiny network, recipes for it, and pictures to describe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kindred.recipe import Recipe
from pictures import save_picture
from tiny_model import home, make_recipe


@pytest.fixture(scope="session", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with home(tmp_path_factory.mktemp("home")) as here:
        yield here


@pytest.fixture(scope="session")
def tiny(models: Path) -> Recipe:
    return make_recipe(models)


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    shapes = ((64, 48), (48, 64), (96, 40))
    return [
        save_picture(folder / f"{at}.png", at, width=shapes[at % 3][0], height=shapes[at % 3][1]) for at in range(24)
    ]
