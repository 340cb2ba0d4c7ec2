"""Names for files that come from elsewhere: safe on every system, and different from one another."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

__all__ = ["UniqueNames", "safe_name"]

LONGEST = 120  # bytes, of the 255 that file systems allow

# Control and format characters (which can turn the direction of text), separators of any system, wildcards and quotes.
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202f\u2060-\u206f\ud800-\udfff\ufeff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


def safe_name(given: str, *, otherwise: str = "image") -> str:
    """Return the last part of a path of any system as a plain, visible file name of at most `LONGEST` bytes.

    >>> safe_name("../../etc/passwd"), safe_name("C:\\\\photos\\\\a?.jpg"), safe_name(".hidden"), safe_name("..")
    ('passwd', 'a_.jpg', 'hidden', 'image')
    """
    last = given.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", last)).strip(" .")
    name = _shortened(name or otherwise)
    return f"_{name}" if _RESERVED.match(name) else name


class UniqueNames:
    """Names given one after another, each made safe and different from all before, whatever the case of its letters."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def take(self, given: str) -> str:
        """Return a name like `given`: "a.jpg", then "a (2).jpg"."""
        plain = name = safe_name(given)
        whole = PurePosixPath(plain)
        number = self._next.get(plain.casefold(), 2)
        while name.casefold() in self._taken:
            name = f"{whole.stem} ({number}){whole.suffix}"
            number += 1
        self._next[plain.casefold()] = number
        self._taken.add(name.casefold())
        return name


def _shortened(name: str) -> str:
    whole = PurePosixPath(name)
    suffix = whole.suffix if len(whole.suffix.encode()) <= 12 else ""
    stem = name[: len(name) - len(suffix)].encode()[: LONGEST - len(suffix.encode())].decode(errors="ignore")
    return stem.rstrip(" .") + suffix if stem.rstrip(" .") else "image" + suffix
