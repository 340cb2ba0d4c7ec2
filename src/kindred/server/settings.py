"""ServerSettings: the options and limits of a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from kindred.errors import UsageError

__all__ = ["ServerSettings", "is_loopback"]


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Options and limits of a server; sizes in bytes, times in seconds.

    host, port: the address it listens on. token: required of every request; needed unless `host` is a loopback
    address. hosts: further names under which the server may be reached, for a reverse proxy. folders: folders that
    may be indexed through the server. read_only: refuse every change of the library.

    upload_bytes, upload_pixels: limits of one image. uploads, upload_seconds: how many query images are stored, and for
    how long; saved_bytes: limit of those of saved searches, which stay. file_bytes: limit of one request that adds
    images. heavy, light: threads that describe images or search, and threads that read. queue: how many requests of
    each kind may wait. thumbnail_bytes: limit of the stored thumbnails. page: the folder with the files of the page;
    None is the one that comes with Kindred.
    """

    host: str = "127.0.0.1"
    port: int = 7700
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    read_only: bool = False
    upload_bytes: int = 64 << 20
    upload_pixels: int = 100_000_000
    uploads: int = 200
    upload_seconds: float = 3600.0
    saved_bytes: int = 512 << 20
    file_bytes: int = 1 << 30
    heavy: int = 2
    light: int = 8
    queue: int = 64
    thumbnail_bytes: int = 2 << 30
    drain_seconds: float = 4.0
    page: Path | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for an address that other machines can reach without a token."""
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"host is {self.host!r}, which other machines can reach; give a token too, or use 127.0.0.1"
            )
        if self.token is not None and len(self.token) < 16:
            raise UsageError("the token has fewer than 16 characters; give a longer one that cannot be guessed")


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server at `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
