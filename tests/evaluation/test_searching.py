from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.arrays import Vectors, l2_normalise
from kindred.evaluation import searching
from kindred.evaluation.describing import Descriptions
from kindred.evaluation.searching import Search, with_rest
from kindred.features import LocalFeatures
from kindred.ranking import Ranking
from kindred.recipe import Recipe

RECIPE = Recipe("made", "kin")


def descriptions(rows: Vectors) -> Descriptions:
    return Descriptions(rows, np.ones(len(rows), np.int64), 0.0)


def vectors(count: int, *, seed: int) -> Vectors:
    return l2_normalise(np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32))


def search_of(queries: Vectors, rows: Vectors, *, left_out: list[list[int]] | None = None) -> Search:
    return Search(RECIPE, descriptions(queries), descriptions(rows), left_out or [[]] * len(queries))


def test_an_order_is_that_of_a_stable_sort() -> None:
    random = np.random.default_rng(0)
    for count in (1, 2, 7, 1000):
        scores = np.round(random.standard_normal(count), 1).astype(np.float32)  # many are equal
        scores[random.random(count) < 0.1] = -np.inf
        scores[random.random(count) < 0.1] = -0.0
        assert searching._order(scores).tolist() == np.argsort(-scores, kind="stable").tolist()


@pytest.mark.parametrize("nan", [np.nan, -np.nan])
def test_images_without_a_score_are_in_no_order(nan: float) -> None:
    scores = np.array([0.5, nan, -np.inf, 0.7, nan, -0.2], np.float32)
    assert np.signbit(scores[1]) == np.signbit(nan)
    assert searching._order(scores).tolist() == [3, 0, 5, 2]
    rows = vectors(5, seed=9)
    rows[2, 1] = nan
    for similarity in ("cosine", "dot", "euclidean", "l1"):
        made = replace(RECIPE, similarity=similarity)
        found = list(Search(made, descriptions(rows[[0, 2]]), descriptions(rows), [[], []]).orders())
        assert (found[0][0], sorted(found[0])) == (0, [0, 1, 3, 4])
        assert found[1].tolist() == []


def test_every_image_is_ranked_by_its_score() -> None:
    queries, rows = vectors(3, seed=1), vectors(20, seed=2)
    found = list(search_of(queries, rows).orders())
    assert [order.tolist() for order in found] == [np.argsort(-(rows @ q), kind="stable").tolist() for q in queries]


def test_images_left_out_are_in_no_ranking() -> None:
    rows = vectors(6, seed=3)
    whole = [order.tolist() for order in search_of(rows, rows).orders()]
    alone = [order.tolist() for order in search_of(rows, rows, left_out=[[n] for n in range(6)]).orders()]
    assert [order[0] for order in whole] == list(range(6))
    assert alone == [order[1:] for order in whole]
    unread = Search(RECIPE, descriptions(rows), Descriptions(rows[:5], np.array([1, 1, 0, 1, 1, 1]), 0.0), [[]] * 6)
    assert all(sorted(order) == [0, 1, 3, 4, 5] for order in unread.orders())


def test_the_first_results_are_reranked_and_the_rest_follows() -> None:
    queries, rows = vectors(40, seed=4), vectors(9, seed=5)
    asked_for: list[slice] = []

    def backwards(ranking: Ranking, asked: slice) -> Ranking:
        asked_for.append(asked)
        np.testing.assert_allclose(ranking.scores[0], rows[ranking.ids[0]] @ queries[asked][0], rtol=1e-4)
        return Ranking(ranking.ids[:, ::-1], np.tile(np.arange(ranking.ids.shape[1], 0, -1), (len(ranking), 1)))

    search = search_of(queries, rows)
    plain = [order.tolist() for order in search.orders()]
    found = [order.tolist() for order in search.reranked(backwards, depth=4)]
    assert found == [[*order[:4][::-1], *order[4:]] for order in plain]
    assert [(each.start, each.stop) for each in asked_for] == [(0, 16), (16, 32), (32, 40)]
    deeper = [order.tolist() for order in search.reranked(backwards, depth=100)]
    assert deeper == [order[::-1] for order in plain]


