"""The checks of `kindred doctor`. Each yields findings; a finding that reports a problem names the remedy."""

from __future__ import annotations

import io
import os
import platform
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kindred._support.distribution import REMEDY, other_kindred
from kindred._support.files import is_folder
from kindred.cli.output import counted, shown, typed
from kindred.errors import KindredError, LibraryNotFound
from kindred.extras import install_command

if TYPE_CHECKING:
    from kindred.store import Place, Store

__all__ = ["Finding", "State", "examine"]

State = Literal["ok", "note", "wrong"]

# Module and package. Each is imported, since an installed but broken package is the most common problem.
PACKAGES = (
    ("numpy", "numpy"),
    ("openvino", "openvino"),
    ("faiss", "faiss-cpu"),
    ("PIL", "pillow"),
    ("simplejpeg", "simplejpeg"),
    ("filelock", "filelock"),
    ("typer", "typer"),
    ("rich", "rich"),
)
PURPOSES = (
    ("pillow_heif", "pillow-heif", "heic", "reads HEIC"),
    ("pillow_jxl", "pillow-jxl-plugin", "jxl", "reads JPEG XL"),
    ("cv2", "opencv-python-headless", "sift", 'SIFT keypoints: features = "sift", recipe covers'),
    ("sklearn", "scikit-learn", "maps", "kindred map, and plots of kindred compare"),
    ("torch", "torch", "train", "kindred train and distill, and CUDA"),
)
REINSTALL = "reinstall Kindred: pip install --force-reinstall --no-deps . in its clone"
ROWS = 1000  # of images read at a time
FOLDERS = 3  # listed of those with missing files
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    state: State
    what: str
    detail: str


