"""HTML documents that need nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred.errors import UsageError
from kindred.html.document import fill, html_address, html_text, picture_address, write_document

TEMPLATE = "</head><h1>$title</h1><script>go();</script>$title"


def test_a_template_is_filled_and_may_run_its_own_script_alone() -> None:
    digest = base64.b64encode(hashlib.sha256(b"go();").digest()).decode()
    document = fill(TEMPLATE, images="data: file:", title="Red & blue")
    assert document.startswith("<!doctype html>\n")
    assert document.endswith("</style>\n</head><h1>Red & blue</h1><script>go();</script>Red & blue")
    assert "<title>Red & blue</title>" in document
    assert (
        "content=\"default-src 'none'; img-src data: file:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\">"
    ) in document


def test_inserted_text_is_not_expanded_again() -> None:
    assert fill("$title", images="data:", title="$policy").endswith("\n$policy")
    with pytest.raises(KeyError, match="title"):
        fill("$title", images="data:")


@given(st.text())
def test_text_is_escaped_and_can_be_recovered(text: str) -> None:
    escaped = html_text(text)
    assert not set("<>\"'") & set(escaped)
    escaped.encode()
    assert html.unescape(escaped) == "".join(each if each.isprintable() else "\ufffd" for each in text)


def test_direction_marks_in_names_are_replaced() -> None:
    assert html_text("photo\u202egpj.exe") == "photo\ufffdgpj.exe"


def test_addresses_of_files_and_pictures() -> None:
    assert html_address(Path("/a b/\"c'&.jpg")) == "file:///a%20b/%22c%27%26.jpg"
    assert picture_address(b"\xff\xd8") == "data:image/jpeg;base64,/9g="


def test_the_page_is_written_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    write_document(file, "page", "ä\n")
    assert file.read_bytes() == b"\xc3\xa4\n"
    with pytest.raises(
        UsageError,
        match=r"^page .*page\.html cannot be written: a part of its path is a file, not a folder; give a file in a",
    ):
        write_document(file / "page.html", "page", "")
