"""Digests: what tells a file that was moved or touched from one that changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from kindred._support.files import open_bounded

__all__ = ["digest_of"]

HEAD, TAIL = 1 << 20, 1 << 10
LARGEST = 1 << 60  # any file: at most a megabyte of it is read


def digest_of(path: Path) -> bytes | None:
    """Return the SHA-256 of a file's size, first megabyte and last kilobyte; None where it cannot be read.

    Pictures that differ differ there: their data is compressed, and cameras write their facts in front. What differs
    only in the midst of larger files (a film, an archive) is not told apart; no such file is an image.
    """
    try:
        with open_bounded(path, LARGEST) as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(size.to_bytes(8, "little"))
            digest.update(file.read(HEAD))
            if size > HEAD:
                file.seek(max(HEAD, size - TAIL))
                digest.update(file.read(TAIL))
    except (OSError, ValueError):
        return None
    return digest.digest()