def test_results_from_below_the_depth_come_before_the_rest() -> None:
    assert with_rest(np.array([7, 1, -1]), np.array([1, 0, 2, 7])).tolist() == [7, 1, 0, 2]
    assert with_rest(np.array([], np.int64), np.array([1, 0])).tolist() == [1, 0]


def test_the_query_itself_is_not_reranked() -> None:
    rows = vectors(5, seed=6)
    seen: list[NDArray[np.int64]] = []

    def look(ranking: Ranking, asked: slice) -> Ranking:  # noqa: ARG001 - as all re-rankers
        seen.append(ranking.ids)
        return ranking

    list(search_of(rows, rows, left_out=[[n] for n in range(5)]).reranked(look, depth=5))
    assert all(number not in ids[ids >= 0] and (ids >= 0).sum() == 4 for number, ids in enumerate(seen[0]))


def test_images_left_out_are_not_added_by_reranking() -> None:
    """As query expansion may bring it, which searches anew."""
    rows = vectors(6, seed=3)

    def anew(ranking: Ranking, asked: slice) -> Ranking:  # noqa: ARG001 - as all re-rankers
        whole = np.tile(np.arange(6), (len(ranking), 1))
        return Ranking(whole, np.zeros(whole.shape, np.float32))

    found = search_of(rows, rows, left_out=[[n, 0] for n in range(6)]).reranked(anew, depth=3)
    assert [order.tolist() for order in found] == [[m for m in range(1, 6) if m != n] for n in range(6)]


def test_images_that_keep_several_rows_are_compared_by_their_best() -> None:
    pytest.importorskip("kindred.matching")
    rows = vectors(7, seed=7)
    recipe = replace(RECIPE, aggregate="multi_vector")
    database = Descriptions(rows, np.array([2, 0, 3, 2]), 0.0)
    queries = Descriptions(vectors(4, seed=8), np.array([3, 1]), 0.0)
    found = [order.tolist() for order in Search(recipe, queries, database, [[], [2]]).orders()]
    wanted = []
    for first, left_out in ((0, None), (3, 2)):  # the first row of each query stands for all of it
        scores = queries.vectors[first] @ rows.T
        best = {0: scores[:2].max(), 2: scores[2:5].max(), 3: scores[5:].max()}
        wanted.append([image for image in sorted(best, key=lambda image: -best[image]) if image != left_out])
    assert found == wanted


def test_descriptions_are_chosen_and_joined_with_all_their_rows() -> None:
    rows = np.arange(10, dtype=np.float32)[:, None]
    found = Descriptions(rows[:6], np.array([1, 2, 0, 3]), 2.0, words=np.arange(6))
    chosen = found.chosen([3, 2, 0])
    assert chosen.vectors[:, 0].tolist() == [3, 4, 5, 0]
    assert chosen.counts.tolist() == [3, 0, 1]
    assert chosen.words is not None
    assert chosen.words.tolist() == [3, 4, 5, 0]
    assert found.first_rows()[:, 0].tolist() == [0, 1, 0, 3]
    assert found.usable.tolist() == [True, True, False, True]
    joined = Descriptions.concatenated([found, Descriptions(rows[6:], np.array([4]), 1.0, words=np.arange(4))])
    assert (joined.vectors[:, 0].tolist(), joined.counts.tolist(), joined.seconds) == (
        list(range(10)),
        [1, 2, 0, 3, 4],
        3,
    )


def test_images_without_local_features_are_joined_with_those_that_have_some() -> None:
    features = LocalFeatures(np.ones((2, 2), np.float32), np.ones((2, 8), np.float32), np.ones(2, np.float32))
    found = replace(descriptions(vectors(1, seed=0)), features=(features,))
    blank = descriptions(vectors(2, seed=1))
    joined = Descriptions.concatenated([blank, found, blank])
    assert joined.features is not None
    assert [len(each) for each in joined.features] == [0, 0, 2, 0, 0]
    assert Descriptions.concatenated([blank, blank]).features is None
