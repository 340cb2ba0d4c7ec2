"""Kindred: deep image retrieval. Point it at a folder of images, show it one, get the images of the same thing.

>>> from kindred import Library
>>> with Library.create("holiday.kindred") as library:      # doctest: +SKIP
...     library.index("~/Pictures/holiday")
...     for hit in library.search("castle.jpg", k=5):
...         print(hit.rank, hit.score, hit.path)

Names are loaded when they are first used: `import kindred` itself imports neither NumPy nor any network.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kindred.describer import Describer
    from kindred.errors import KindredError
    from kindred.library import Answer, Hit, Library
    from kindred.ranking import Ranking
    from kindred.recipe import Recipe
    from kindred.store import Filter

__version__ = "0.1.0"

_HOMES = {
    "Answer": "kindred.library",
    "Describer": "kindred.describer",
    "Filter": "kindred.store",
    "Hit": "kindred.library",
    "KindredError": "kindred.errors",
    "Library": "kindred.library",
    "Ranking": "kindred.ranking",
    "Recipe": "kindred.recipe",
}

__all__ = [
    "Answer",
    "Describer",
    "Filter",
    "Hit",
    "KindredError",
    "Library",
    "Ranking",
    "Recipe",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'kindred' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
