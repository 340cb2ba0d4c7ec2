"""Which requests are refused, and the headers of every answer."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from kindred.errors import UsageError
from kindred.server import ServerSettings
from served import MakeClient

TOKEN = "a-token-of-24-characters"


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/nothing", "/assets/x.js", "/"])
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7700", 200),
        ("localhost", 200),
        ("[::1]:7700", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("192.168.1.5:7700", 421),
        ("localhost@evil.example", 421),
        ("localhost:x", 421),
        ("", 421),
    ],
)
def test_only_names_of_this_machine_are_answered(client: TestClient, host: str, status: int) -> None:
    assert client.get("/api/v1/health", headers={"Host": host}).status_code == status


def test_a_further_name_is_answered_if_it_was_given(make_client: MakeClient) -> None:
    client = make_client(hosts=("photos.example",))
    assert client.get("/api/v1/health", headers={"Host": "photos.example"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1:7700", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://127.0.0.1:7700"}, True),
        ({"Origin": "http://127.0.0.1:8000"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://[bad"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, False),
    ],
)
def test_writes_of_other_sites_are_refused(client: TestClient, headers: dict[str, str], allowed: bool) -> None:
    answer = client.post("/api/v1/health", headers=headers)  # 405: it would be answered, if it existed
    assert answer.status_code == (405 if allowed else 403)


def test_other_sites_may_link_to_the_page_but_not_embed_it(client: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/api/v1/health", headers=link).status_code == 200
    assert client.get("/api/v1/health", headers={**link, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert client.get("/api/v1/health", headers={**link, "Sec-Fetch-Mode": "no-cors"}).status_code == 403


def test_an_address_that_others_can_reach_needs_a_token() -> None:
    with pytest.raises(UsageError, match="give a token"):
        ServerSettings(host="0.0.0.0")
    with pytest.raises(UsageError, match="fewer than 16"):
        ServerSettings(host="0.0.0.0", token="short")
    assert TOKEN not in repr(ServerSettings(host="0.0.0.0", token=TOKEN))


def test_a_token_is_required_of_every_request(make_client: MakeClient) -> None:
    client = make_client(token=TOKEN)
    for path in ("/api/v1/library", "/assets/app.js", "/api/v1/nothing"):
        refused = client.get(path)
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"] == "Bearer"
    page = client.get("/", follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert client.get("/api/v1/health").status_code == 200
    assert client.get("/api/v1/library", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/api/v1/library", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/api/v1/library", headers={b"Authorization": "Bearer é".encode()}).status_code == 401
    assert client.get("/api/v1/library", headers={"Cookie": "kindred_session=x; ]["}).status_code == 401


@pytest.mark.parametrize("by_form", [False, True])
def test_the_login_link_and_form_set_a_cookie(make_client: MakeClient, by_form: bool) -> None:
    client = make_client(token=TOKEN)
    assert "<form" in client.get("/login").text

    def login(token: str) -> int:
        if by_form:
            return client.post("/login", data={"token": token}, follow_redirects=False).status_code
        return client.get("/login", params={"token": token}, follow_redirects=False).status_code

    assert login("wrong") == 401
    assert client.get("/api/v1/library").status_code == 401
    assert login(TOKEN) == 303
    assert client.get("/api/v1/library").status_code == 200
    (cookie,) = client.cookies.jar
    assert cookie.value is not None
    assert TOKEN not in cookie.value
    assert cookie.has_nonstandard_attr("HttpOnly")


def test_a_large_login_form_is_refused(make_client: MakeClient) -> None:
    assert make_client(token=TOKEN).post("/login", content=b"token=" + b"x" * 10_000).status_code == 413
