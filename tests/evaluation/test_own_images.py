"""Queries that are in the database, and databases in which many images score alike."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kindred.evaluation import compare, evaluate
from kindred.evaluation.own_images import file_key
from kindred.evaluation.ties import tie_order
from kindred.recipe import Recipe

Paint = Callable[[str, str], Path]
PAIRS = {"red": ("#d02020", "#c83030"), "green": ("#20d020", "#30c830"), "blue": ("#2020d0", "#3030c8")}


def write(folder: Path, database: list[str], queries: Mapping[str, object]) -> Path:
    file = folder / "groundtruth.json"
    file.write_text(json.dumps({"name": "pairs", "database": database, "queries": queries}))
    return file


@pytest.fixture
def images(tmp_path: Path, paint: Paint) -> Path:
    """Three pairs of pictures: each picture's perfect result is the other one of its pair."""
    for name, colours in PAIRS.items():
        for number, colour in enumerate(colours):
            paint(f"{name}{number}.png", colour)
    return tmp_path / "images"


DATABASE = [f"{name}{number}.png" for name in PAIRS for number in (0, 1)]
PERFECT = {f"{name}0.png": {"relevant": [f"{name}1.png"]} for name in PAIRS}


def linked(folder: Path, name: str) -> str:
    (folder / f"link-{name}").symlink_to(folder / name)
    return f"link-{name}"


def hard_linked(folder: Path, name: str) -> str:
    os.link(folder / name, folder / f"hard-{name}")
    return f"hard-{name}"


def through_a_linked_folder(folder: Path, name: str) -> str:
    (folder / "other").symlink_to(folder, target_is_directory=True)
    return f"other/{name}"


def in_capitals(folder: Path, name: str) -> str:
    if not (folder / name.upper()).exists():
        pytest.skip("this file system tells capitals apart")
    return name.upper()


class TestQueriesInTheDatabase:
    """They are no results to themselves."""

    def test_perfect_results_are_perfect(self, images: Path, colours: Recipe) -> None:
        found = evaluate(write(images, DATABASE, PERFECT), recipe=colours)
        assert (found.metrics["recall@1"], found.metrics["mAP"]) == (1, 1)
        assert found.left_out_of_own_ranking == 3
        assert found.as_dict()["left_out_of_own_ranking"] == 3
        assert found.images == 6

    @pytest.mark.parametrize("spelled", [linked, hard_linked, through_a_linked_folder, in_capitals])
    def test_however_the_path_is_written(
        self, images: Path, colours: Recipe, spelled: Callable[[Path, str], str]
    ) -> None:
        queries = {spelled(images, "red0.png"): {"relevant": ["red1.png"]}}
        queries[f"../{images.name}/green0.png"] = {"relevant": ["green1.png"]}
        found = evaluate(write(images, DATABASE, queries), recipe=colours)
        assert (found.metrics["recall@1"], found.left_out_of_own_ranking) == (1, 2)

    def test_all_its_names_in_the_database_are_left_out(self, images: Path, colours: Recipe) -> None:
        database = [*DATABASE, linked(images, "red0.png"), hard_linked(images, "red0.png")]
        assert evaluate(write(images, database, PERFECT), recipe=colours).metrics["recall@1"] == 1

    def test_a_part_of_an_image_of_the_database_leaves_it_out_too(self, images: Path, colours: Recipe) -> None:
        queries = {"red0.png": {"relevant": ["red1.png"], "box": [0, 0, 32, 32]}}
        found = evaluate(write(images, DATABASE, queries), recipe=colours)
        assert (found.metrics["recall@1"], found.left_out_of_own_ranking) == (1, 1)

    def test_a_query_listed_as_relevant_stays(self, images: Path, colours: Recipe) -> None:
        queries = {"red0.png": {"relevant": ["red0.png"]}, "blue0.png": {"relevant": ["blue0.png", "blue1.png"]}}
        found = evaluate(write(images, DATABASE, queries), recipe=colours)
        assert (found.metrics["mAP"], found.left_out_of_own_ranking) == (1, 0)

    def test_a_published_protocol_has_its_own_rule(self, images: Path, colours: Recipe) -> None:
        """In Oxford5k a query is in the database and its own positive, where its lists say so."""
        for ok, expected in (([0, 1], 1.0), ([1], 0.25)):  # [1]: the query ranks first and is wrong
            file = images / "buildings.json"
            query = {"image": "red0", "bbx": [0, 0, 64, 32], "ok": ok, "junk": []}
            names = [name.removesuffix(".png") for name in DATABASE]
            file.write_text(json.dumps({"name": "buildings", "images": names, "queries": [query]}))
            found = evaluate(file, recipe=colours)
            assert (found.metrics["mAP"], found.left_out_of_own_ranking) == (expected, 0)

    def test_a_folder_of_classes_reports_it(self, tmp_path: Path, paint: Paint, colours: Recipe) -> None:
        for name, shades in PAIRS.items():
            for number, colour in enumerate(shades):
                paint(f"{name}/{number}.png", colour)
        assert evaluate(tmp_path / "images", recipe=colours).left_out_of_own_ranking == 6

    def test_it_does_not_come_back_by_query_expansion(self, images: Path, colours: Recipe) -> None:
        file = write(images, DATABASE, PERFECT)
        assert evaluate(file, recipe=colours, rerank="aqe:n=1", depth=1).metrics["recall@1"] == 1
        fused = evaluate(file, recipe=colours, also=[replace(colours, name="other", size=32)])
        assert (fused.metrics["recall@1"], fused.left_out_of_own_ranking) == (1, 3)

    def test_a_cached_result_reports_it_too(self, images: Path, colours: Recipe, tmp_path: Path) -> None:
        file = write(images, DATABASE, PERFECT)
        first, again = (compare([file], [colours], cache=tmp_path / "cache")[0] for _ in range(2))
        assert again == first
        assert again.left_out_of_own_ranking == 3

    def test_distractors_are_other_files(self, images: Path, colours: Recipe, paint: Paint, tmp_path: Path) -> None:
        more = tmp_path / "more"
        more.mkdir()
        (more / "again.png").symlink_to(images / "red0.png")
        os.link(images / "green1.png", more / "again too.png")
        (more / "grey.png").write_bytes(paint("grey.png", "grey").read_bytes())
        found = evaluate(write(images, DATABASE, PERFECT), recipe=colours, distractors=[more])
        assert (found.distractors, found.metrics["recall@1"]) == (1, 1)


