"""HTML documents that need nothing else: pictures inside, no address outside, opened from the disk.

Everything that comes from file names is hostile until escaped: names may hold markup, quotes, control characters and
bytes that are not UTF-8. A document's content security policy lets it load nothing but what it says, and run no
script but its own.
"""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template

from kindred._support.files import write_whole

__all__ = ["fill", "html_address", "html_text", "picture_address", "write_document"]


def fill(template: str, *, images: str, **values: object) -> str:
    """Fill in the $names of a page below the head that all of them share: `values`, escaped already.

    The template begins with its own style and holds one script at most. `title` is among the values. `images` is where
    pictures may come from, as the policy says it: "data:" for those that the document holds.
    """
    script = template.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return Template(_head() + template).substitute(values, policy=policy)


@cache
def _head() -> str:
    """The head of every page, but its end: what it is, its content security policy, its colours and letters."""
    return (files("kindred.html") / "document.html").read_text(encoding="utf-8")


def write_document(file: Path, what: str, document: str) -> None:
    """Write a document so that the file is either whole or as it was; raises UsageError where that is impossible.

    `what` is what the message calls it.
    """
    write_whole(file, what, lambda part: part.write_text(document, encoding="utf-8", newline="\n"))


def html_text(value: str) -> str:
    """Escape for HTML text and quoted attributes; what cannot be shown (controls, surrogates) becomes U+FFFD."""
    # Direction marks are among what cannot be shown: they let "gpj.exe" look like "exe.jpg".
    return html.escape("".join(letter if letter.isprintable() else "\ufffd" for letter in value))


def html_address(path: Path) -> str:
    """Return the file address of a path, every byte that is not plain written as %XX; safe in an attribute."""
    return html.escape(path.absolute().as_uri())


def picture_address(jpeg: bytes) -> str:
    """Return an address that holds a JPEG picture itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
