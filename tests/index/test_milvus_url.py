"""Addresses of collections: what is read, what is refused, and that no text contains a password."""

from __future__ import annotations

import pytest

from kindred.errors import UsageError
from kindred.index.milvus import MilvusUrl


@pytest.mark.parametrize(
    ("text", "shown", "uri"),
    [
        ("milvus://db.example.org/photos", "milvus://db.example.org:19530/photos", "http://db.example.org:19530"),
        ("milvus://10.0.0.1:7/_a1", "milvus://10.0.0.1:7/_a1", "http://10.0.0.1:7"),
        ("milvus://[::1]:19530/photos", "milvus://[::1]:19530/photos", "http://[::1]:19530"),
        (
            " milvus://me:se%40cret@host/photos?tls=yes&timeout=30&database=home ",
            "milvus://me@host:19530/photos?database=home&timeout=30&tls=yes",
            "https://host:19530",
        ),
        ("milvus://host/photos?timeout=10&tls=no&database=default", "milvus://host:19530/photos", "http://host:19530"),
    ],
)
def test_an_address(text: str, shown: str, uri: str) -> None:
    url = MilvusUrl.parse(text)
    assert (str(url), url.uri) == (shown, uri)
    again = MilvusUrl.parse(str(url))
    assert (again.host, again.port, again.collection, again.database, again.timeout, again.tls) == (
        (url.host, url.port, url.collection, url.database, url.timeout, url.tls)
    )
    assert "cret" not in f"{url!r}{url}"


def test_the_password_is_read() -> None:
    url = MilvusUrl.parse("milvus://me:se%40cret@host/photos")
    assert (url.user, url.password) == ("me", "se@cret")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://host/photos", "another form"),
        ("photos", "another form"),
        ("milvus:///photos", "no host"),
        ("milvus://host", "no collection"),
        ("milvus://host/", "no collection"),
        ("milvus://host/a/b", "collection 'a/b'"),
        ("milvus://host/1a", "collection '1a'"),
        ("milvus://host/a-b", "collection 'a-b'"),
        (f"milvus://host/{'a' * 101}", "collection 'aaaa"),
        ("milvus://host:0/a", "a host or port that is not valid"),
        ("milvus://host:99999/a", "a host or port that is not valid"),
        ("milvus://ho st/a", "a host or port that is not valid"),
        ("milvus://host/a?timeout=0", "timeout '0'"),
        ("milvus://host/a?timeout=3601", "timeout '3601'"),
        ("milvus://host/a?timeout=²", "timeout '²'"),
        ("milvus://host/a?tls=perhaps", "tls 'perhaps'"),
        ("milvus://host/a?token=x", "parameter 'token'"),
        ("milvus://host/a?tls=yes&tls=no", "a parameter twice"),
        ("milvus://host/a?x", "parameters that are not valid"),
        ("milvus://host/a#b", "another form"),
        ("milvus://host/a\n", "control characters"),
        ("milvus://us%00er@host/a", "control characters in the user"),
        ("milvus://us%ffer:secret@host/a", "a user that is not valid"),
        (f"milvus://host/{'a' * 3000}", "3,014 characters"),
    ],
)
def test_what_is_no_address_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError) as found:
        MilvusUrl.parse(text)
    message = str(found.value)
    assert why in message
    assert "milvus://HOST:PORT/COLLECTION" in message
    assert "secret" not in message
    assert "\n" not in message
