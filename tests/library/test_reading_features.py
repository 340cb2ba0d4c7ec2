"""Local features of many images are read at once and only once, and errors name the image, in every database."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred.errors import LibraryDamaged
from kindred.exchange import export_vectors, import_vectors
from kindred.features import LocalFeatures
from kindred.features.storage import to_bytes
from kindred.library import Library
from kindred.library.copying import copy_library
from kindred.library.verifying import Damaged, verify_library
from kindred.recipe import Recipe
from kindred.store import Entry, Filter, Place, PostgresUrl, VisualWords
from pictures import make_folder
from postgres_server import execute

pytest.importorskip("psycopg")
from kindred.store.postgres import database
from kindred.store.postgres.connections import TimedConnection

PlaceFor = Callable[..., Place]
COUNT, AT_ONCE = 130, 64
READS = -(-COUNT // AT_ONCE)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The library and the table of each statement in PostgreSQL that reads local features or visual words."""
    found: list[tuple[str, str]] = []
    fetch = database.fetch

    def counted(connection: TimedConnection, sql: str, values: database.Parameters = ()) -> list[tuple[Any, ...]]:
        if read := re.search(r"^\s*SELECT .*\b(?:FROM|JOIN) (features|visual_words)\b", sql):
            found.append((str(connection.execute("SHOW search_path").fetchone()), read[1]))
        return fetch(connection, sql, values)

    monkeypatch.setattr(database, "fetch", counted)
    return found


def features(seed: int) -> bytes:
    random = np.random.default_rng(seed)
    points, descriptors = random.uniform(0, 100, (5, 2)), random.integers(0, 256, (5, 128))
    return to_bytes(
        LocalFeatures(points.astype(np.float32), descriptors.astype(np.uint8), np.full(5, 4, np.float32), None)
    )


def fill(library: Library, count: int = COUNT) -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((count, 1, 32)).astype(np.float32)
    words = VisualWords(np.arange(4, dtype=np.uint16), np.arange(4, dtype=np.uint64))
    library.store.put(
        [
            Entry(Path(f"/photos/{at}.jpg"), 1, 1, vectors=row, visual_words=words, features=features(at))
            for at, row in enumerate(rows)
        ]
    )


def test_verifying_and_copying(url: PostgresUrl, place_for: PlaceFor, reads: list[tuple[str, str]]) -> None:
    once = ["features"] * READS + ["visual_words"] * READS
    with Library.create(url, recipe="kin") as library:
        fill(library)
        assert verify_library(library).sound
        assert [table for _, table in reads] == once
        reads.clear()
        there = place_for("postgres", "second")
        assert isinstance(there, PostgresUrl)
        assert copy_library(url, there).copied == COUNT
        assert [table for _, table in reads] == once
        with Library.open(there) as other:
            reads.clear()
            report = verify_library(library, other)
            assert (report.sound, report.others) == (True, (COUNT, 0))
            for place in {place for place, _ in reads}:
                assert [table for each, table in reads if each == place] == once
            assert len(reads) == 2 * len(once)
            one, two = other.store.lookup([Path("/photos/7.jpg"), Path("/photos/9.jpg")]).values()
            words = "UPDATE visual_words SET words = '\\x0000000000000000' WHERE vector_id IN"
            execute(
                there,
                f"UPDATE features SET data = 'x' WHERE image_id = {one.id}",
                f"{words} (SELECT id FROM vectors WHERE image_id = {two.id})",
            )
            unlike = verify_library(library, other, queries=0).unlike
            assert {each.bucket for each in unlike} == {int(each.uid, 16) % 64 for each in (one, two)}


def test_damaged_visual_words_are_named(url: PostgresUrl, tmp_path: Path) -> None:
    with Library.create(url, recipe="kin") as library:
        fill(library, 3)
        copy_library(url, tmp_path / "sound")
        for data, what in (
            ("''", f"{url}: the visual words of image 2 are cut off"),
            (
                "convert_to(repeat('x', 4194306), 'UTF8')",
                f"{url}: image 2: visual words is 4,194,306 bytes, expected at most 4,194,304",
            ),
        ):
            execute(url, f"UPDATE visual_words SET words = {data} WHERE vector_id = 2")
            path = library.store.images([2])[2].path
            assert verify_library(library).damaged == (Damaged(path, what),)
            with Library.open(tmp_path / "sound") as sound:
                assert len(verify_library(library, sound).unlike) == len(verify_library(sound, library).unlike) == 1
            with pytest.raises(LibraryDamaged, match=f"^{re.escape(f'{path}: {what}; describe the image again with')}"):
                copy_library(url, tmp_path / "copy")


