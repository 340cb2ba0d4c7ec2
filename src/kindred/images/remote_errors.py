"""Errors of object stores in one line: what was given, what the store answered, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kindred._support.remote_path import RemotePath
from kindred.errors import RemoteError

__all__ = ["explained", "is_unreached", "may_pass", "status_of"]

TRANSIENT = frozenset((408, 425, 429, 500, 502, 503, 504))
"""HTTP statuses after which the same request may succeed."""
PASSING = frozenset(("TimeoutError", "ConnectionError", "ClientConnectionError", "HTTPClientError", "IncompleteRead"))
UNREACHED = frozenset(("EndpointConnectionError", "ClientConnectorError", "ConnectionRefusedError", "gaierror"))
"""Errors of packages by which no connection was made at all."""
LONGEST = 200

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
NAMES = "names of buckets are 3 to 63 lower-case letters, digits, dots and hyphens"
VARIABLES = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
KEYS = f"check the credentials ({VARIABLES})"
REGION = "the bucket is in another region; give that by AWS_DEFAULT_REGION"
ENDPOINT = "give it by AWS_ENDPOINT_URL, such as https://HOST:PORT"

ANSWERS = {
    "InvalidAccessKeyId": f"the object store does not know the access key; {KEYS}",
    "SignatureDoesNotMatch": f"the secret key does not belong to the access key; {KEYS}",
    "InvalidToken": f"the session token is not valid; {KEYS}",
    "ExpiredToken": "the credentials have expired; get new ones",
    "TokenRefreshRequired": "the credentials have expired; get new ones",
    "RequestTimeTooSkewed": "the clock of this machine differs from that of the object store; set it",
    "PermanentRedirect": REGION,
    "301": REGION,
    "AuthorizationHeaderMalformed": REGION,
    "IllegalLocationConstraintException": REGION,
}
"""What the answers of S3 and of stores with its protocol mean, by their codes."""


def explained(path: RemotePath, error: Exception) -> RemoteError:
    """Return an error of a package as one line about an address."""
    if isinstance(error, RemoteError):
        return error
    known = _by_code(path, error) or _by_kind(path, error)
    if known is not None:
        return known
    if isinstance(error, FileNotFoundError):
        return RemoteError(path, "no such file", missing=True)
    if isinstance(error, PermissionError):
        return RemoteError(path, "access was denied; check the credentials for this object store")
    return RemoteError(path, f"cannot be read: {_line(error)}")


def may_pass(error: BaseException) -> bool:
    """Return whether the same request may succeed later: after these errors it is repeated."""
    status = status_of(error)
    if status is not None:
        return status in TRANSIENT
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    return bool(_kinds(error) & PASSING)


def is_unreached(error: BaseException) -> bool:
    """Return whether no connection to the object store could be made."""
    return bool(_kinds(error) & UNREACHED)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error reports, where each package puts it."""
    for each in _causes(error):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            response = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        places = (
            response,
            getattr(each, "status", None),
            getattr(each, "status_code", None),
            getattr(each, "code", None),
        )
        for status in places:
            number = int(str(status)) if str(status).isdecimal() else 0
            if 100 <= number < 600:
                return number
    return None


def _by_code(path: RemotePath, error: Exception) -> RemoteError | None:
    """Return what a code of S3's protocol means; None if the error has none that is known.

    A listing that is not found is one without a bucket: folders always exist.
    """
    answer = next(_answers(error), None)
    if answer is None:
        return None
    (code, listing), bucket = answer, path.parts[1]
    if code == "NoSuchBucket" or (code == "404" and listing):
        reason = f"there is no bucket {bucket!a}; check its name, and the endpoint (AWS_ENDPOINT_URL)"
        if not BUCKET_NAME.fullmatch(bucket):
            reason = f"there is no bucket {bucket!a}: {NAMES}"
        return RemoteError(path, reason, missing=True)
    if code == "InvalidBucketName":
        return RemoteError(path, f"{bucket!a} is not the name of a bucket: {NAMES}")
    if code in ("AccessDenied", "AllAccessDisabled", "403"):
        return RemoteError(path, f"access to the bucket {bucket!a} was denied; {KEYS} and what they allow")
    if code not in ANSWERS:
        return None
    return RemoteError(path, ANSWERS[code])


def _by_kind(path: RemotePath, error: Exception) -> RemoteError | None:
    """Return what an error without an answer of the store means; None if its kind is not known."""
    kinds, line = _kinds(error), _line(error)
    if "NoCredentialsError" in kinds:
        return RemoteError(path, f"no credentials for this object store were found; set {VARIABLES}")
    if is_unreached(error):
        return RemoteError(path, f"the object store cannot be reached; check the endpoint and the network: {line}")
    if isinstance(error, ValueError) and "endpoint" in line.lower():
        return RemoteError(path, f"{line}: is not the address of an object store; {ENDPOINT}")
    if "ParamValidationError" in kinds and "bucket name" in line.lower():
        return RemoteError(path, f"{path.parts[1]!a} is not the name of a bucket: {NAMES}")
    return None


def _answers(error: BaseException) -> Iterator[tuple[str, bool]]:
    """Yield the codes that the object store answered, as botocore's errors have them, and whether to a listing."""
    for each in _causes(error):
        response = getattr(each, "response", None)
        answer = response.get("Error") if isinstance(response, dict) else None
        if isinstance(answer, dict):
            yield str(answer.get("Code")), str(getattr(each, "operation_name", "")).startswith("List")


def _kinds(error: BaseException) -> set[str]:
    return {kind.__name__ for each in _causes(error) for kind in type(each).__mro__}


def _line(error: BaseException) -> str:
    return _short(" ".join(str(error).split()) or type(error).__name__)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        yield each
        seen.append(each)
        each = each.__cause__ or each.__context__
