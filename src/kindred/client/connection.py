"""Connection: requests to a server, repeated while it is busy, and its problems as the errors of Kindred."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeAlias

from kindred import errors
from kindred.errors import ImageError, KindredError, LibraryLocked, MissingExtra, ServerError, UsageError

try:
    import httpx2
except ImportError as error:
    raise MissingExtra("kindred.Client", "serve") from error

__all__ = ["Connection", "Parameters"]

Parameters: TypeAlias = "Mapping[str, str | int | float | bool | list[str] | None]"

API = "/api/v1"
LONGEST_WAIT = 10.0
"""The longest pause before a request is repeated, in seconds, whatever the server asks for."""


class Connection:
    """A connection to one server. From any thread."""

    def __init__(self, address: str, *, token: str | None = None, timeout: float = 60.0, repeats: int = 10) -> None:
        """Prepare a connection; nothing is sent yet.

        address: such as "http://127.0.0.1:7700". token: that of the server. timeout: seconds without a byte from the
        server. repeats: how often a request is repeated that the server was too busy for (503).
        """
        if not isinstance(address, str) or not address.startswith(("http://", "https://")):
            raise UsageError(f"address is {address!r:.100}; expected one such as 'http://127.0.0.1:7700'")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            self._http = httpx2.Client(
                base_url=address.rstrip("/") + API, headers=headers, timeout=timeout, trust_env=False
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise UsageError(f"address is {address!r:.100}, which is not valid ({error})") from None
        self.address, self._repeats = address.rstrip("/"), repeats

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._http.close()

    def get(self, path: str, parameters: Parameters | None = None) -> object:
        """Return the JSON that the server answers."""
        return _json(self._sent("GET", path, parameters=parameters))

    def content(self, path: str, parameters: Parameters | None = None) -> bytes:
        """Return the bytes that the server answers."""
        return self._sent("GET", path, parameters=parameters).content

    def post(self, path: str, body: object) -> object:
        """Send JSON and return the JSON that the server answers."""
        return _json(self._sent("POST", path, json=body))

    def patch(self, path: str, body: object) -> object:
        """Send JSON and return the JSON that the server answers."""
        return _json(self._sent("PATCH", path, json=body))

    def delete(self, path: str, body: object = None) -> object:
        """Ask for a removal and return the JSON that the server answers, None if it is empty."""
        answer = self._sent("DELETE", path, json=body)
        return _json(answer) if answer.content else None

    def send(self, path: str, content: bytes, parameters: Parameters | None = None) -> object:
        """Send bytes and return the JSON that the server answers."""
        return _json(self._sent("POST", path, content=content, parameters=parameters))

    def _sent(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        json: object = None,
        content: bytes | None = None,
    ) -> httpx2.Response:
        given = {key: value for key, value in (parameters or {}).items() if value is not None and value != []}
        for attempt in range(self._repeats + 1):
            try:
                # Bytes have a type, so that no server reads them as a form.
                headers = {} if content is None else {"Content-Type": "application/octet-stream"}
                answer = self._http.request(method, path, params=given, json=json, content=content, headers=headers)
            except httpx2.HTTPError as error:
                why = str(error) or type(error).__name__
                raise ServerError(f"{self.address}: cannot be reached ({why}); is kindred serve running?") from error
            except RuntimeError as error:
                raise UsageError("the client is closed; make another one") from error
            if answer.status_code != 503 or attempt == self._repeats:
                break
            time.sleep(min(_seconds(answer), LONGEST_WAIT))
        if answer.status_code >= 400:
            raise error_of(answer)
        return answer


def error_of(answer: httpx2.Response) -> KindredError:
    """Return the error that an answer stands for: that of the library where the server names it."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    detail, hint = str(problem.get("detail", "")), str(problem.get("hint", ""))
    message = "; ".join(part for part in (detail, hint) if part) or f"the server answered {answer.status_code}"
    kind = getattr(errors, str(problem.get("error")), None)
    if kind is ImageError:
        return ImageError("image", detail)
    if isinstance(kind, type) and issubclass(kind, KindredError) and kind not in (MissingExtra, ServerError):
        return kind(message)
    if answer.status_code == 503:
        return LibraryLocked(message)
    if answer.status_code in (400, 404, 422):
        return UsageError(message)
    return ServerError(message, answer.status_code)


def _json(answer: httpx2.Response) -> object:
    try:
        found: object = answer.json()
    except ValueError:
        raise ServerError(f"{answer.url}: the answer is not JSON; is this the address of kindred serve?") from None
    return found


def _seconds(answer: httpx2.Response) -> float:
    given = answer.headers.get("retry-after", "1")
    return float(given) if given.isdigit() and len(given) < 6 else 1.0