def test_features_that_are_too_large_are_named(recipe: Recipe, url: PostgresUrl, tmp_path: Path) -> None:
    make_folder(tmp_path / "photos", 4)
    photos = sorted((tmp_path / "photos").iterdir())
    with Library.create(url, recipe=replace(recipe, features="sift")) as library:
        library.index(photos)
        copy_library(url, tmp_path / "sound")
        numbers = {path: known.id for path, known in library.store.lookup(photos[:2]).items()}
        execute(
            url,
            "UPDATE features SET data = convert_to(repeat('x', 4194305), 'UTF8') "
            f"WHERE image_id = {numbers[photos[0]]}",
            f"UPDATE features SET data = 'x' WHERE image_id = {numbers[photos[1]]}",
        )
        what = f"{url}: image {numbers[photos[0]]}: features is 4,194,305 bytes, expected at most 4,194,304"
        report = verify_library(library)
        assert report.damaged == (
            Damaged(photos[0], what),
            Damaged(photos[1], "local features: 1 bytes that hold none"),
        )
        named = f"^{re.escape(f'{photos[0]}: {what}; ')}"
        with pytest.raises(LibraryDamaged, match=named):
            library.search(photos[2], rerank="verify")
        with pytest.raises(LibraryDamaged, match=named):
            copy_library(url, tmp_path / "copy")
        with Library.open(tmp_path / "sound") as sound:
            for one, other in ((library, sound), (sound, library)):
                assert {each.images for each in verify_library(one, other).unlike} <= {(1, 1), (2, 2)}
                assert verify_library(one, other).unlike
        library.index(photos, force=True)
        assert verify_library(library).sound


def test_searches_of_images_of_several_rows_read_features_at_once(
    recipe: Recipe, url: PostgresUrl, tmp_path: Path, reads: list[tuple[str, str]]
) -> None:
    make_folder(tmp_path / "photos", 4)
    photos = sorted((tmp_path / "photos").iterdir())
    several = replace(recipe, features="sift", passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
    with Library.create(url, recipe=several) as library:
        library.index(photos)
        reads.clear()
        assert len(library.search(photos[0], rerank="verify", k=4)) == 4
        assert [table for _, table in reads] == ["features"]
        number = library.store.lookup(photos)[photos[3]].id
        for data, what in (
            ("'x'", "local features: 1 bytes that hold none"),
            ("convert_to(repeat('x', 4194305), 'UTF8')", f"{url}: image {number}: features is 4,194,305 bytes"),
        ):
            execute(url, f"UPDATE features SET data = {data} WHERE image_id = {number}")
            with pytest.raises(LibraryDamaged, match=f"^{re.escape(f'{photos[3]}: {what}')}"):
                library.search(photos[0], rerank="verify")


def test_an_import_reads_what_is_stored_of_known_images_at_once(
    recipe: Recipe, url: PostgresUrl, tmp_path: Path, reads: list[tuple[str, str]]
) -> None:
    make_folder(tmp_path / "photos", 4)
    words = VisualWords(np.arange(4, dtype=np.uint16), np.arange(4, dtype=np.uint64))
    with Library.create(url, recipe=replace(recipe, features="sift")) as library:
        library.index(tmp_path / "photos")
        store = library.store
        rows = store.images(store.select_images(Filter()).tolist())
        known = store.lookup(row.path for row in rows.values())
        vectors = library.describe(list(known))
        store.put(
            [
                Entry(
                    path,
                    facts.size,
                    facts.mtime_ns,
                    vectors=vector[None],
                    features=features(facts.id),
                    visual_words=words if facts.id % 2 else None,
                    digest=facts.digest,
                    device=facts.device,
                    inode=facts.inode,
                )
                for (path, facts), vector in zip(known.items(), vectors, strict=True)
            ]
        )
        export_vectors(library, tmp_path / "own.npz")
        reads.clear()
        assert import_vectors(url, tmp_path / "own.npz").without_features == 0
        assert [table for _, table in reads] == ["features", "visual_words"]
        assert store.features_of_images(rows) == {number: features(number) for number in rows}
        assert store.visual_words_of_images(rows).keys() == {number for number in rows if number % 2}
