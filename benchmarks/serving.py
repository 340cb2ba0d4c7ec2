"""Measure the server: its overhead, a mixed load of many clients, slow clients, and how it ends and begins.

    python benchmarks/serving.py [--images 100000] [--clients 64] [--seconds 600] [--slow 900] [--only PART ...]
                                 [--folder DIR] [--output FILE.json]

The library has `--images` images with random vectors around 500 centres, whose files are hard links to 200 drawn
JPEGs. The server is `kindred serve` in a process of its own; the clients are in this one, so that they take part of
the same processor. Parts:

overhead  a search by the id of a stored image, in this process (`Library.search_examples`) and over HTTP, in turns
load      `--clients` clients for `--seconds`: 70 % searches by id, 10 % uploads, 15 % thumbnails, 5 % writes of a tag,
          while an index run adds images; the server's memory and descriptors are read once a second: its own memory
          (RssAnon), and apart from it the pages of mapped files (RssFile), such as those of the search index, which
          become resident as they are first read and which the system takes back when it needs them
slow      `--slow` connections that send a byte a second, and 100 others whose times are compared with those without
restart   SIGTERM under load until the end, and SIGKILL until the next start answers and has what was acknowledged

Bars: overhead ≤ 15 ms; no answer but 2xx and 503 with Retry-After; memory grows by less than 1 MB a minute after the
second minute, descriptors not at all; p99 beside slow clients ≤ twice that without; end ≤ 5 s, next start ≤ 2 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from kindred.library import Example, Library
from kindred.store import Entry
from live_server import LiveServer, serving
from pictures import encoded, save_picture

RECIPE = "kin-whitened"
POOL, CENTRES, BATCH = 200, 500, 2000
PARTS = ("overhead", "load", "slow", "restart")
SHARES = {"search": 0.70, "upload": 0.10, "thumbnail": 0.15, "tag": 0.05}
Report = dict[str, Any]
Sample = tuple[float, int, int, int]


def main() -> int:
    """Make the library, run the parts and print the figures."""
    options = _options()
    report: Report = {"images": options.images, "machine": machine()}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        library, began = made_library(folder, options.images), time.monotonic()
        print(f"library of {options.images:,} images: {time.monotonic() - began:.0f} s after its vectors", flush=True)
        for part in options.only or PARTS:
            report[part] = _RUN[part](library, folder, options)
            print(f"{part}: {json.dumps(report[part], indent=1)}", flush=True)
    return concluded(report, _missed(report), options.output)


def concluded(report: Report, missed: list[str], output: Path | None) -> int:
    """Print the bars that were missed, write the report, and return the exit code: 1 if any was missed."""
    report["missed"] = missed
    print("missed: " + (", ".join(missed) or "nothing"))
    if output is not None:
        output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


def made_library(folder: Path, images: int) -> Path:
    """Make a library of random vectors; its images are hard links to a few drawn ones."""
    path, photos = folder / "library", folder / "photos"
    pool = [save_picture(folder / f"pool/{number}.jpg", number, width=640, height=480) for number in range(POOL)]
    random_numbers = np.random.default_rng(16)
    with Library.create(path, recipe=RECIPE) as library:
        dimension = library.describe(pool[0]).shape[1]
        centres = random_numbers.normal(size=(CENTRES, dimension)).astype(np.float32)
        for start in range(0, images, BATCH):
            count = min(BATCH, images - start)
            rows = centres[random_numbers.integers(CENTRES, size=count)] * 0.5
            rows += random_numbers.normal(size=(count, dimension)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            library.store.put([_entry(photos, pool, start + at, rows[at : at + 1]) for at in range(count)])
        library.renew_index()
    return path


def _entry(photos: Path, pool: list[Path], number: int, vector: np.ndarray[Any, np.dtype[np.float32]]) -> Entry:
    place = photos / f"{number // 1000:04}/{number:07}.jpg"
    place.parent.mkdir(parents=True, exist_ok=True)
    os.link(pool[number % POOL], place)
    facts = place.stat()
    return Entry(place, facts.st_size, facts.st_mtime_ns, width=640, height=480, vectors=vector)


def _overhead(library: Path, _: Path, options: argparse.Namespace) -> Report:
    """Search by id here and over HTTP, in turns, each for images that were not searched for before."""
    own: list[float] = []
    theirs: list[float] = []
    with serving(library) as server, Library.open(library) as opened, httpx2.Client(base_url=server.api) as client:
        ids = _ids(client, 3 * options.queries + 10)
        for number in range(options.queries + 5):
            began = time.perf_counter()
            opened.search_examples([Example(ids[2 * number])], k=30)
            between = time.perf_counter()
            body = {"query": [{"image": ids[2 * number + 1]}], "k": 30}
            client.post("/search", json=body).raise_for_status()
            if number >= 5:  # the first ones open the index
                own.append(between - began)
                theirs.append(time.perf_counter() - between)
    return {
        "library_ms": round(1000 * statistics.median(own), 2),
        "http_ms": round(1000 * statistics.median(theirs), 2),
        "overhead_ms": round(1000 * (statistics.median(theirs) - statistics.median(own)), 2),
        "queries": options.queries,
    }


def _load(library: Path, folder: Path, options: argparse.Namespace) -> Report:
    """Let many clients ask at once while an index run adds images."""
    new = folder / "new"
    for number in range(max(50, int(options.seconds))):
        save_picture(new / f"{number}.jpg", 10_000 + number, width=320, height=240)
    seen: dict[str, list[float]] = defaultdict(list)
    statuses: dict[str, int] = defaultdict(int)
    samples: list[Sample] = []
    with (
        serving(library, ["--folder", str(new)]) as server,
        httpx2.Client(base_url=server.api, timeout=60) as client,
    ):
        ids, stop = _ids(client, 2000), threading.Event()
        job = client.post("/jobs/index", json={}).json()["id"]
        watch = threading.Thread(target=_watch, args=(server.process.pid, samples, stop))
        watch.start()
        asyncio.run(_clients(server, ids, options, seen, statuses))
        stop.set()
        watch.join()
        indexed = client.get(f"/jobs/{job}").json()
    after = 120.0 if options.seconds > 240 else options.seconds / 2
    return {
        "seconds": options.seconds,
        "clients": options.clients,
        "requests": sum(statuses.values()),
        "statuses": dict(sorted(statuses.items())),
        "milliseconds": {kind: _percentiles(times) for kind, times in sorted(seen.items())},
        "memory_mb_per_minute": round(_slope(samples, 1, after) * 60 / 1e6, 3),
        "mapped_mb_per_minute": round(_slope(samples, 2, after) * 60 / 1e6, 3),
        "descriptors_per_minute": round(_slope(samples, 3, after) * 60, 3),
        "memory_mb": round(samples[-1][1] / 1e6, 1) if samples else None,
        "mapped_mb": round(samples[-1][2] / 1e6, 1) if samples else None,
        "index_run": {key: indexed[key] for key in ("state", "done", "total")},
    }


async def _clients(
    server: LiveServer,
    ids: list[str],
    options: argparse.Namespace,
    seen: dict[str, list[float]],
    statuses: dict[str, int],
) -> None:
    images = [encoded(number, width=400, height=300) for number in range(20)]
    end = time.monotonic() + options.seconds

    async def client(number: int) -> None:
        choose = random.Random(number)
        async with httpx2.AsyncClient(base_url=server.api, timeout=60) as http:
            while time.monotonic() < end:
                kind = choose.choices(list(SHARES), list(SHARES.values()))[0]
                began = time.monotonic()
                try:
                    answer = await _request(http, kind, choose.choice(ids), choose.choice(images), choose)
                except httpx2.HTTPError as error:
                    statuses[type(error).__name__] += 1
                    continue
                label = str(answer.status_code)
                if answer.status_code == 503 and "retry-after" not in answer.headers:
                    label = "503 without Retry-After"
                statuses[label] += 1
                if answer.status_code < 400:
                    seen[kind].append(time.monotonic() - began)
                else:
                    await asyncio.sleep(float(answer.headers.get("retry-after", "1")) * choose.uniform(0.5, 1.5))

    await asyncio.gather(*(client(number) for number in range(options.clients)))


async def _request(
    http: httpx2.AsyncClient, kind: str, uid: str, image: bytes, choose: random.Random
) -> httpx2.Response:
    if kind == "search":
        return await http.post("/search", json={"query": [{"image": uid}], "k": 30})
    if kind == "upload":
        return await http.post("/search/image", content=image, headers={"Content-Type": "image/jpeg"})
    if kind == "thumbnail":
        return await http.get(f"/images/{uid}/thumbnail", params={"size": "256"})
    return await http.post("/images/tags", json={"ids": [uid], "add": [f"t{choose.randrange(50)}"]})


def _slow(library: Path, _: Path, options: argparse.Namespace) -> Report:
    """Compare the times of 100 clients without and with many connections that send a byte a second."""
    with serving(library) as server, httpx2.Client(base_url=server.api) as client:
        ids = _ids(client, 500)
        without = asyncio.run(_beside(server, ids, 0, options.slow_seconds))
        beside = asyncio.run(_beside(server, ids, options.slow, options.slow_seconds))
    return {"without": without, "beside_slow": beside, "slow": options.slow, "ratio_p99": _ratio(beside, without)}


async def _beside(server: LiveServer, ids: list[str], slow: int, seconds: float) -> Report:
    """Return the percentiles of 100 clients that search once a second, beside slow connections."""
    times: list[float] = []
    end = time.monotonic() + seconds
    parts = urlsplit(server.address)

    async def crawl() -> None:
        head = b"POST /api/v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n"
        while time.monotonic() < end:
            try:
                _, writer = await asyncio.open_connection(parts.hostname, parts.port)
                for at in range(100_000):
                    if time.monotonic() > end:
                        break
                    writer.write(head[at : at + 1] or b" ")
                    await writer.drain()
                    await asyncio.sleep(1)
                writer.close()
            except OSError:  # cut by the server: it tries again
                await asyncio.sleep(1)

    async def usual(number: int) -> None:
        choose = random.Random(number)
        async with httpx2.AsyncClient(base_url=server.api, timeout=60) as http:
            await asyncio.sleep(choose.random())
            while time.monotonic() < end:
                began = time.monotonic()
                await http.post("/search", json={"query": [{"image": choose.choice(ids)}], "k": 30})
                times.append(time.monotonic() - began)
                await asyncio.sleep(max(0.0, 5 - (time.monotonic() - began)))

    work: list[Awaitable[None]] = [crawl() for _ in range(slow)]
    await asyncio.gather(*work, *(usual(number) for number in range(100)))
    return _percentiles(times)


def _restart(library: Path, _: Path, options: argparse.Namespace) -> Report:
    """Stop the server under load by SIGTERM and by SIGKILL, and look at what the next one has."""
    del options
    with serving(library) as server:
        (uid,) = _ids(httpx2.Client(base_url=server.api), 1)
        writer = _Writer(server, uid)
        began = time.monotonic()
        server.process.terminate()
        server.process.wait(30)
        ended = time.monotonic() - began
        broken = writer.stop()
    with serving(library) as server:
        writer = _Writer(server, uid)
        server.process.kill()
        server.process.wait(30)
        writer.stop()
    began = time.monotonic()
    with serving(library) as server, httpx2.Client(base_url=server.api) as client:
        client.get("/health").raise_for_status()
        served = time.monotonic() - began
        tags = set(client.get(f"/images/{uid}").json()["tags"])
    lost = sorted(set(writer.acknowledged) - tags)
    return {
        "seconds_to_end": round(ended, 2),
        "broken_bodies": broken,
        "seconds_to_serve_again": round(served, 2),
        "acknowledged": len(writer.acknowledged),
        "lost": lost,
    }


class _Writer:
    """A client that adds tags to an image, and remembers those that were acknowledged."""

    def __init__(self, server: LiveServer, uid: str) -> None:
        self.acknowledged: list[str] = []
        self._broken = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, args=(server, uid))
        self._thread.start()
        while len(self.acknowledged) < 50:
            time.sleep(0.01)

    def stop(self) -> int:
        """End, and return how many bodies of answers were broken off."""
        self._ended.set()
        self._thread.join()
        return self._broken

    def _write(self, server: LiveServer, uid: str) -> None:
        name = os.urandom(4).hex()
        with httpx2.Client(base_url=server.api, timeout=30) as client:
            for number in range(100_000):
                try:
                    body = {"tags": {"add": [f"{name}-{number}"]}}
                    if client.patch(f"/images/{uid}", json=body).status_code == 200:
                        self.acknowledged.append(f"{name}-{number}")
                except httpx2.RemoteProtocolError as error:
                    self._broken += "body" in str(error)  # a connection that is closed before an answer is not broken
                    return
                except httpx2.HTTPError:
                    return
                if self._ended.is_set() or number > 400:
                    return


def _watch(pid: int, samples: list[Sample], stop: threading.Event) -> None:
    """Read the memory, the mapped pages and the number of descriptors of a process once a second."""
    began = time.monotonic()
    while not stop.wait(1):
        try:
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            own, mapped = (1024 * int(status[name].split()[0]) for name in ("RssAnon", "RssFile"))
            files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        except OSError:
            return
        samples.append((time.monotonic() - began, own, mapped, files))


def _slope(samples: list[Sample], column: int, after: float) -> float:
    """Return the growth per second of a column of samples by least squares, from `after` seconds on."""
    chosen = [(sample[0], sample[column]) for sample in samples if sample[0] >= after]
    if len(chosen) < 3:
        return float("nan")
    times, values = np.array(chosen, np.float64).T
    return float(np.polyfit(times, values, 1)[0])


def _percentiles(times: list[float]) -> Report:
    if not times:
        return {"count": 0}
    p50, p95, p99 = (round(1000 * float(value), 1) for value in np.percentile(times, (50, 95, 99)))
    return {"count": len(times), "p50": p50, "p95": p95, "p99": p99}


def _ratio(beside: Report, without: Report) -> float:
    return round(beside["p99"] / without["p99"], 2) if without.get("p99") and beside.get("p99") else float("nan")


def _ids(client: httpx2.Client, count: int) -> list[str]:
    found: list[str] = client.get("/images/layout", params={"limit": min(count, 10_000)}, timeout=60).json()["ids"]
    return found


def _missed(report: Report) -> list[str]:
    """Return the bars that were missed, of the parts that ran."""
    load, slow, restart = (report.get(part, {}) for part in ("load", "slow", "restart"))
    bad = [status for status in load.get("statuses", {}) if status not in ("200", "201", "304", "503")]
    checks = {
        "overhead ≤ 15 ms": report.get("overhead", {}).get("overhead_ms", 0) <= 15,
        f"only 2xx and 503 (got {', '.join(bad)})": not bad,
        "memory ≤ 1 MB a minute": not load.get("memory_mb_per_minute", 0) > 1,
        "descriptors flat": not load.get("descriptors_per_minute", 0) > 1,
        "p99 beside slow clients ≤ 2 ×": not slow.get("ratio_p99", 0) > 2,
        "end ≤ 5 s": restart.get("seconds_to_end", 0) <= 5,
        "start ≤ 2 s": restart.get("seconds_to_serve_again", 0) <= 2,
        "nothing lost or broken": not restart.get("lost") and not restart.get("broken_bodies"),
    }
    return [name for name, met in checks.items() if not met]


def machine() -> Report:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count(), "load": load}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=600, help="of the load (default: %(default)s; CI: 120)")
    parser.add_argument("--queries", type=int, default=200, help="of the overhead (default: %(default)s)")
    parser.add_argument("--slow", type=int, default=900, help="slow connections (default: %(default)s)")
    parser.add_argument("--slow-seconds", type=float, default=30, help="of each side (default: %(default)s)")
    parser.add_argument("--only", nargs="*", choices=PARTS, help="parts to run; default: all")
    parser.add_argument("--folder", type=Path, help="where the library is made; default: the temporary folder")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    return parser.parse_args()


_RUN: dict[str, Callable[[Path, Path, argparse.Namespace], Report]] = {
    "overhead": _overhead,
    "load": _load,
    "slow": _slow,
    "restart": _restart,
}

if __name__ == "__main__":
    raise SystemExit(main())
