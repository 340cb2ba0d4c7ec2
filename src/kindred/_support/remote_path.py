"""Addresses of remote files, such as s3://bucket/photos/1.jpg, as paths."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NoReturn, Self
from urllib.parse import quote

from kindred.errors import UsageError

if sys.platform == "win32":
    from pathlib import WindowsPath as LocalPath
else:
    from pathlib import PosixPath as LocalPath

__all__ = ["RemotePath", "remote_path"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")
_REFUSED = {
    "file:": "is on this machine; give its path without file://",
    "local:": "is on this machine; give its path without local://",
    "http:": "the web has no lists of files; download the images, or give an object store, such as s3://BUCKET/FOLDER",
    "https:": "the web has no lists of files; download the images, or give an object store, such as s3://BUCKET/FOLDER",
}


class RemotePath(LocalPath):
    """The address of a remote file or folder; equal parts, parents and names as a path, and no access to this machine.

    `str` returns the address. It is absolute, and it is made with `remote_path`, which checks it. The methods that look
    at files raise OSError, because what they would find is a local file of a similar name.

    >>> image = remote_path("s3://bucket/photos/1.jpg")
    >>> str(image), image.name, str(image.parent)
    ('s3://bucket/photos/1.jpg', '1.jpg', 's3://bucket/photos')
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, *rest = self.parts or ("",)
        return f"{scheme}//{'/'.join(rest)}" if _SCHEME.fullmatch(scheme) else "/".join((scheme, *rest))

    def __fspath__(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def as_posix(self) -> str:
        """Return the address."""
        return str(self)

    def as_uri(self) -> str:
        """Return the address, with what a URL may not contain percent-encoded."""
        return quote(str(self), safe="/:@")

    @property
    def scheme(self) -> str:
        """The scheme, such as "s3"."""
        return self.parts[0][:-1]

    def is_absolute(self) -> bool:
        """Return True."""
        return True

    def absolute(self) -> Self:
        """Return the path itself."""
        return self

    def resolve(self, strict: bool = False) -> Self:  # noqa: ARG002 - the signature of Path
        """Return the path itself."""
        return self

    def expanduser(self) -> Self:
        """Return the path itself."""
        return self

    def stat(self, **_: object) -> NoReturn:
        """Raise OSError: the file is not on this machine."""
        raise OSError(f"{self} is not on this machine")

    def lstat(self) -> NoReturn:
        """Raise OSError: the file is not on this machine."""
        self.stat()

    def open(self, *_: object, **__: object) -> NoReturn:
        """Raise OSError: the file is not on this machine."""
        self.stat()

    def exists(self, **_: object) -> bool:
        """Return False: no local file has this path."""
        return False

    is_file = is_dir = is_symlink = exists


def remote_path(given: Path | str) -> RemotePath | None:
    """Return the address that `given` is, or None for a local path.

    A `Path` made of an address has lost a slash; one whose first part ends with a colon is taken for an address.
    Raises UsageError for an address that is never read: of this machine, of the web, chained ("::"), with a password,
    or with empty parts or dots between its slashes.

    >>> remote_path("photos/1.jpg"), remote_path(Path("s3://bucket/1.jpg"))
    (None, RemotePath('s3://bucket/1.jpg'))
    """
    if isinstance(given, RemotePath):
        return given
    if isinstance(given, Path):
        parts = given.parts
        if given.is_absolute() or len(parts) < 2 or not _SCHEME.fullmatch(parts[0]):
            return None
        text = f"{parts[0]}//{'/'.join(parts[1:])}"
    else:
        text = given
        if not _ADDRESS.match(text):
            return None
    return _checked(text)


def _checked(text: str) -> RemotePath:
    scheme, _, rest = text.partition("//")
    scheme, rest = scheme.lower(), rest.rstrip("/")
    if scheme in _REFUSED:
        raise UsageError(f"{text}: {_REFUSED[scheme]}")
    if "::" in text:
        raise UsageError(f"{text}: is a chain of addresses; give the address of a folder, such as s3://BUCKET/FOLDER")
    authority = rest.partition("/")[0]
    if ":" in authority.rpartition("@")[0]:
        raise UsageError(
            f"{scheme}//…@{authority.rpartition('@')[2]}: has a password in it; store credentials as the package of "
            "the object store expects them (environment variables, its own files)"
        )
    path = RemotePath(f"{scheme}//{rest}")
    if not rest or "\0" in rest or str(path) != f"{scheme}//{rest}" or ".." in path.parts:
        raise UsageError(f"{text}: has an empty part or dots between its slashes; expected such as s3://BUCKET/FOLDER")
    return path
