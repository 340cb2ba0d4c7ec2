"""Whether the server can answer."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from kindred._support.version import __version__
from kindred.server.state import Here

__all__ = ["router"]

router = APIRouter(tags=["server"])


class Health(BaseModel):
    """The state of a server that can answer."""

    status: Literal["ok"] = "ok"
    version: str = __version__
    images: int


@router.get("/health")
async def health(here: Here) -> Health:
    """Return "ok" and the number of images, if the library can be read."""
    return Health(images=await here.work.light(lambda: len(here.library)))
