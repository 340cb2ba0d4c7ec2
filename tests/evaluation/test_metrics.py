"""Each metric against its definition, taken literally, and against the values of the field's notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.errors import UsageError
from kindred.evaluation.metrics import (
    average_precision,
    average_precision_at_k,
    average_precision_at_r,
    cmc,
    intersection_over_union,
    loc_score,
    mean,
    ndcg,
    ns_score,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank,
    relevant_ranks,
    revisited_precision_at_k,
    trapezoidal_average_precision,
)

RANKS = st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True).map(sorted)
MISSING = st.integers(0, 5)


def marks_of(ranks: Sequence[int]) -> list[bool]:
    """A ranking as marks: is the result at each rank relevant?"""
    return [rank in set(ranks) for rank in range(max(ranks) + 1)]


def plain(ranks: Sequence[int], total: int) -> float:
    """Walk down the ranking; at each relevant image, the share of relevant ones so far."""
    found, precisions = 0, []
    for seen, right in enumerate(marks_of(ranks), 1):
        if right:
            found += 1
            precisions.append(found / seen)
    return sum(precisions) / total


def trapezoidal(ranks: Sequence[int], total: int) -> float:
    """Walk down the ranking and sum the area under the precision-recall curve, by trapezoids."""
    area, old_recall, old_precision, found = 0.0, 0.0, 1.0, 0
    for seen, right in enumerate(marks_of(ranks), 1):
        found += right
        recall, precision = found / total, found / seen
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return area


def within_r(ranks: Sequence[int], total: int) -> float:
    """Musgrave's sum: over ranks 1 to R, the precision there if the result there is right, else 0."""
    marks = (marks_of(ranks) + [False] * total)[:total]
    return sum(sum(marks[: i + 1]) / (i + 1) * marks[i] for i in range(total)) / total


@pytest.mark.parametrize(
    ("ranks", "expected", "expected_plain"),
    [
        ([0], 1, 1),
        ([1], 0.25, 0.5),
        ([0, 2, 5], 0.677778, 0.722222),
        ([3, 4], 0.225, 0.325),
        ([0, 1, 2, 3], 1, 1),
    ],
)
def test_the_values_of_the_notes(ranks: list[int], expected: float, expected_plain: float) -> None:
    assert trapezoidal_average_precision(ranks) == pytest.approx(expected, abs=1e-6)
    assert average_precision(ranks) == pytest.approx(expected_plain, abs=1e-6)


@given(ranks=RANKS, missing=MISSING)
def test_average_precisions_are_their_definitions(ranks: list[int], missing: int) -> None:
    total = len(ranks) + missing
    assert average_precision(ranks, total) == pytest.approx(plain(ranks, total))
    assert trapezoidal_average_precision(ranks, total) == pytest.approx(trapezoidal(ranks, total))
    assert average_precision_at_r(ranks, total) == pytest.approx(within_r(ranks, total))


@given(ranks=RANKS, missing=MISSING)
def test_r_precision_counts_the_right_among_the_first_r(ranks: list[int], missing: int) -> None:
    total = len(ranks) + missing
    assert r_precision(ranks, total) == sum(marks_of(ranks)[:total]) / total


@given(ranks=RANKS, k=st.integers(1, 40))
def test_the_revisited_precision_at_k_ends_at_the_last_relevant_image(ranks: list[int], k: int) -> None:
    depth = min(max(ranks) + 1, k)
    assert revisited_precision_at_k(ranks, k) == sum(marks_of(ranks)[:depth]) / depth


@given(ranks=RANKS, k=st.integers(1, 40))
def test_precision_at_k_counts_the_first_k_results(ranks: list[int], k: int) -> None:
    assert precision_at_k(ranks, k) == sum(marks_of(ranks)[:k]) / k


@given(ranks=RANKS, missing=MISSING, k=st.integers(1, 40))
def test_map_at_k_is_the_landmarks_sum(ranks: list[int], missing: int, k: int) -> None:
    """1/min(m, k) Σ P(i) rel(i) over the ranks i up to k, m being how many are relevant (Google Landmarks v2)."""
    total = len(ranks) + missing
    marks = (marks_of(ranks) + [False] * k)[:k]
    summed = sum(sum(marks[: i + 1]) / (i + 1) * marks[i] for i in range(k))
    assert average_precision_at_k(ranks, k, total) == pytest.approx(summed / min(total, k))
    assert average_precision_at_k(ranks, 10**6, total) == pytest.approx(average_precision(ranks, total))


