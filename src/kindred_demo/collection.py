"""Write a demo collection to a folder: photographs, queries and ground truth; resume after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kindred._support.files import replacing
from kindred._support.os_errors import explain_os_error
from kindred.errors import UsageError
from kindred_demo.flat import Box
from kindred_demo.photograph import photograph
from kindred_demo.plan import Planned, plan_photos, plan_queries, relevant
from kindred_demo.studio import Studio

__all__ = ["DemoCollection", "render_demo"]

EDITION = 1
"""Incremented whenever the same seed gives other pictures."""

WORKERS = 2


@dataclass(frozen=True)
class DemoCollection:
    """The files of a collection; only `photos` is to be indexed.

    `groundtruth` is a JSON file: "database" lists the photographs, "queries" has the relevant photographs and the box
    of each query. Its paths are relative to `folder`.
    """

    folder: Path
    photos: Path
    queries: Path
    groundtruth: Path

    @property
    def example(self) -> Path:
        """The query of the documentation, of which the default recipe is sure; else the first with a single object."""
        known = self.queries / "mug-guitar.jpg"
        if known.is_file():
            return known
        queries: dict[str, dict[str, object]] = json.loads(self.groundtruth.read_text(encoding="utf-8"))["queries"]
        return self.folder / min(name for name, facts in queries.items() if facts["box"] is None)


def render_demo(
    folder: Path,
    *,
    seed: int = 0,
    objects: int = 36,
    photos: int = 324,
    progress: Callable[[int, int], None] | None = None,
) -> DemoCollection:
    """Render photographs of drawn objects, one query for each object, and the ground truth.

    The pictures depend on seed, objects and photos only (given the versions of Pillow and NumPy). Existing files are
    not rendered again: a second call returns at once, and a call after an interruption renders what is missing.
    `progress` is called with the number of pictures done and the total. Raises UsageError for a folder with other
    contents and for invalid numbers.
    """
    pictures = plan_photos(seed, objects=objects, photos=photos)
    queries = plan_queries(seed, objects=objects)
    made = DemoCollection(folder, folder / "photos", folder / "queries", folder / "groundtruth.json")
    with _writing(folder):
        _claim(made, {"edition": EDITION, "seed": seed, "objects": objects, "photos": photos})
        todo = [each for each in pictures if not (folder / each.name).is_file()]
        # Boxes of queries are computed by rendering: without a ground truth, the queries are rendered again.
        finished = made.groundtruth.is_file()
        todo += [each for each in queries if not (finished and (folder / each.name).is_file())]
        boxes = _render(todo, folder, seed=seed, total=len(pictures) + len(queries), progress=progress)
        if not finished:
            _write(made.groundtruth, _groundtruth(pictures, queries, boxes))
    return made


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raise UsageError with one line if a collection cannot be written."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"demo collection in {folder}: {explain_os_error(error, folder)}; give another folder"
        ) from error


def _claim(made: DemoCollection, settings: dict[str, int]) -> None:
    """Create the folders and record the settings in demo.json; refuse a folder with other contents."""
    note = made.folder / "demo.json"
    if note.is_file():
        try:
            found = json.loads(note.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != settings:
            raise UsageError(
                f"{made.folder} contains a demo collection made with {found}, not {settings}; give another folder"
            )
    elif any(path.exists() for path in (made.photos, made.queries, made.groundtruth)):
        raise UsageError(f"{made.folder} contains files that are not a demo collection; give a new folder")
    for each in (made.photos, made.queries):
        each.mkdir(parents=True, exist_ok=True)
    if not note.is_file():
        _write(note, json.dumps(settings).encode())


def _render(
    todo: list[Planned], folder: Path, *, seed: int, total: int, progress: Callable[[int, int], None] | None
) -> dict[str, Box]:
    """Render and write pictures; return the boxes of their objects, by name."""
    done = total - len(todo)
    if progress is not None:
        progress(done, total)
    if not todo:
        return {}
    studio = Studio(seed)

    def make(planned: Planned) -> tuple[str, Box]:
        picture = photograph(planned.shot, studio, taken=planned.taken)
        _write(folder / planned.name, picture.jpeg)
        return planned.name, picture.box

    boxes: dict[str, Box] = {}
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="kindred-demo")
    try:
        for future in as_completed([pool.submit(make, each) for each in todo]):
            name, box = future.result()
            boxes[name] = box
            done += 1
            if progress is not None:
                progress(done, total)
    finally:
        # On Ctrl-C the current pictures are finished; the others are left for the next run.
        pool.shutdown(cancel_futures=True)
    return boxes


def _groundtruth(pictures: list[Planned], queries: list[Planned], boxes: dict[str, Box]) -> bytes:
    """Return the ground truth as JSON; a query has a box if it shows more than its object."""
    content = {
        "name": "kindred-demo",
        "source": "rendered by Kindred",
        "licence": "Apache-2.0, as Kindred itself",
        "metric": "recall@1 / mAP; relevant = photographs that show the query's object",
        "database": sorted(each.name for each in pictures),
        "queries": {
            each.name: {
                "relevant": relevant(each.shot.thing, pictures),
                "junk": [],
                "box": None if each.shot.companion is None else list(boxes[each.name]),
            }
            for each in queries
        },
    }
    return (json.dumps(content, indent=1) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(content)
