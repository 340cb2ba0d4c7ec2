"""create_app: the application with its routes; nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

from fastapi import APIRouter, FastAPI

from kindred._support.version import __version__
from kindred.library import Library
from kindred.server.caches import Caches
from kindred.server.heads import Heads
from kindred.server.limits import Limits
from kindred.server.metrics import Metering
from kindred.server.problems import install_problems
from kindred.server.security import Security
from kindred.server.settings import ServerSettings
from kindred.server.state import State
from kindred.server.warming import warm

__all__ = ["API", "ROUTERS", "create_app"]

API = "/api/v1"

ROUTERS = (
    "additions",
    "description",
    "duplicates",
    "export",
    "health",
    "images",
    "jobs",
    "library",
    "map",
    "metrics",
    "removals",
    "saved",
    "search",
    "tags",
    "timeline",
    "uploads",
)
"""The modules of `kindred.server.routes` whose `router` is reached below `API`. One file and one line each."""

PAGES = ("page", "login")
"""Those whose `router` is reached at the root."""


def create_app(library: Library | Path | str, settings: ServerSettings | None = None) -> FastAPI:
    """Return the application that serves a library, which it closes at the end.

    Raises the errors of `Library.open` for a path.
    """
    opened = library if isinstance(library, Library) else Library.open(library)
    state = State(opened, settings or ServerSettings())
    state.part(Caches)  # before anything is stored

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.ensure_future(state.work.heavy(lambda: warm(state.library)))
        yield
        warming.cancel()
        state.close()

    app = FastAPI(title="Kindred", version=__version__, lifespan=lifespan, openapi_url=None, docs_url=None)
    app.state.kindred = state
    install_problems(app)
    app.add_middleware(Limits, settings=state.settings)
    app.add_middleware(Security, settings=state.settings)
    app.add_middleware(Heads)
    app.add_middleware(Metering, state=state)
    for name in ROUTERS:
        app.include_router(_router(name), prefix=API)
    for name in PAGES:
        app.include_router(_router(name), include_in_schema=False)
    return app


def _router(name: str) -> APIRouter:
    router: APIRouter = import_module(f"kindred.server.routes.{name}").router
    return router