@settings(deadline=None)  # scikit-learn takes its time to load
@given(ranks=RANKS, missing=MISSING, k=st.integers(1, 40) | st.none())
def test_ndcg_is_that_of_scikit_learn(ranks: list[int], missing: int, k: int | None) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    marks = marks_of(ranks) + [False] * 5 + [True] * missing  # what was not retrieved comes last of all
    marks += [False] * (2 - len(marks) if len(marks) < 2 else 0)
    scores = -np.arange(len(marks))[None]
    if missing:
        # scikit-learn knows nothing of what was not retrieved: the ideal is computed of all, the gain of the retrieved.
        gains = np.array(marks, float)
        gains[len(gains) - missing :] = 0
        expected = metrics.dcg_score(gains[None], scores, k=k) / metrics.dcg_score(
            np.sort(np.array([marks], float))[:, ::-1], scores, k=k
        )
    else:
        expected = metrics.ndcg_score(np.array([marks], float), scores, k=k)
    assert ndcg(ranks, len(ranks) + missing, k=k) == pytest.approx(expected)


@given(ranks=RANKS)
def test_the_reciprocal_rank_is_that_of_the_first(ranks: list[int]) -> None:
    assert reciprocal_rank(ranks) == 1 / (marks_of(ranks).index(True) + 1)


def test_the_values_of_the_new_metrics_by_hand() -> None:
    assert reciprocal_rank([2, 5]) == pytest.approx(1 / 3)
    assert precision_at_k([0, 2, 5], 5) == pytest.approx(2 / 5)
    assert average_precision_at_k([0, 2, 5], 5) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision_at_k([0, 2, 5], 2) == pytest.approx(1 / 2)
    # 1 + 1/2 + 1/log2(7) of 1 + 1/log2(3) + 1/2.
    assert ndcg([0, 2, 5]) == pytest.approx((1 + 0.5 + 0.3562071871080222) / (1 + 0.6309297535714575 + 0.5))


@given(ranks=RANKS, k=st.integers(1, 40))
def test_recall_at_k_needs_one_right_result(ranks: list[int], k: int) -> None:
    assert recall_at_k(ranks, k) == any(marks_of(ranks)[:k])


def test_precision_at_k_of_few_positives_reaches_one() -> None:
    assert revisited_precision_at_k([0, 1, 2], 10) == 1
    assert revisited_precision_at_k([0, 1, 9], 5) == 0.4


def test_map_at_r_ignores_results_after_rank_r() -> None:
    assert average_precision_at_r([0, 2, 9]) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision_at_r([3, 4]) == 0


def test_images_not_retrieved_lower_every_average() -> None:
    assert average_precision([0, 1], 4) == 0.5
    assert trapezoidal_average_precision([0, 1], 4) == 0.5
    assert r_precision([0, 1], 4) == 0.5
    assert average_precision_at_r([], 3) == 0
    assert trapezoidal_average_precision([], 3) == 0


def test_images_not_retrieved_have_no_rank() -> None:
    assert recall_at_k([], 10) == 0
    assert precision_at_k([], 10) == revisited_precision_at_k([], 10) == reciprocal_rank([]) == 0
    assert ndcg([], 3) == average_precision_at_k([], 3, 2) == 0


@given(rankings=st.lists(RANKS, min_size=1, max_size=6), k=st.integers(1, 35))
def test_cmc_is_the_recall_at_every_rank(rankings: list[list[int]], k: int) -> None:
    curve = cmc(rankings, k)
    assert curve.shape == (k,)
    expected = [mean(recall_at_k(ranks, rank) for ranks in rankings) for rank in range(1, k + 1)]
    np.testing.assert_allclose(curve, expected)


def test_ns_score_counts_the_right_among_the_first_four() -> None:
    perfect, self_only, half = [0, 1, 2, 3], [0, 9, 10, 11], [0, 3, 4, 5]
    assert ns_score(perfect) == 4
    assert ns_score(self_only) == 1
    assert mean(map(ns_score, (perfect, self_only, half))) == pytest.approx((4 + 1 + 2) / 3)