def examine(library: Place) -> Iterator[Finding]:
    """Check the installation, the models and the library; a check that fails is a finding, never an exception."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("packages", _packages),
        ("processor", _processor),
        ("formats", _formats),
        ("extras", _extras),
        ("models", _models),
        ("default recipe", _default_recipe),
        ("cache", _cache),
        ("library", lambda: _library(library)),
    ]
    for what, check in checks:
        try:
            yield from check()
        except Exception as error:  # whatever it is, it must be reported
            detail = str(error) if isinstance(error, KindredError) else f"{type(error).__name__}: {error}"
            yield Finding("wrong", what, detail)


def _versions() -> Iterator[Finding]:
    from kindred._support.version import __version__

    system = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.platform(terse=True)}"
    yield Finding("ok", "kindred", f"{__version__} ({system})")
    if other := other_kindred():
        yield Finding("wrong", "name", f"another project's package {other} is installed: {REMEDY}")


def _packages() -> Iterator[Finding]:
    working = []
    for module, package in PACKAGES:
        try:
            import_module(module)
            working.append(f"{package} {metadata.version(package)}")
        except Exception as error:  # a broken shared library may raise anything
            reason = " ".join(str(error).split())
            remedy = f"pip install --force-reinstall {package}"
            yield Finding("wrong", "package", f"{package} cannot be used ({reason}); {remedy}")
    yield Finding("ok", "packages", ", ".join(working))


def _processor() -> Iterator[Finding]:
    from kindred.backbones.runtime import core

    name = core().get_property("CPU", "FULL_DEVICE_NAME")
    capabilities = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    known = [word for word in ("FP32", "BF16", "FP16", "INT8") if word in capabilities]
    yield Finding("ok", "processor", f"{name}, {counted(os.cpu_count() or 1, 'core')}, {', '.join(known)}")


def _formats() -> Iterator[Finding]:
    """Encode and decode a small image in each format."""
    from PIL import Image

    from kindred.images import decode

    picture = Image.new("RGB", (16, 16), (200, 120, 40))
    good, bad = [], []
    for name in FORMATS:
        try:
            data = io.BytesIO()
            picture.save(data, name)
            decode(data.getvalue())
            good.append(name.replace("WEBP", "WebP"))
        except Exception:  # Pillow built without the format; the exception varies
            bad.append(name)
    yield Finding("ok", "images", f"reads {', '.join(good)}")
    if bad:
        remedy = "pip install --force-reinstall --only-binary :all: pillow"
        yield Finding("wrong", "images", f"this Pillow does not read {', '.join(bad)}; {remedy}")


def _extras() -> Iterator[Finding]:
    for module, package, extra, purpose in PURPOSES:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            yield Finding("note", f"extra {extra}", f"not installed ({purpose}); {install_command(extra)}")
            continue
        try:
            if module != "torch":  # takes seconds to import
                import_module(module)
        except Exception as error:  # as above
            advice = f"pip install --force-reinstall {package}"
            yield Finding("wrong", f"extra {extra}", f"{package} cannot be used ({error}); {advice}")
        else:
            yield Finding("ok", f"extra {extra}", f"{package} {version}, {purpose}")


def _models() -> Iterator[Finding]:
    from kindred.backbones import list_models, load_card
    from kindred.backbones.card import check_digest, check_graph, further_graphs
    from kindred.backbones.folders import models_folder

    good = []
    for entry in list_models():
        try:
            card, file = load_card(entry.name)
            check_digest(card, file)
            for graph, digest in further_graphs(card, file).values():
                check_graph(graph, digest)
            good.append(entry.name)
        except KindredError as error:
            yield Finding("wrong", f"model {entry.name}", str(error))
    if good:
        yield Finding("ok", "models", f"{', '.join(good)}: digests verified")
    yield Finding("ok", "your models", shown(models_folder()))


def _default_recipe() -> Iterator[Finding]:
    """Describe a plain image, which uses everything that a search needs."""
    import numpy as np

    from kindred.backbones import list_models
    from kindred.describer import Describer
    from kindred.recipe import DEFAULT_RECIPE, Recipe

    recipe = Recipe.load(DEFAULT_RECIPE)
    if recipe.backbone not in [entry.name for entry in list_models()]:
        yield Finding("wrong", "recipe", f"the bundled network {recipe.backbone} is missing; {REINSTALL}")
        return
    describer = Describer(recipe)
    vectors = describer.describe(np.full((64, 64, 3), 127, np.uint8))
    how = f"dimension {vectors.shape[1]}, computed {describer.extractor.runs_on}"
    yield Finding("ok", "recipe", f"{recipe.name} works: {how}")


def _cache() -> Iterator[Finding]:
    from kindred.backbones.folders import cache_folder

    folder = cache_folder()
    if folder is None:
        yield Finding("note", "cache", "no home folder, so every start is slow; set KINDRED_HOME to a folder")
        return
    place = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        yield Finding("ok", "cache", shown(folder))
    else:
        remedy = "make it writable, or set KINDRED_HOME to a folder that is"
        yield Finding("note", "cache", f"{shown(place)} cannot be written to, so every start is slow; {remedy}")


def _missing(store: Store, root: Path, library: Place) -> Iterator[Finding]:
    """Report the number of missing files of each folder, and the command that removes them from the library."""
    from kindred.library.paths import is_missing
    from kindred.library.pruning import held_back

    folders = Counter(file.parent for file in store.paths_under(root) if is_missing(file))
    for folder, count in folders.most_common(FOLDERS):
        many = f"{counted(count, 'file')} of {shown(folder)} missing"
        if is_folder(folder):
            held = held_back(store, folder)
            doubt, option = (f"{shown(held)}; ", "--prune-all") if held else ("", "--prune")
            remedy = (
                f"{doubt}to remove from the library: kindred index {typed(folder)} {option} --library {typed(library)}"
            )
        else:
            remedy = (
                "if it is on a removable drive, connect it, or remove from the library: "
                f"kindred remove {typed(folder)} --library {typed(library)}"
            )
        yield Finding("note", "library", f"{many}; {remedy}")
    more = len(folders) - FOLDERS
    if more > 0:
        yield Finding("note", "library", f"files of {counted(more, 'more folder')} are missing")


def _library(path: Place) -> Iterator[Finding]:
    from kindred.library import Library
    from kindred.library.paths import remote_roots
    from kindred.store import Filter

    try:
        opened = Library.open(path)
    except LibraryNotFound:
        yield Finding("note", "library", f"none at {shown(path)}; create one with kindred index FOLDER")
        return
    with opened:
        store, counts = opened.store, opened.store.counts()
        images = store.select_images(Filter()).tolist()
        for start in range(0, len(images), ROWS):
            store.images(images[start : start + ROWS])  # raises if one is damaged, as the next does for vectors
        readable = sum(len(ids) for ids, _ in store.vectors())
        held = f"{counted(counts.indexed, 'image')}, {counted(readable, 'vector')}, all readable"
        yield Finding("ok", "library", f"{shown(path)}: {held}")
        _ = opened.describer  # raises if its network or whitening has changed
        yield Finding("ok", "its recipe", f"{opened.recipe.name}, its network unchanged")
        yield from _missing(store, Path(opened.path.anchor), path)
        for root in remote_roots(store):
            remedy = f"kindred index {typed(root)} --library {typed(path)} reports those that are gone"
            yield Finding("note", "library", f"files of {shown(root)} are remote and were not looked for; {remedy}")
        if counts.skipped:
            yield Finding(
                "note", "library", f"{counted(counts.skipped, 'file')} could not be used; kindred info lists them"
            )
        if not store.writable:
            what = "its folder" if isinstance(opened.place, Path) else "for this user it"
            yield Finding("note", "library", f"{what} is read-only: it can be searched but not changed")
