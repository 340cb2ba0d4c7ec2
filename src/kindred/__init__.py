"""Kindred: deep image retrieval. Point it at a folder of images, show it one, get the images of the same thing.

>>> from kindred import Library
>>> with Library.create("holiday.kindred") as library:      # doctest: +SKIP
...     library.index("~/Pictures/holiday")
...     for hit in library.search("castle.jpg", k=5):
...         print(hit.rank, hit.score, hit.path)

Names are loaded when they are first used: `import kindred` itself imports neither NumPy nor any network.
"""

from __future__ import annotations

from kindred._support.late import imported_late
from kindred._support.version import __version__ as __version__

# The name by which type checkers know it. `typing` itself takes 6 ms to import, in which Ctrl-C shows a traceback, as
# the command line handles signals from `kindred.cli.main` on.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from kindred.atlas import map_library as map  # noqa: A004 - the verb of the command line
    from kindred.client import Client
    from kindred.describer import Describer
    from kindred.describer import fit_recipe as fit
    from kindred.duplicates import find_duplicates
    from kindred.errors import KindredError
    from kindred.evaluation.compare import compare
    from kindred.evaluation.evaluate import evaluate
    from kindred.images.remote import allow_remote
    from kindred.library import Hit, Library, Results
    from kindred.library.search_many import search_many
    from kindred.ranking import Ranking
    from kindred.recipe import Recipe
    from kindred.store import Filter
    from kindred.training import distill, train

__all__ = [
    "Client",
    "Describer",
    "Filter",
    "Hit",
    "KindredError",
    "Library",
    "Ranking",
    "Recipe",
    "Results",
    "allow_remote",
    "compare",
    "distill",
    "evaluate",
    "find_duplicates",
    "fit",
    "map",
    "search_many",
    "train",
]


def _look_for_another_kindred() -> None:
    """Warn of another project's package of this name, which may have overwritten a part of this one."""
    from kindred._support.distribution import REMEDY, other_kindred

    if other := other_kindred():
        from warnings import warn_explicit

        # Not `warn`, which adds the line of source that imports: this is one line.
        warn_explicit(f"another project's package {other} is installed: {REMEDY}", UserWarning, "kindred", 1)


_look_for_another_kindred()


__getattr__ = imported_late(
    __name__,
    {
        "atlas": "map_library as map",
        "client": "Client",
        "describer": "Describer, fit_recipe as fit",
        "duplicates": "find_duplicates",
        "errors": "KindredError",
        "evaluation": "compare, evaluate",
        "images": "allow_remote",
        "library": "Hit, Library, Results, search_many",
        "ranking": "Ranking",
        "recipe": "Recipe",
        "store": "Filter",
        "training": "distill, train",
    },
)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