def test_junk_and_padding_are_as_if_they_had_not_been_there() -> None:
    order = [7, 3, 9, 4, -1, 8, -1]
    assert relevant_ranks(order, [9, 8, 5]).tolist() == [2, 4]
    assert relevant_ranks(order, [9, 8, 5], junk=[3, 7, 6]).tolist() == [0, 2]
    assert relevant_ranks(order, []).tolist() == []


def test_an_image_that_is_named_twice_counts_once() -> None:
    assert relevant_ranks([7, 3, 9, 4], [9, 4, 9]).tolist() == [2, 3]
    assert relevant_ranks([7, 9, 3, 9, 4], [9, 4]).tolist() == [1, 4]  # in the ranking: where it stands first


@given(order=st.permutations(range(12)), relevant=st.sets(st.integers(0, 11)), junk=st.sets(st.integers(0, 11)))
def test_relevant_ranks_are_those_of_the_cleaned_list(order: list[int], relevant: set[int], junk: set[int]) -> None:
    cleaned = [image for image in order if image not in junk]
    expected = [rank for rank, image in enumerate(cleaned) if image in relevant]
    assert relevant_ranks(order, sorted(relevant), junk=sorted(junk)).tolist() == expected


def test_mean_takes_any_iterable_and_needs_one_query() -> None:
    assert mean(iter([0.0, 0.5, 1.0])) == 0.5
    with pytest.raises(UsageError, match="at least one query"):
        mean([])


@pytest.mark.parametrize(
    "metric", [average_precision, trapezoidal_average_precision, r_precision, average_precision_at_r, ndcg]
)
def test_a_query_without_relevant_images_has_no_score(metric: Callable[[list[int]], float]) -> None:
    with pytest.raises(UsageError, match="leave such a query out"):
        metric([])


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ([1, 0], "ascend"),
        ([1, 1], "ascend"),
        ([-1, 2], "from 0"),
        ([0.5], "whole numbers"),
        ([[0]], r"expected whole numbers \(n,\)"),
    ],
)
def test_ranks_that_cannot_be_are_refused(ranks: list[int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        average_precision(ranks)


def test_other_arguments_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="at least the 2"):
        average_precision([0, 1], 1)
    with pytest.raises(UsageError, match="k: got 0"):
        recall_at_k([0], 0)
    for metric in (precision_at_k, revisited_precision_at_k, average_precision_at_k):
        with pytest.raises(UsageError, match="k: got 0"):
            metric([0], 0)
    with pytest.raises(UsageError, match="k: got 0"):
        ndcg([0], k=0)
    with pytest.raises(UsageError, match="at least one query"):
        cmc([], 3)


class TestLocScore:
    @given(st.integers(1, 8), st.integers(0, 100))
    def test_is_the_precision_at_each_relevant_image_times_its_overlap(self, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        ranks = np.sort(random.choice(30, count, replace=False))
        overlaps = random.random(count)
        total = 0.0
        for found, (rank, overlap) in enumerate(zip(ranks.tolist(), overlaps.tolist(), strict=True), 1):
            total += found / (rank + 1) * overlap
        assert loc_score(ranks, overlaps, count + 2) == pytest.approx(total / (count + 2))
        assert loc_score(ranks, np.ones(count)) == pytest.approx(average_precision(ranks))

    @pytest.mark.parametrize("overlaps", [[0.5], [0.5, 1.1], [0.5, -0.1], [0.5, float("nan")]])
    def test_overlaps_are_shares_of_each_image(self, overlaps: list[float]) -> None:
        with pytest.raises(UsageError, match=r"overlaps: got shape .*; expected \(2,\), each from 0 to 1"):
            loc_score([0, 1], overlaps)

    def test_the_overlap_of_boxes_by_counting_pixels(self) -> None:
        random = np.random.default_rng(0)
        for _ in range(200):
            first, second = ([*low, *(low + side)] for low, side in zip(*random.integers(1, 9, (2, 2, 2)), strict=True))
            pixels = [{(x, y) for x in range(x0, x1) for y in range(y0, y1)} for x0, y0, x1, y1 in (first, second)]
            expected = len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])
            assert intersection_over_union(first, [second]) == pytest.approx(expected)
            assert intersection_over_union(first, [second, first]) == 1
        assert intersection_over_union((0, 0, 1, 1), []) == 0
        with pytest.raises(UsageError, match="boxes: expected finite x0 < x1"):
            intersection_over_union((0, 0, 0, 1), [])
