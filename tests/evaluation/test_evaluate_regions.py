"""What is measured is what a search gives: small regions of queries where nothing is probable as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kindred.calibration import LINE
from kindred.errors import UsageError
from kindred.evaluation import compare, evaluate
from kindred.evaluation.query_regions import QueryRegions
from kindred.evaluation.ties import tie_order
from kindred.library import Library
from kindred.ranking import Ranking
from pictures import label, picture

LABELS = 4
QUERIES = {"wall.png": ["1.png", "2.png"], "near.png": ["3.png"]}
"""Two labels that are small, and one that fills the picture."""


def wall() -> Image.Image:
    """Draw a picture with two labels, 1 and 2, a fifth as wide."""
    drawn = Image.fromarray(picture(60, width=2000, height=1500))
    drawn.paste(label(1), (100, 1180))
    drawn.paste(label(2), (1580, 20))
    return drawn


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    for number in range(LABELS):
        label(number).save(folder / f"{number}.png")
    wall().save(folder / "wall.png")
    label(3).resize((800, 600)).save(folder / "near.png")
    write(folder / "groundtruth.json", QUERIES)
    return folder


def write(file: Path, queries: dict[str, list[str]], **more: object) -> Path:
    table = {name: {"relevant": relevant, **more} for name, relevant in queries.items()}
    database = [f"{number}.png" for number in range(LABELS)]
    file.write_text(json.dumps({"name": "labels", "database": database, "queries": table}))
    return file


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[Ranking]:
    """The results of each call of `QueryRegions.join`: with all images, and without the relevant ones."""
    found: list[Ranking] = []
    join = QueryRegions.join

    def noted(
        regions: QueryRegions, ranking: Ranking, first: int, removed: Sequence[NDArray[np.int64]] | None
    ) -> Ranking:
        found.append(join(regions, ranking, first, removed))
        return found[-1]

    monkeypatch.setattr(QueryRegions, "join", noted)
    return found


def probable(ranking: Ranking, row: int) -> dict[str, float]:
    """Return the probabilities of the images that a query probably shows, by name."""
    assert ranking.probabilities is not None
    order = tie_order(LABELS)
    listed = zip(ranking.ids[row].tolist(), ranking.probabilities[row].tolist(), strict=True)
    return {f"{order[number]}.png": each for number, each in listed if number >= 0 and each >= LINE}


def test_small_regions_are_searched_where_nothing_is_probable_as_in_a_library(
    labels: Path, searched: list[Ranking], tmp_path: Path
) -> None:
    found = evaluate(labels / "groundtruth.json", recipe="kin", cache=labels / "cache")
    everything, without_relevant = searched
    with Library.create(tmp_path / "library", recipe="kin") as library:
        library.index([labels / f"{number}.png" for number in range(LABELS)])
        for row, name in enumerate(QUERIES):
            hits = library.search(labels / name, k=LABELS).likely(LINE)
            expected = {hit.path.name: hit.probability for hit in hits}
            assert probable(everything, row) == pytest.approx(expected, abs=1e-4)
            assert expected.keys() == set(QUERIES[name])
        library.remove([labels / "1.png", labels / "2.png"])
        assert not library.search(labels / "wall.png").likely(LINE)
    assert not any(probable(without_relevant, row) for row in range(len(QUERIES)))
    assert found.metrics["recall@1"] == 1.0
    assert found.metrics["no-answer recall"] == 1.0
    assert found.metrics["right results lost"] == 0.0
    assert found.queries_with_regions == 1
    parts = (found.seconds_describing, found.seconds_searching, found.seconds_reranking, found.seconds_regions)
    assert min(parts) > 0
    assert found.seconds_per_query == pytest.approx(sum(parts))
    assert found.as_dict()["queries_with_regions"] == 1


def test_regions_are_searched_for_or_not_on_request(labels: Path) -> None:
    cache = labels / "cache"
    (found,) = compare(labels / "groundtruth.json", "kin", regions=False, cache=cache)
    assert (found.metrics["right results lost"], found.metrics["no-answer recall"]) == (0.5, 1.0)
    assert (found.queries_with_regions, found.seconds_regions) == (0, 0)
    near = write(labels / "near.json", {"near.png": QUERIES["near.png"]})
    counts = [compare(near, "kin", regions=regions, cache=cache)[0].queries_with_regions for regions in (None, True)]
    assert counts == [0, 1]


def test_results_without_probabilities_are_those_of_the_whole(labels: Path, searched: list[Ranking]) -> None:
    file, cache = labels / "groundtruth.json", labels / "cache"
    for rerank, also in (("none", []), ("verify", []), (None, ["kin-whitened"])):
        found = evaluate(file, recipe="kin", cache=cache, rerank=rerank, also=also)
        assert found.queries_with_regions == 0
        with pytest.raises(UsageError, match="only searched where results have probabilities"):
            evaluate(file, recipe="kin", cache=cache, rerank=rerank, also=also, regions=True)
    assert not searched


def test_regions_are_those_of_the_box_of_a_query(labels: Path, searched: list[Ranking]) -> None:
    steps: list[tuple[int, int]] = []
    file = write(labels / "part.json", {"wall.png": ["2.png"]}, box=[400, 0, 2000, 1100])
    evaluate(file, recipe="kin", cache=labels / "cache", progress=lambda *step: steps.append(step))
    assert [set(probable(ranking, 0)) for ranking in searched] == [{"2.png"}, set()]
    # Four images and the query are described; the query is searched with once, and twice with its regions.
    assert steps[-1] == (8, 8)


def test_what_is_left_out_of_a_ranking_is_not_found_by_regions(labels: Path, searched: list[Ranking]) -> None:
    database = ["wall.png", "0.png", "3.png"]
    table = {"name": "own", "database": database, "queries": {"wall.png": {"relevant": ["0.png"]}}}
    (labels / "own.json").write_text(json.dumps(table))
    found = evaluate(labels / "own.json", recipe="kin", cache=labels / "cache")
    assert found.left_out_of_own_ranking == found.queries_with_regions == 1
    own = tie_order(3).tolist().index(0)
    assert [own in ranking.ids for ranking in searched] == [False, False]
