"""RayExecutor: describes files by the machines of a Ray cluster, one actor for each group of cores or GPU.

Paths go out and descriptions come back; pixels stay on the machine that decodes them. The process that indexes is the
only one that writes. It gives an actor more images only as descriptions come back, so that neither it nor Ray's object
store holds more than some megabytes for each.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from kindred.describer.description import Description
from kindred.describer.pool import Came, described_by
from kindred.describer.worker import DescriberWorker, MakesDescriber
from kindred.errors import KindredError, MissingExtra, RecipeMismatch, ServerError, UsageError

__all__ = ["RayExecutor", "is_ray_address"]

T = TypeVar("T")

CORES = 4
"""Cores of an actor, on machines that have as many: decoding and the network share them."""
OBJECT_STORE_BYTES = 200_000_000
"""Size of the object store of a cluster that is started here; Ray's default is 30 % of the memory."""
WAIT_SECONDS, LOOK_SECONDS = 1.0, 10.0
REACH_SECONDS, LARGEST_PORT = 10.0, 65_535
PATIENCE_SECONDS = 300.0
"""How long no actor may be alive before the run ends with an error; Ray notices a lost machine within half a minute."""

_ADDRESS = re.compile(r"ray(://[A-Za-z0-9._-]{1,255}:[0-9]{1,5})?")


def is_ray_address(text: str) -> bool:
    """Return whether `text` names a Ray cluster: "ray", that of this machine, or "ray://HOST:PORT"."""
    return _ADDRESS.fullmatch(text) is not None


class RayExecutor:
    """Describes files by actors of a Ray cluster, which all see the files under the same paths.

    make: makes the describer of an actor. fingerprint: what its describer must have; None for any. address: "ray" for
    the cluster that this machine belongs to, or else one that is started here and ends with the run; "ray://HOST:PORT"
    for one elsewhere. cores: of each actor. gpu: whether each has a GPU as well.
    """

    def __init__(
        self,
        make: MakesDescriber,
        *,
        fingerprint: str | None = None,
        address: str = "ray",
        cores: int | None = None,
        gpu: bool = False,
    ) -> None:
        if not is_ray_address(address):
            raise UsageError(f"executor {address!r:.100}: expected ray, or ray://HOST:PORT")
        self.make, self.fingerprint, self.address, self.gpu = make, fingerprint, address, gpu
        self.cores = cores
        _ray()

    def describe(self, items: Iterable[tuple[T, Path]]) -> Generator[Description[T], None, None]:
        """Describe any number of (key, path); see `kindred.describer.Executor`."""
        remaining = iter(items)
        for first in remaining:  # nothing is started for nothing
            with _connected(self.address):
                yield from described_by(_RayPool(self), chain([first], remaining))


@dataclass(frozen=True, eq=False)
class _Actor:
    """An actor, by identity."""

    handle: Any


