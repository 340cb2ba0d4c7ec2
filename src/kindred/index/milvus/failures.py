"""Translation of the errors of a Milvus server, and of connections to it, into those of Kindred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kindred.errors import LibraryError, LibraryUnreachable
from kindred.index.milvus.url import PORT, MilvusUrl

if TYPE_CHECKING:
    from grpc import RpcError

__all__ = ["TOKEN", "CollectionGone", "is_lost", "translated"]

TOKEN = "MILVUS_TOKEN"
GONE = (4, 100)
"""Codes of a collection that does not exist; older servers and Milvus Lite have codes of their own."""
REFUSED = (1100, 1101, 1102, 1103, 1104, 6)
"""Codes of invalid arguments."""
DENIED = ("auth check failure", "unauthenticated", "permission deny", "permission denied", "unauthorized")
TEXT = 200

HOPELESS = {
    "Failed parsing HTTP/2": f"another server than Milvus answers there; check the port (Milvus's own is {PORT})",
    "CERTIFICATE_VERIFY_FAILED": "this machine does not trust its certificate; check it, and the name of the host",
    "SSL_ERROR_SSL": "its server does not speak TLS at this port; check the port, or leave out tls=yes",
}
"""What is said of a connection that fails however often it is tried, by words of gRPC."""
UNKNOWN_CALL = f"no Milvus that Kindred can use answers there; check its version and the port (its own is {PORT})"
CLOSED = "it closed the connection"
PASSING = {
    "Connection refused": "nothing listens at this port",
    "resolv": "its host is not known",
    "lookup": "its host is not known",
    "Socket closed": CLOSED,
    "reset by peer": CLOSED,
}
"""What is said of one that may succeed later."""


class CollectionGone(LibraryError):
    """The server has no such collection."""


def is_lost(error: Exception) -> bool:
    """Return whether the connection may be lost, rather than the server be busy."""
    return _of_connection(error) is not None or type(error).__name__ == "ConnectError"


def _of_connection(error: Exception) -> RpcError | None:
    """Return the error of gRPC that an error is, or was raised for; None for what the server has answered."""
    import grpc

    return next((each for each in (error, error.__cause__) if isinstance(each, grpc.RpcError)), None)


def translated(error: Exception, url: MilvusUrl, allowed: float) -> LibraryError | None:
    """Return the Kindred error for an error of the server or the connection; None if it is a bug in Kindred.

    allowed: the seconds that a call may take, which are over when a LibraryUnreachable is raised.
    """
    import grpc
    from pymilvus.exceptions import MilvusException, ParamError

    if not isinstance(error, MilvusException | grpc.RpcError) or isinstance(error, ParamError):
        return None
    code = _code(error)
    why = _first_line(error)[:TEXT]
    if code in GONE:
        return CollectionGone(f"{url}: has no such collection ({why}); build the index with kindred build-index")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED) or any(
        word in why.lower() for word in DENIED
    ):
        return LibraryError(f"{url}: its server refused the connection ({why}); give USER:PASSWORD@ or set {TOKEN}")
    if code in REFUSED or code == grpc.StatusCode.INVALID_ARGUMENT:
        return LibraryError(f"{url}: its server refused this ({why}); check that this version has it")
    cause = _of_connection(error)
    if cause is not None:
        if _code(cause) == grpc.StatusCode.UNIMPLEMENTED:
            return LibraryError(f"{url}: {UNKNOWN_CALL}")
        text = _first_line(cause)
        if hopeless := next((said for words, said in HOPELESS.items() if words in text), None):
            return LibraryError(f"{url}: {hopeless}")
        why = "" if _code(cause) == grpc.StatusCode.DEADLINE_EXCEEDED else _reason(text, url)
    why = f" ({why})" if why else ""
    return LibraryUnreachable(
        f"{url}: its server did not answer within {allowed:.0f} s{why}; check that it runs, then try again"
    )


def _code(error: Exception) -> object:
    code = getattr(error, "code", 0)
    return code() if callable(code) else code


def _reason(text: str, url: MilvusUrl) -> str:
    reason = next((said for words, said in PASSING.items() if words in text), text[:TEXT])
    return f"{reason}, as one does that needs tls=yes" if reason == CLOSED and not url.tls else reason


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "message", "") or getattr(error, "details", lambda: "")() or error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
