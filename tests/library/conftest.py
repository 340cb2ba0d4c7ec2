"""A recipe with a tiny network, in a home of its own for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kindred.recipe import Recipe
from tiny_model import home, make_recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recipe]:
    with home(tmp_path_factory.mktemp("home")) as folder:
        yield make_recipe(folder)
