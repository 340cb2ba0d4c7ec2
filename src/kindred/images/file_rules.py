"""Which files of a folder are images to be indexed, by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase

__all__ = [
    "DEVELOPED",
    "EXTENSIONS",
    "HIDDEN_FILE",
    "HIDDEN_FOLDER",
    "MACHINE_MADE",
    "RAW_EXTENSIONS",
    "FileRules",
    "split_name",
]

EXTENSIONS = frozenset(
    [
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".jxl",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
"""The extensions of image files in a folder, in upper or lower case."""

RAW_EXTENSIONS = frozenset(
    [
        ".3fr",
        ".arw",
        ".cr2",
        ".cr3",
        ".dng",
        ".erf",
        ".kdc",
        ".mrw",
        ".nef",
        ".nrw",
        ".orf",
        ".pef",
        ".raf",
        ".raw",
        ".rw2",
        ".rwl",
        ".sr2",
        ".srw",
        ".x3f",
    ]
)
"""The extensions of camera raw files; a JPEG, HEIC or TIFF of the same name in the folder is the same shot."""
DEVELOPED = (".jpg", ".jpeg", ".jpe", ".jfif", ".heic", ".heif", ".tif", ".tiff")

MACHINE_MADE = (
    "@eaDir",  # thumbnails of Synology
    "@Recycle",
    "@Recently-Snapshot",
    "#recycle",
    "#snapshot",
    ".Trash*",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__MACOSX",
    "*.lrdata",  # previews of Lightroom
    "*.lrcat-data",
    "*.photoslibrary",  # Apple Photos: originals, derivatives and thumbnails under internal names
    "*.photolibrary",
    "*.aplibrary",
    "*.migratedphotolibrary",
)
"""Folders of generated files, which are not searched unless one is given as a root."""

HIDDEN_FILE = "hidden file"
HIDDEN_FOLDER = "inside a hidden folder"


class FileRules:
    """The rules of a scan. exclude: globs of names, or of paths below the root if they contain a slash."""

    def __init__(self, exclude: Sequence[str] = ()) -> None:
        self._exclude = tuple(pattern.casefold() for pattern in exclude)

    @property
    def needs_paths(self) -> bool:
        """Whether a rule looks at more than a name."""
        return bool(self._exclude)

    def folder_kind(self, name: str, below: str) -> str | None:
        """Return why a folder is left out, or None. below: its path below the root, with slashes."""
        folded = name.casefold()
        if any(fnmatchcase(folded, pattern.casefold()) for pattern in MACHINE_MADE):
            return "machine-made"
        return "by pattern" if self._excluded(folded, below) else None

    def file_kind(self, name: str, below: str, *, raw_beside: bool) -> str | None:
        """Return why a file is left out, or None. raw_beside: a developed image has the same name, up to extension."""
        _, extension = split_name(name)
        raw = extension in RAW_EXTENSIONS
        if extension not in EXTENSIONS and not raw:
            return extension if 1 < len(extension) <= 12 else "without extension"
        if name.startswith("._"):
            return "of macOS"
        if raw and raw_beside:
            return "raw beside its developed image"
        return "by pattern" if self._excluded(name.casefold(), below) else None

    def _excluded(self, folded: str, below: str) -> bool:
        path = below.casefold()
        return any(fnmatchcase(path if "/" in pattern else folded, pattern) for pattern in self._exclude)


def split_name(name: str) -> tuple[str, str]:
    """Return the stem and the extension of a file name, in lower case."""
    stem, extension = os.path.splitext(name)  # noqa: PTH122 - a path costs ten times this
    return stem.lower(), extension.lower()
