"""map."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from commands import COUNT, Kindred
from kindred.atlas import PICTURES
from kindred.cli.map import PAGES
from kindred.library import Library
from kindred.manifold import MAPS

pytestmark = pytest.mark.usefixtures("library")
pytest.importorskip("sklearn", reason="maps need the extra maps")


@pytest.mark.parametrize("method", MAPS)
def test_every_method_draws_a_map(kindred: Kindred, own_folder: Path, method: str) -> None:
    found = kindred("map", "-o", "map.png", "--method", method, "--size", "300", "--json").json
    seconds = found.pop("seconds")
    assert seconds >= 0
    facts = {"map": "map.png", "csv": None, "method": method}
    assert found == {**facts, "images": COUNT, "library": COUNT, "missing": []}
    with Image.open(own_folder / "map.png") as image:
        assert max(image.size) <= 300
        assert len(image.getcolors(300 * 300) or ()) > 100


def test_a_page_and_coordinates(kindred: Kindred, own_folder: Path) -> None:
    done = kindred("map", "-o", "map.html", "--csv", "map.csv", "--method", "mds", "--images", "6")
    assert done.code == 0, done.err
    assert done.out.startswith(f"Wrote map.html and map.csv: 6 images of {COUNT}.\nBy MDS, in ")
    assert (own_folder / "map.html").read_text(encoding="utf-8").count("<img ") == 6
    assert f"6 of {COUNT} images by MDS" in (own_folder / "map.html").read_text(encoding="utf-8")
    assert len((own_folder / "map.csv").read_text(encoding="utf-8").splitlines()) == 7


def test_missing_files_are_counted(kindred: Kindred, photos: Path, own_folder: Path, recipe: Path) -> None:
    import shutil

    shutil.copytree(photos, own_folder / "mine")
    kindred("index", "mine", "--library", "lib", "--recipe", recipe)
    (own_folder / "mine" / "a" / "00001.jpg").unlink()
    done = kindred("map", "-o", "map.png", "--library", "lib", "--method", "mds")
    assert done.out.startswith(f"Wrote map.png: {COUNT - 1} images of {COUNT}.")
    assert done.err == "Left out 1 image that cannot be read, such as mine/a/00001.jpg: file vanished\n"
    found = kindred("map", "-o", "map.png", "--library", "lib", "--method", "mds", "--json").json
    assert found["missing"] == [{"path": str(own_folder / "mine" / "a" / "00001.jpg"), "reason": "file vanished"}]


def test_invalid_options_are_errors(kindred: Kindred, own_folder: Path) -> None:
    done = kindred("map", "-o", "map.gif")
    assert (done.code, done.out) == (2, "")
    endings = ", ".join((*PICTURES, *PAGES))
    assert done.err == f"kindred: --output is map.gif; expected a name that ends in {endings}\n"
    done = kindred("map", "-o", "map.png", "--method", "isomp")
    assert (done.code, done.err) == (
        2,
        "kindred: unknown map 'isomp'; did you mean 'isomap'? known: tsne, isomap, mds, spectral\n",
    )
    assert kindred("map", "-o", "no/map.png", "--method", "mds").code == 2
    assert not list(own_folder.glob("*.png*"))


def test_an_empty_library_says_what_it_needs(kindred: Kindred, recipe: Path) -> None:
    Library.create("empty", recipe=recipe).close()
    done = kindred("map", "-o", "map.png", "--library", "empty")
    assert done.code in (1, 2)
    assert "images" in done.err
