"""Library: a folder on disk that stores the descriptors of images and is searched for similar ones."""

from kindred.library.examples import Example
from kindred.library.library import DEFAULT_LIBRARY, Library
from kindred.library.listing import ImagePage, Layout
from kindred.library.paths import absolute, located
from kindred.library.results import Hit, ImageRecord, Info, QueryResults, Results
from kindred.library.search_many import DEFAULT_FUSION, search_many

__all__ = [
    "DEFAULT_FUSION",
    "DEFAULT_LIBRARY",
    "Example",
    "Hit",
    "ImagePage",
    "ImageRecord",
    "Info",
    "Layout",
    "Library",
    "QueryResults",
    "Results",
    "absolute",
    "located",
    "search_many",
]
