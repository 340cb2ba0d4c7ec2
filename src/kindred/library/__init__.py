"""Library: a folder on disk that holds the descriptions of images and answers which show the same thing."""

from kindred.library.answers import Answer, Hit, Info, QueryAnswer
from kindred.library.library import DEFAULT_LIBRARY, Library, absolute
from kindred.library.search_many import DEFAULT_FUSION, search_many

__all__ = [
    "DEFAULT_FUSION",
    "DEFAULT_LIBRARY",
    "Answer",
    "Hit",
    "Info",
    "Library",
    "QueryAnswer",
    "absolute",
    "search_many",
]
