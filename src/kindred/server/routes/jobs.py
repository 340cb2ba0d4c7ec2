"""Background jobs: their progress, also as server-sent events, and their cancellation; updating from folders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from kindred.server.answers import answer
from kindred.server.folders import chosen_folders
from kindred.server.forms import RequestModel
from kindred.server.indexing import index_job
from kindred.server.jobs import Event, Job, Jobs
from kindred.server.state import Here, check_writable
from kindred.service import RequestForm
from kindred.service.form import json_text

__all__ = ["accepted", "router"]

router = APIRouter(prefix="/jobs", tags=["jobs"])

HEARTBEAT = 15.0  # seconds without an event after which a comment shows that the connection lives
SOON = 0.2  # seconds between two looks at whether the server waits no longer
RETRY = 1000  # milliseconds before a browser connects again


class IndexRequest(RequestModel):
    """What to index: a folder by its id, or every folder of the library."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"folder": None, "prune": "keep"}, {"prune": "gone"}]})
    folder: Annotated[str | None, Field(max_length=40, description="Id of a folder; null: every folder")] = None
    prune: Annotated[
        Literal["keep", "gone"], Field(description="Whether images are removed whose files are certainly gone")
    ] = "keep"


@router.get("")
async def jobs(here: Here, kind: str | None = None) -> Response:
    """Return the last jobs, newest first; of one kind, or of all.

    One that runs when the server ends is interrupted; its `again` is the request that starts it again.
    """
    return answer(here.part(Jobs).form(kind))


@router.post("/index", status_code=202)
async def index(here: Here, request: IndexRequest) -> Response:
    """Update the library from a folder, or from all: new and changed images are described, the rest is looked up."""
    check_writable(here)
    folders = await here.work.light(lambda: chosen_folders(here, request.folder))
    title = f"Updating {folders[0].name}" if len(folders) == 1 else f"Updating {len(folders)} folders"
    work, again = index_job(here.library, folders, request.prune), RequestForm("/jobs/index", request.model_dump())
    return accepted(here.part(Jobs).start("index", title, work, unit="files", again=again))


@router.get("/{job}")
async def job(here: Here, job: str) -> Response:
    """Return a job with its progress, its skipped files and its result."""
    return answer(here.part(Jobs).get(job).form())


@router.delete("/{job}", status_code=202)
async def cancel(here: Here, job: str) -> Response:
    """Cancel a job, which stops soon and whose finished work remains; forget one that was interrupted."""
    jobs = here.part(Jobs)
    found = jobs.get(job)
    found.cancel()
    if found.state == "interrupted":
        await here.work.light(lambda: jobs.forget(found.id))
    return answer(found.form(), status=202)


@router.get(
    "/{job}/events",
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events of the job"},
        204: {"description": "The job has ended and all its events were sent"},
    },
    response_class=StreamingResponse,
)
async def events(here: Here, job: str, last_event_id: Annotated[str | None, Header(max_length=20)] = None) -> Response:
    """Stream the events of a job: progress, skipped, and at the end done, failed, cancelled or interrupted.

    A client that reconnects with Last-Event-ID receives what it missed.
    """
    jobs = here.part(Jobs)
    found = jobs.get(job)
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else 0
    if found.ended and not found.events(after):
        return Response(status_code=204)  # which tells a browser not to connect again
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(jobs, found, after), media_type="text/event-stream", headers=headers)


def accepted(job: Job) -> Response:
    """Return the answer to a request that started a job: 202, its progress, and where to look for more."""
    return answer(job.form(), status=202, headers={"Location": f"/api/v1/jobs/{job.id}"})


async def _stream(jobs: Jobs, job: Job, after: int) -> AsyncIterator[bytes]:
    """Yield the events of a job as they come, until it has ended or the server ends."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(changed.set)

    leave = job.listen(wake)
    try:
        yield f"retry: {RETRY}\n\n".encode()
        while True:
            changed.clear()
            ended = job.ended or jobs.late  # before the events are read, so that the last one is among them
            for event in job.events(after):
                yield _as_text(event)
                after = event.id
            if ended:
                return
            try:
                await asyncio.wait_for(changed.wait(), SOON if jobs.stopped else HEARTBEAT)
            except TimeoutError:
                yield b": the job is running\n\n"
    finally:
        leave()


def _as_text(event: Event) -> bytes:
    return f"id: {event.id}\nevent: {event.name}\ndata: {json_text(event.data)}\n\n".encode()
