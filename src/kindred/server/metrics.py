"""Metrics: what the server has answered and what it holds, in the text format of Prometheus."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kindred.server.state import State
from kindred.server.thumbnails import Thumbnails
from kindred.server.uploads import Uploads

__all__ = ["Metering", "Metrics"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of durations, in seconds."""

METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")


class Metrics:
    """Counts of requests by method, route and status, and their durations."""

    def __init__(self, state: State) -> None:
        self._state, self._began = state, time.time()
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._buckets: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS) + 1))
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        place = next((at for at, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        with self._lock:
            self._requests[method if method in METHODS else "other", route, status] += 1
            self._buckets[route][place] += 1
            self._seconds[route] += seconds

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus, version 0.0.4."""
        return "\n".join([*self._of_requests(), *self._of_state(), *self._of_process()]) + "\n"

    def _of_requests(self) -> Iterator[str]:
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
            buckets = {route: list(counts) for route, counts in self._buckets.items()}
        yield from _head("kindred_requests_total", "counter", "Requests answered.")
        for (method, route, status), count in sorted(requests.items()):
            yield f'kindred_requests_total{{method="{method}",route="{_escaped(route)}",status="{status}"}} {count}'
        yield from _head("kindred_request_seconds", "histogram", "Time from the request to the end of its answer.")
        for route, counts in sorted(buckets.items()):
            label, total = f'route="{_escaped(route)}"', 0
            for bound, count in zip((*BOUNDS, "+Inf"), counts, strict=True):
                total += count
                yield f'kindred_request_seconds_bucket{{{label},le="{bound}"}} {total}'
            yield f"kindred_request_seconds_sum{{{label}}} {seconds[route]:.6f}"
            yield f"kindred_request_seconds_count{{{label}}} {total}"

    def _of_state(self) -> Iterator[str]:
        lanes = self._state.work.lanes
        yield from _head("kindred_work_inside", "gauge", "Calls that run or wait, by kind of work.")
        yield from (f'kindred_work_inside{{lane="{lane.name}"}} {lane.inside}' for lane in lanes)
        yield from _head("kindred_work_refused_total", "counter", "Calls refused because too many waited.")
        yield from (f'kindred_work_refused_total{{lane="{lane.name}"}} {lane.refused}' for lane in lanes)
        thumbnails = self._state.part(Thumbnails)
        yield from _single("kindred_thumbnails_made_total", "counter", "Thumbnails decoded anew.", thumbnails.made)
        yield from _single("kindred_thumbnails_found_total", "counter", "Thumbnails read again.", thumbnails.found)
        uploads = len(self._state.part(Uploads))
        yield from _single("kindred_uploads", "gauge", "Query images stored.", uploads)
        images = len(self._state.library)
        yield from _single("kindred_images", "gauge", "Images of the library.", images)

    def _of_process(self) -> Iterator[str]:
        yield from _single("process_start_time_seconds", "gauge", "Start of the server.", f"{self._began:.3f}")
        yield from _single(
            "process_cpu_seconds_total", "counter", "Time of the processor.", f"{time.process_time():.3f}"
        )
        if (memory := _resident()) is not None:
            yield from _single("process_resident_memory_bytes", "gauge", "Resident memory.", memory)
        if (files := _open_files()) is not None:
            yield from _single("process_open_fds", "gauge", "Open file descriptors.", files)


class Metering:
    """ASGI middleware: counts every request with its route, status and duration."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._metrics = app, state.part(Metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # The address itself is not a label: anybody could make any number of them.
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.count(scope["method"], route, status, time.monotonic() - began)


def _head(name: str, kind: str, text: str) -> Iterable[str]:
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _single(name: str, kind: str, text: str, value: object) -> Iterable[str]:
    return *_head(name, kind, text), f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _resident() -> int | None:
    """Return the resident memory of this process in bytes, where Linux says it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _open_files() -> int | None:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - one system call, no objects
    except OSError:
        return None