class _RayPool:
    """The actors of one run, and the calls that they have not answered yet."""

    def __init__(self, executor: RayExecutor) -> None:
        self.ray, self.executor = _ray(), executor
        self.calls: dict[Any, _Actor] = {}
        self.opening: set[_Actor] = set()
        self.actors: set[_Actor] = set()
        self.cores = executor.cores or 0
        self.places, self.looked = 0, -LOOK_SECONDS
        self.alive = time.monotonic()

    def has_room(self) -> bool:
        """Return whether the machines of the cluster have room for another actor."""
        if time.monotonic() - self.looked > LOOK_SECONDS:
            nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
            counts = [int(node.get("CPU", 0)) for node in nodes]
            self.cores = self.executor.cores or max(1, min([CORES, *(count for count in counts if count)]))
            self.places = sum(self._places(node) for node in nodes)
            self.looked = time.monotonic()
        return len(self.actors) < self.places

    def _places(self, node: Mapping[str, float]) -> int:
        """Return how many actors a machine has room for."""
        by_cores = int(node.get("CPU", 0)) // self.cores
        return min(by_cores, int(node.get("GPU", 0))) if self.executor.gpu else by_cores

    def start(self) -> _Actor:
        """Start an actor."""
        options: dict[str, object] = {"num_cpus": self.cores, "scheduling_strategy": "SPREAD"}
        if self.executor.gpu:
            options["num_gpus"] = 1
        kind = self.ray.remote(DescriberWorker).options(max_restarts=0, max_task_retries=0, **options)
        actor = _Actor(kind.remote(self.executor.make, self.cores))
        self.actors.add(actor)
        self.opening.add(actor)
        self.calls[actor.handle.open.remote()] = actor
        return actor

    def send(self, worker: object, batch: Sequence[tuple[int, Path]]) -> None:
        """Give images to an actor."""
        assert isinstance(worker, _Actor)
        self.calls[worker.handle.exchange.remote(list(batch))] = worker

    def wait(self) -> list[Came]:
        """Return what has come from actors."""
        if not self.calls:
            time.sleep(WAIT_SECONDS)
        calls = list(self.calls)
        ready = self.ray.wait(calls, num_returns=1, timeout=WAIT_SECONDS)[0] if calls else []
        if ready or len(self.opening) < len(self.actors):
            self.alive = time.monotonic()
        elif time.monotonic() - self.alive > PATIENCE_SECONDS:
            raise ServerError(
                f"executor {self.executor.address}: no worker of {self.cores} cores could be started in "
                f"{PATIENCE_SECONDS:.0f} s; check the machines of the cluster with ray status"
            )
        return [self.came(call) for call in ready]

    def came(self, call: Any) -> Came:
        """Return the answer of an actor."""
        actor = self.calls.pop(call)
        errors = self.ray.exceptions
        try:
            answer = self.ray.get(call)
        except errors.RayTaskError as error:
            raise _cause(error) from error
        except errors.RayError:  # the actor or its machine is gone
            return self.lost(actor)
        if actor in self.opening:
            self.opening.discard(actor)
            self.check(answer)
            return Came(actor)
        return Came(actor, answer)

    def check(self, fingerprint: str) -> None:
        """Raise RecipeMismatch if an actor would describe differently from this process."""
        if self.executor.fingerprint not in (None, fingerprint):
            raise RecipeMismatch(
                f"executor {self.executor.address}: a worker has other networks, or another version of Kindred, "
                "than this machine; install the same there"
            )

    def lost(self, actor: _Actor) -> Came:
        """Forget an actor; what it holds ends with it."""
        self.actors.discard(actor)
        self.opening.discard(actor)
        self.looked = -LOOK_SECONDS
        with suppress(Exception):
            self.ray.kill(actor.handle)
        return Came(actor, lost=True)

    def close(self) -> None:
        """End all actors."""
        for actor in self.actors:
            with suppress(Exception):
                self.ray.kill(actor.handle)
        self.actors.clear()
        self.calls.clear()


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Connect this process to a cluster, unless the program has done so itself."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    with _handlers_restored():
        _connect(ray, address)
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers that it is used
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address != "ray":
            _reach(address)
            ray.init(address, **quiet)
            return
        try:
            ray.init("auto", **quiet)
        except ConnectionError:
            ray.init(
                "local",
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
    except (ConnectionError, OSError, RuntimeError, TimeoutError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise ServerError(f"executor {address}: its cluster cannot be used ({why}); check that it runs") from error


def _reach(address: str) -> None:
    """Raise OSError or ValueError if nothing answers at ray://HOST:PORT, which Ray would try for half a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if int(port) > LARGEST_PORT:  # which connecting would take modulo 65,536
        raise ValueError(f"{port} is no port")
    socket.create_connection((host, int(port)), timeout=REACH_SECONDS).close()


@contextmanager
def _handlers_restored() -> Iterator[None]:
    """Restore the handlers of signals, of which Ray replaces some."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [(number, signal.getsignal(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _cause(error: Any) -> BaseException:
    """Return what an actor raised, rather than Ray's account of it."""
    found = getattr(error, "cause", None)
    return found if isinstance(found, KindredError | OSError) else error


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtra("executor ray", "ray") from None
    return ray
