"""Warming: what the first search would wait for is loaded when the server starts."""

from __future__ import annotations

import logging

from kindred.errors import KindredError
from kindred.library import Library

__all__ = ["warm"]

LOG = logging.getLogger("kindred.server")


def warm(library: Library) -> None:
    """Load the network and the search index of a library; what fails is reported by the first search."""
    try:
        if len(library):
            searcher = library.searcher
            searcher.index.sync()
        library.describer  # noqa: B018 - loads the network
        library.calibration  # noqa: B018
    except (KindredError, OSError) as error:
        LOG.info("not loaded in advance: %s", error)
