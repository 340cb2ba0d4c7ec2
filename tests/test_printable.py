"""What is printed cannot steer a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kindred._support.printable import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.jpg", "plain.jpg"),
        ("Sacré-Cœur 日本 \u202f3.04\u00a0PM.jpg", "Sacré-Cœur 日本 \u202f3.04\u00a0PM.jpg"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\r\tc\x7f", "a\\nb\\r\\tc\\x7f"),
        ("gpj\u202eexe \u2066x\u2069 \u200e\ufeff", "gpj\\u202eexe \\u2066x\\u2069 \\u200e\\ufeff"),
        ("\udce9\ud800", "\\udce9\\ud800"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("\U000e0041", "\\U000e0041"),
        ("👩\u200d👧 نمی\u200cخواهم", "👩\u200d👧 نمی\u200cخواهم"),
        ("C:\\new", "C:\\new"),
        ("", ""),
    ],
)
def test_what_acts_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_nothing_that_acts_is_left_and_twice_is_once(text: str) -> None:
    shown = printable(text)
    assert {unicodedata.category(each) for each in shown} & {"Cc", "Cs", "Zl", "Zp"} == set()
    assert printable(shown) == shown
    shown.encode("utf-8")


def test_lines_stay_lines() -> None:
    assert printable_lines("a\n\x1bb\n") == "a\n\\x1bb\n"
