"""Self-contained HTML documents with embedded images, to be opened from the disk.

File names are untrusted and escaped: they may contain markup, quotes, control characters and bytes that are not
UTF-8. The content security policy of a document limits what it can load, and allows no script but its own.
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
    """Return the common head followed by `template`, with its $names replaced by `values`, which are already escaped.

    The template begins with its own style and has at most one script. `title` is among the values. `images` are the
    allowed sources of images in terms of the policy: "data:" for embedded ones.
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
    """The common head of every page without its end: metadata, content security policy, colours and fonts."""
    return (files("kindred.html") / "document.html").read_text(encoding="utf-8")


def write_document(file: Path, what: str, document: str) -> None:
    """Write a document atomically; raises UsageError if the file cannot be written.

    `what` is its name in error messages.
    """
    write_whole(file, what, lambda part: part.write_text(document, encoding="utf-8", newline="\n"))


def html_text(value: str) -> str:
    """Escape for HTML text and quoted attributes; unprintable characters (controls, surrogates) become U+FFFD."""
    # These include direction marks, with which "gpj.exe" could look like "exe.jpg".
    return html.escape("".join(letter if letter.isprintable() else "\ufffd" for letter in value))


def html_address(path: Path) -> str:
    """Return the file URL of a path, or the address of a remote one, percent-encoded and safe in an attribute."""
    return html.escape(path.absolute().as_uri())


def picture_address(jpeg: bytes) -> str:
    """Return a JPEG image as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