def test_a_missing_file_is_identified_by_its_path(tmp_path: Path) -> None:
    assert file_key(tmp_path / "none") == file_key(tmp_path / "below" / ".." / "none")
    assert file_key(tmp_path / "none") != file_key(tmp_path / "other")


class TestTies:
    """Equal scores go by a fixed random order, not by the order of the database."""

    @pytest.fixture
    def alike(self, images: Path, paint: Paint) -> Path:
        """Sixty pictures that all look the same; those of a query come first in the list, as class by class."""
        database = [f"db/{number:02}.png" for number in range(60)]
        for name in database:
            paint(name, "#d02020")
        return write(
            images, database, {"red1.png": {"relevant": database[:6]}, "red0.png": {"relevant": database[-6:]}}
        )

    @pytest.mark.parametrize("aggregate", ["", "multi_vector"])
    def test_the_order_of_the_list_does_not_affect_ties(self, alike: Path, colours: Recipe, aggregate: str) -> None:
        recipe = replace(colours, aggregate=aggregate) if aggregate else colours
        found = evaluate(alike, recipe=recipe)
        ranks = np.sort(np.flatnonzero(tie_order(60) < 6)), np.sort(np.flatnonzero(tie_order(60) >= 54))
        expected = np.mean([np.mean(np.arange(1, 7) / (each + 1)) for each in ranks])
        assert found.metrics["mAP"] == pytest.approx(expected)
        assert found.metrics["mAP"] < 0.35  # by position it would be 1 for one query and 0.06 for the other
        assert evaluate(alike, recipe=recipe).metrics == found.metrics

    def test_nor_does_it_where_rankings_are_fused_or_reranked(self, alike: Path, colours: Recipe) -> None:
        plain = evaluate(alike, recipe=colours).metrics["mAP"]
        assert evaluate(alike, recipe=colours, rerank="aqe:n=3").metrics["mAP"] < 0.35
        fused = evaluate(alike, recipe=colours, also=[replace(colours, name="other", size=32)])
        assert fused.metrics["mAP"] == pytest.approx(plain)

    def test_the_order_is_fixed_and_a_permutation(self) -> None:
        assert tie_order(8).tolist() == tie_order(8).tolist()
        assert sorted(tie_order(1000).tolist()) == list(range(1000))
        assert tie_order(1000).tolist() != list(range(1000))
        # In the mean over places the first tenth of the list is nowhere near the front.
        assert 300 < np.flatnonzero(tie_order(1000) < 100).mean() < 700
