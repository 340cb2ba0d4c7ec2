"""Pruning: images whose files are gone leave a library, and a disk that is not mounted empties none.

A scan that finds nothing is no deletion. Nothing is removed below a folder that is empty or holds no image, that
lies on another device than at its last run, or where more than a tenth of its images, and more than 20, are gone. What
was on another device than the folders that are left is out of reach, and stays, as does what may not be read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from kindred._support.os_errors import explain_os_error
from kindred.images import find_images
from kindred.library.paths import is_gone, is_missing
from kindred.store import Known, Root, Store

__all__ = ["PRUNE_COUNT", "PRUNE_SHARE", "Prune", "Pruned", "held_back", "note_root", "prune_root"]

Prune = Literal["keep", "gone", "all"]

PRUNE_COUNT = 20
PRUNE_SHARE = 0.1
"""More than so many images, and more than this share of a folder's, do not go at once by accident of the user's."""


@dataclass(frozen=True)
class Pruned:
    """What pruning a folder did.

    missing: images whose files are not there. removed: those that left the library. held: why others stay, as the end
    of a sentence about them; "" where none were held.
    """

    missing: int = 0
    removed: int = 0
    held: str = ""


def prune_root(store: Store, root: Path, mode: Prune, *, found: int) -> Pruned:
    """Remove the images below `root` whose files are gone, as `mode` has it: none, those surely gone, or all.

    found: images that a walk of `root` met.
    """
    known = store.count_under(root)
    if mode == "keep" and known <= found:  # as many as were met: all there, unless others are left out
        return Pruned()
    missing = [image for image in store.known_under(root) if is_missing(image.path)]
    if not missing or mode == "keep":
        return Pruned(len(missing))
    if mode == "all":
        return Pruned(len(missing), store.forget(image.path for image in missing))
    gone, held = _surely_gone(store, root, missing, found=found, known=known)
    return Pruned(len(missing), store.forget(image.path for image in gone) if gone else 0, held)


def held_back(store: Store, root: Path) -> str:
    """Return why `prune_root` would not remove every image below `root` whose file is missing; "" where it would."""
    missing = [image for image in store.known_under(root) if is_missing(image.path)]
    found = any(each.reason is None for each in find_images([root]))
    return _surely_gone(store, root, missing, found=int(found), known=store.count_under(root))[1]


def note_root(store: Store, root: Path) -> None:
    """Note what a folder looks like after a run, for the next one to compare."""
    try:
        device = os.stat(root).st_dev  # noqa: PTH116
    except OSError:
        return
    seen = datetime.now(UTC).isoformat(timespec="seconds")
    store.set_root(Root(root, device, store.count_under(root), seen))


def _surely_gone(
    store: Store, root: Path, missing: Sequence[Known], *, found: int, known: int
) -> tuple[list[Known], str]:
    """Return those of the `missing` images whose files are surely gone, and why others are held."""
    gone = [image for image in missing if is_gone(image.path, image.volume)]
    if why := _doubt(store, root, found=found, known=known, gone=len(gone)):
        return [], why
    return gone, "lay on a disk that is not mounted now" if len(gone) < len(missing) else ""


def _doubt(store: Store, root: Path, *, found: int, known: int, gone: int) -> str:
    """Return why what is gone below `root` may not be gone; "" where there is no reason to doubt."""
    try:
        device = os.stat(root).st_dev  # noqa: PTH116
        with os.scandir(root) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return f"{root} cannot be read ({explain_os_error(error)})"
    if empty:
        return f"{root} is empty, as if its disk was not mounted"
    before = {each.path: each for each in store.roots()}.get(root)
    if before is not None and before.device != device:
        return f"{root} lies on another device than at its last run"
    if not found:
        return f"no image is left in {root}"
    if gone > PRUNE_COUNT and gone > PRUNE_SHARE * known:
        return f"{gone:,} of the {known:,} images of {root} are gone at once"
    return ""
