"""Metrics for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from kindred.server.metrics import Metrics
from kindred.server.state import Here

__all__ = ["router"]

router = APIRouter(tags=["server"])

TYPE = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics")
async def metrics(here: Here) -> Response:
    """Return counts and durations of requests, and what the server holds, in the text format of Prometheus."""
    return Response(await here.work.light(here.part(Metrics).text), media_type=TYPE)
