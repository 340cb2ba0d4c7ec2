"""State: what the routes of one application share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Annotated, Protocol, TypeVar, cast, runtime_checkable

from fastapi import Depends, Request

from kindred.library import Library
from kindred.server.problems import Problem
from kindred.server.settings import ServerSettings
from kindred.server.work import Work

__all__ = ["Closing", "Here", "State", "check_writable", "state_of"]


@runtime_checkable
class Closing(Protocol):
    """A part of the state that holds something to release."""

    def close(self) -> None:
        """Release what it holds."""
        ...


@runtime_checkable
class Stopping(Protocol):
    """A part of the state that works in the background."""

    def stop(self) -> None:
        """Begin to end; returns at once."""
        ...


P = TypeVar("P")


class State:
    """The library, the settings and the worker threads; and further parts, each made at its first use.

    A module with data of its own (thumbnails, uploads, jobs) has a class whose constructor takes the state, and reaches
    its one instance by `state.part(ThatClass)`.
    """

    def __init__(self, library: Library, settings: ServerSettings) -> None:
        self.library, self.settings, self.work = library, settings, Work(settings)
        self._parts: dict[object, object] = {}
        self._lock = threading.RLock()

    def part(self, kind: Callable[[State], P]) -> P:
        """Return the one instance of a class of this state, made at the first call; from any thread."""
        with self._lock:
            if kind not in self._parts:
                self._parts[kind] = kind(self)
            return cast(P, self._parts[kind])

    def stop(self) -> None:
        """Let parts that work in the background begin to end (those with a `stop`), before the server waits for them.

        A stream of events, for example, ends only then, and the server waits for its connections.
        """
        with self._lock:
            parts = list(self._parts.values())
        for part in parts:
            if isinstance(part, Stopping):
                part.stop()

    def close(self) -> None:
        """Close the parts (those with a `close`), last one first, then the threads and the library."""
        while self._parts:
            part = self._parts.popitem()[1]
            if isinstance(part, Closing):
                part.close()
        self.work.close()
        self.library.close()


def state_of(request: Request) -> State:
    """Return the state of the application that a request has reached."""
    return cast(State, request.app.state.kindred)


Here = Annotated[State, Depends(state_of)]
"""The parameter of a route that gives it the state."""


def check_writable(here: State) -> None:
    """Raise a problem if the library may not be changed through this server."""
    if here.settings.read_only:
        raise Problem(403, "this server does not change its library", hint="start it without --read-only")
