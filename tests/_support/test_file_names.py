"""Names of files from elsewhere."""

from __future__ import annotations

import pytest

from kindred._support.file_names import LONGEST, UniqueNames, safe_name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("holiday.jpg", "holiday.jpg"),
        ("/etc/passwd", "passwd"),
        ("a/b/", "b"),
        ("C:\\x\\y.jpg", "y.jpg"),
        ("..", "image"),
        ("", "image"),
        (" . ", "image"),
        (".hidden.jpg", "hidden.jpg"),
        ("NUL", "_NUL"),
        ("Com1.txt", "_Com1.txt"),
        ("common.jpg", "common.jpg"),
        ("a\x00b\n.jpg", "a_b_.jpg"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("e\u0301.jpg", "é.jpg"),
        ('a<b>:"|?*.jpg', "a_b______.jpg"),
        ("\ud800.jpg", "_.jpg"),
    ],
)
def test_a_name_is_safe_on_every_system(given: str, name: str) -> None:
    assert safe_name(given) == name


@pytest.mark.parametrize("given", ["x" * 500 + ".jpeg", "é" * 200 + ".png", "📷" * 99, "y" * 200 + "." + "z" * 200])
def test_a_long_name_is_shortened_with_its_extension(given: str) -> None:
    name = safe_name(given)
    assert len(name.encode()) <= LONGEST
    assert name[:20] == given[:20]
    if len(given.rpartition(".")[2]) < 5:
        assert name.endswith("." + given.rpartition(".")[2])


def test_names_differ_whatever_the_case_of_their_letters() -> None:
    names = UniqueNames()
    taken = [names.take(name) for name in ("a.jpg", "A.JPG", "b/a.jpg", "a (2).jpg", "c", "c")]
    assert taken == ["a.jpg", "A (2).JPG", "a (3).jpg", "a (2) (2).jpg", "c", "c (2)"]
    many = [names.take("same.jpg") for _ in range(5000)]
    assert len({name.casefold() for name in many}) == 5000
