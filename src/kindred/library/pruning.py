"""Pruning: remove images whose files are gone, but not those of a disk that is not mounted.

Nothing is removed below a folder that is empty or contains no image, that is on another device than at its last run, or
if more than 20 and more than a tenth of its images are gone. Images on a device that is not mounted, and files that may
not be read, are not removed either.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from kindred._support.os_errors import explain_os_error
from kindred._support.remote_path import RemotePath
from kindred.images import find_images
from kindred.library.paths import is_gone, is_missing
from kindred.store import Known, Root, Store

__all__ = ["PRUNE_COUNT", "PRUNE_SHARE", "Prune", "Pruned", "held_back", "note_root", "prune_remote", "prune_root"]

Prune = Literal["keep", "gone", "all"]

PRUNE_COUNT = 20
PRUNE_SHARE = 0.1
"""If more images than both the count and the share of a folder are gone, the deletion is unlikely to be intended."""


@dataclass(frozen=True)
class Pruned:
    """Result of pruning a folder.

    missing: images whose files do not exist. removed: images removed from the library. Files that had been skipped are
    removed with them, and are not counted. held: the reason why others were not removed, as the end of a sentence about
    them; "" if there are none.
    """

    missing: int = 0
    removed: int = 0
    held: str = ""


def prune_root(store: Store, root: Path, mode: Prune, *, found: int) -> Pruned:
    """Remove images below `root` whose files are gone: none ("keep"), those certainly gone ("gone"), or "all".

    found: number of images that the walk of `root` found.
    """
    known = store.count_under(root)
    if mode == "keep" and known <= found:  # as many as were found: none is missing
        return Pruned()
    missing = [image for image in store.known_under(root) if is_missing(image.path)]
    if not missing or mode == "keep":
        return Pruned(_images(missing))
    gone, held = (missing, "") if mode == "all" else _surely_gone(store, root, missing, found=found, known=known)
    if gone:
        store.forget(image.path for image in gone)
    return Pruned(_images(missing), _images(gone), held)


def _images(files: Sequence[Known]) -> int:
    """Count the images among files, of which others were skipped."""
    return sum(each.state == "indexed" for each in files)


def prune_remote(store: Store, root: Path, mode: Prune, *, found: int, listed: Callable[[Path], bool]) -> Pruned:
    """Remove images below the remote address `root` that a complete listing does not have, as `prune_root` does.

    `listed` says of a path whether the listing had it. Unlike a disk, an object store that is not reachable ends a run
    with an error, so that only an unlikely number of missing files is doubted.
    """
    known = store.count_under(root)
    if mode == "keep" and known <= found:
        return Pruned()
    missing = [image for image in store.known_under(root) if not listed(image.path)]
    held = _unlikely(root, gone=len(missing), known=known) if missing else ""
    if mode == "keep" or (mode == "gone" and held):
        return Pruned(_images(missing), held=held)
    if missing:
        store.forget(image.path for image in missing)
    return Pruned(_images(missing), _images(missing))


def held_back(store: Store, root: Path) -> str:
    """Return why `prune_root` would not remove every image below `root` whose file is missing, or ""."""
    missing = [image for image in store.known_under(root) if is_missing(image.path)]
    found = any(each.reason is None for each in find_images([root]))
    return _surely_gone(store, root, missing, found=int(found), known=store.count_under(root))[1]


def note_root(store: Store, root: Path) -> None:
    """Record the device and the number of images of a folder, for comparison at the next run."""
    try:
        device = 0 if isinstance(root, RemotePath) else os.stat(root).st_dev  # noqa: PTH116
    except OSError:
        return
    seen = datetime.now(UTC).isoformat(timespec="seconds")
    store.set_root(Root(root, device, store.count_under(root), seen))


def _surely_gone(
    store: Store, root: Path, missing: Sequence[Known], *, found: int, known: int
) -> tuple[list[Known], str]:
    """Return those of the `missing` images whose files are certainly gone, and why others are not removed."""
    gone = [image for image in missing if is_gone(image.path, image.volume)]
    if why := _doubt(store, root, found=found, known=known, gone=len(gone)):
        return [], why
    return gone, "their disk is not mounted" if len(gone) < len(missing) else ""


def _doubt(store: Store, root: Path, *, found: int, known: int, gone: int) -> str:
    """Return the reason why the files missing below `root` may not have been deleted, or ""."""
    try:
        device = os.stat(root).st_dev  # noqa: PTH116
        with os.scandir(root) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return f"{root} cannot be read ({explain_os_error(error)})"
    if empty:
        return f"{root} is empty, as if its disk were not mounted"
    before = {each.path: each for each in store.roots()}.get(root)
    if before is not None and before.device != device:
        return f"{root} is on another device than at its last run"
    if not found:
        return f"{root} contains no image any more"
    return _unlikely(root, gone=gone, known=known)


def _unlikely(root: Path, *, gone: int, known: int) -> str:
    if gone > PRUNE_COUNT and gone > PRUNE_SHARE * known:
        return f"{gone:,} of the {known:,} images of {root} are gone"
    return ""
