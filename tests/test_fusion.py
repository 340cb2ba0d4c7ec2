from __future__ import annotations

from collections.abc import Sequence
from math import prod
from statistics import fmean, pstdev
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import RecipeError, UsageError
from kindred.fusion import (
    FUSIONS,
    borda,
    comb_mnz,
    concatenate,
    fuse,
    mean_scores,
    query_adaptive,
    reciprocal_rank,
    weighted_scores,
    z_score,
)
from kindred.ranking import Ranking

Pairs = list[tuple[int, float]]
"""The results of one query: (id, score), best first."""


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    module: ModuleType = pytest.importorskip("torch")
    return module


def parts(*dimensions: int, seed: int = 0, count: int = 5) -> list[NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((count, size)).astype(np.float32) * (1 + size) for size in dimensions]


def cosine(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    total = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = [sum(float(x) ** 2 for x in v) ** 0.5 for v in (a, b)]
    return float(total / (lengths[0] * lengths[1]))


def test_mean_scores_leaves_scores_as_they_are() -> None:
    one, other = ranked([(1, 0.9), (2, 0.5)]), ranked([(2, 0.8), (3, 0.2)])
    found = mean_scores([one, other])
    assert found.ids.tolist() == [[2, 1, 3]]
    assert found.scores[0] == pytest.approx([0.65, 0.55, 0.35])
    assert mean_scores([one, other], weights=[3, 1]).scores[0] == pytest.approx([0.725, 0.575, 0.425])


class TestConcatenate:
    @pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5], [0.0, 2.0, 2.0]])
    def test_dot_products_are_weighted_means_of_the_cosines(self, weights: list[float] | None) -> None:
        given = parts(4, 7, 2)
        fused = concatenate(given, weights=weights)
        assert fused.shape == (5, 13)
        shares = weights or [1.0] * 3
        for i in range(5):
            for j in range(5):
                expected = sum(w * cosine(part[i], part[j]) for w, part in zip(shares, given, strict=True))
                assert fused[i] @ fused[j] == pytest.approx(expected / sum(shares), abs=1e-6)

    def test_one_part_is_only_normalised(self) -> None:
        (given,) = parts(6)
        np.testing.assert_allclose(
            concatenate([given]), given / np.linalg.norm(given, axis=1, keepdims=True), rtol=1e-6
        )

    def test_a_zero_part_leaves_its_weight_to_the_others(self) -> None:
        given = parts(3, 4)
        given[0][2] = 0
        fused = concatenate(given)
        np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1, rtol=1e-6)
        assert fused[2, :3].tolist() == [0, 0, 0]

    def test_torch_gives_the_same_with_gradients(self, torch: ModuleType) -> None:
        given = parts(4, 4)
        leaves = [torch.from_numpy(part).requires_grad_() for part in given]
        fused = concatenate(leaves, weights=[2.0, 1.0])
        np.testing.assert_allclose(fused.detach().numpy(), concatenate(given, weights=[2.0, 1.0]), atol=1e-6)
        fused[:, 0].sum().backward()
        assert all(torch.isfinite(leaf.grad).all() and (leaf.grad != 0).any() for leaf in leaves)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "got 1; expected 2"),
        ([1.0, -1.0], "got 1, -1; expected none below 0"),
        ([0.0, 0.0], "not all 0"),
        ([1.0, float("nan")], "got 1, nan"),
    ],
)
def test_invalid_weights(weights: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        concatenate(parts(4, 4), weights=weights)


def test_parts_of_different_shapes_or_no_parts() -> None:
    with pytest.raises(UsageError, match="parts: got none"):
        concatenate([])
    with pytest.raises(UsageError, match=r"got shapes \(5, 4\), \(6, 4\); expected matrices \(N, Di\) with the same N"):
        concatenate([*parts(4), *parts(4, count=6)])


def ranked(*queries: Pairs, boxes: bool = False) -> Ranking:
    """A ranking of (id, score) pairs, rows padded; the box of a result is its id and score, twice."""
    width = max(map(len, queries))
    ids, scores = np.full((len(queries), width), -1), np.full((len(queries), width), -np.inf)
    for row, pairs in enumerate(queries):
        for place, (number, score) in enumerate(pairs):
            ids[row, place], scores[row, place] = number, score
    corners = np.stack([ids, scores, ids, scores], axis=2) if boxes else None
    return Ranking(ids, scores.astype(np.float32), None if corners is None else corners.astype(np.float32))


ONE: list[Pairs] = [[(7, 0.9), (3, 0.5), (2, 0.1)], [(1, 0.8)], []]
OTHER: list[Pairs] = [[(3, 12.0), (5, 11.0), (7, 4.0), (9, 2.0)], [(4, 5.0), (1, 5.0)], []]


def best_first(scores: dict[int, float]) -> Pairs:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def check(found: Ranking, expected: Sequence[dict[int, float]]) -> None:
    """Compare a ranking with {id: score} of each query."""
    for row, scores in enumerate(expected):
        pairs = best_first(scores)
        assert found.ids[row, : len(pairs)].tolist() == [number for number, _ in pairs]
        np.testing.assert_allclose(found.scores[row, : len(pairs)], [score for _, score in pairs], rtol=1e-5)
        assert (found.ids[row, len(pairs) :] == -1).all()


def spread(pairs: Pairs) -> dict[int, float]:
    """Scores from 0 to 1 by id."""
    scores = [score for _, score in pairs]
    if not scores or max(scores) == min(scores):
        return {number: 1.0 for number, _ in pairs}
    return {number: (score - min(scores)) / (max(scores) - min(scores)) for number, score in pairs}


def union(*lists: Pairs) -> set[int]:
    return {number for pairs in lists for number, _ in pairs}


class TestWeightedScores:
    def test_by_hand(self) -> None:
        found = weighted_scores([ranked([(7, 0.9), (3, 0.5)]), ranked([(3, 4.0), (5, 3.0), (7, 2.0)])])
        assert found.ids.tolist() == [[3, 7, 5]]  # equal scores go by id
        assert found.scores.tolist() == [[0.5, 0.5, 0.25]]

    @pytest.mark.parametrize("weights", [None, [1.0, 3.0]])
    def test_equals_a_loop(self, weights: list[float] | None) -> None:
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            w = [0.5, 0.5] if weights is None else [0.25, 0.75]
            a, b = spread(one), spread(other)
            expected.append({each: w[0] * a.get(each, 0) + w[1] * b.get(each, 0) for each in union(one, other)})
        check(weighted_scores([ranked(*ONE), ranked(*OTHER)], weights=weights), expected)

    def test_without_normalisation_a_missing_result_counts_as_the_lowest(self) -> None:
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            scores = {}
            for each in union(one, other):
                a = dict(one).get(each, min(score for _, score in one))
                b = dict(other).get(each, min(score for _, score in other))
                scores[each] = (a + b) / 2
            expected.append(scores)
        check(weighted_scores([ranked(*ONE), ranked(*OTHER)], normalise="none"), expected)

    def test_parameters(self) -> None:
        with pytest.raises(UsageError, match="normalise is 'max'; expected 'min_max' or 'none'"):
            weighted_scores([ranked(*ONE)], normalise="max")
        with pytest.raises(UsageError, match="weights: got 1; expected 2"):
            weighted_scores([ranked(*ONE), ranked(*OTHER)], weights=[1.0])


class TestReciprocalRank:
    @pytest.mark.parametrize("k", [60, 1])
    def test_equals_a_loop(self, k: int) -> None:
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            scores: dict[int, float] = {}
            for pairs in (one, other):
                for place, (number, _) in enumerate(pairs, start=1):
                    scores[number] = scores.get(number, 0) + 1 / (k + place)
            expected.append(scores)
        check(reciprocal_rank([ranked(*ONE), ranked(*OTHER)], k=k), expected)

    def test_only_the_order_of_scores_matters(self) -> None:
        stretched = [[(number, 100 * score) for number, score in pairs] for pairs in ONE]
        left = reciprocal_rank([ranked(*ONE), ranked(*OTHER)])
        right = reciprocal_rank([ranked(*stretched), ranked(*OTHER)])
        np.testing.assert_array_equal(left.ids, right.ids)
        np.testing.assert_array_equal(left.scores, right.scores)

    def test_k_must_be_a_number(self) -> None:
        with pytest.raises(UsageError, match="k: got 0"):
            reciprocal_rank([ranked(*ONE)], k=0)


class TestZScore:
    @pytest.mark.parametrize("weights", [None, [1.0, 3.0]])
    def test_equals_a_loop(self, weights: list[float] | None) -> None:
        def standard(pairs: Pairs) -> dict[int, float]:
            scores = [score for _, score in pairs]
            if not scores or max(scores) == min(scores):
                return {number: 0.0 for number, _ in pairs}
            return {number: (score - fmean(scores)) / pstdev(scores) for number, score in pairs}

        w = [0.5, 0.5] if weights is None else [0.25, 0.75]
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            a, b = standard(one), standard(other)
            low = [min(each.values(), default=0.0) for each in (a, b)]
            expected.append(
                {each: w[0] * a.get(each, low[0]) + w[1] * b.get(each, low[1]) for each in union(one, other)}
            )
        check(z_score([ranked(*ONE), ranked(*OTHER)], weights=weights), expected)

    def test_scores_are_invariant_to_scale_and_offset(self) -> None:
        moved = [[(number, 100 * score - 7) for number, score in pairs] for pairs in ONE]
        left, right = (z_score([ranked(*each), ranked(*OTHER)]) for each in (ONE, moved))
        np.testing.assert_array_equal(left.ids, right.ids)
        np.testing.assert_allclose(left.scores[left.ids >= 0], right.scores[right.ids >= 0], rtol=1e-4)


class TestCombMnz:
    def test_by_hand(self) -> None:
        found = comb_mnz([ranked([(7, 0.9), (3, 0.5), (4, 0.1)]), ranked([(3, 4.0), (5, 3.0), (7, 2.0)])])
        assert found.ids.tolist() == [[3, 7, 5, 4]]  # 2 · (0.5 + 1), 2 · (1 + 0), 1 · 0.5, 0
        np.testing.assert_allclose(found.scores, [[3, 2, 0.5, 0]])

    def test_equals_a_loop(self) -> None:
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            a, b = spread(one), spread(other)
            expected.append(
                {each: (a.get(each, 0) + b.get(each, 0)) * ((each in a) + (each in b)) for each in union(one, other)}
            )
        check(comb_mnz([ranked(*ONE), ranked(*OTHER)]), expected)


class TestBorda:
    def test_by_hand(self) -> None:
        """Four candidates. The first voter ranks two: 4, 3, and 1.5 for each of the others, who share 2 + 1."""
        found = borda([ranked([(7, 0.9), (3, 0.5)]), ranked([(3, 4.0), (5, 3.0), (7, 2.0), (9, 1.0)])])
        assert found.ids.tolist() == [[3, 7, 5, 9]]
        assert found.scores.tolist() == [[7, 6, 4.5, 2.5]]

    @pytest.mark.parametrize("weights", [None, [1.0, 3.0]])
    def test_equals_a_loop(self, weights: list[float] | None) -> None:
        w = [1.0, 1.0] if weights is None else [0.5, 1.5]
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            candidates = union(one, other)
            total = dict.fromkeys(candidates, 0.0)
            for weight, pairs in zip(w, (one, other), strict=True):
                points = [float(n) for n in range(len(candidates), 0, -1)]
                for number, _ in pairs:
                    total[number] += weight * points.pop(0)
                for number in candidates - {number for number, _ in pairs}:
                    total[number] += weight * fmean(points)
            expected.append(total)
        check(borda([ranked(*ONE), ranked(*OTHER)], weights=weights), expected)

    def test_only_the_order_of_scores_matters(self) -> None:
        stretched = [[(number, 100 * score) for number, score in pairs] for pairs in ONE]
        left, right = (borda([ranked(*each), ranked(*OTHER)]) for each in (ONE, stretched))
        np.testing.assert_array_equal(left.scores, right.scores)


def literal_area(pairs: Pairs, curves: NDArray[np.float64] | None, neighbours: int, tail: float) -> float:
    scores = [score for _, score in pairs]
    if curves is not None:
        first = int(len(scores) * (1 - tail))
        distances = []
        for number, curve in enumerate(curves):
            squares = [(curve[place] - scores[place]) ** 2 for place in range(first, len(scores))]
            distances.append((sum(squares) ** 0.5, number))
        nearest = [number for _, number in sorted(distances)[:neighbours]]
        for place in range(len(scores)):
            scores[place] -= sum(curves[number, place] for number in nearest) / len(nearest)
    if max(scores) == min(scores):
        return 1.0
    return sum((score - min(scores)) / (max(scores) - min(scores)) for score in scores) / len(scores)


def literal_product(lists: list[Pairs], areas: list[float], floor: float) -> dict[int, float]:
    weights = [1 / area / sum(1 / each for each in areas) for area in areas]
    normalised = [spread(pairs) for pairs in lists]
    return {
        number: prod(
            max(each.get(number, 0), floor) ** weight for each, weight in zip(normalised, weights, strict=True)
        )
        for number in union(*lists)
    }


class TestQueryAdaptive:
    def test_equals_a_loop(self) -> None:
        expected = []
        for one, other in zip(ONE, OTHER, strict=True):
            lists = [one, other]
            areas = [literal_area(pairs, None, 1, 1) if pairs else 1.0 for pairs in lists]
            expected.append(literal_product(lists, areas, 0.01))
        check(query_adaptive([ranked(*ONE), ranked(*OTHER)]), expected)

    @pytest.mark.parametrize(("neighbours", "tail"), [(1, 0.5), (3, 0.25), (99, 1.0)])
    def test_references_equal_a_loop(self, neighbours: int, tail: float) -> None:
        random = np.random.default_rng(0)
        lists = [[(n, float(s)) for n, s in enumerate(np.sort(random.random(8))[::-1])] for _ in range(2)]
        lists[1] = [(n + 3, score) for n, score in lists[1]]
        curves = [np.sort(random.random((6, 10)))[:, ::-1] for _ in range(2)]
        areas = [literal_area(pairs, own, neighbours, tail) for pairs, own in zip(lists, curves, strict=True)]
        rankings = [ranked(pairs) for pairs in lists]
        found = query_adaptive(rankings, references=curves, neighbours=neighbours, tail=tail, floor=0.1)
        check(found, [literal_product(lists, areas, 0.1)])

    def test_an_l_shaped_curve_gets_more_weight_than_a_slope(self) -> None:
        sharp = ranked([(1, 1.0), (2, 0.1), (3, 0.05), (4, 0.0)])
        slope = ranked([(2, 1.0), (3, 0.9), (1, 0.05), (4, 0.0)])
        assert weighted_scores([sharp, slope]).ids[0, 0] == 2
        assert query_adaptive([sharp, slope]).ids[0, 0] == 1

    def test_reference_curves_remove_the_background(self) -> None:
        slope = [(n, 1 - n / 10) for n in range(10)]
        sharp = [(n, 1.0 if n == 9 else (9 - place) / 100) for place, n in enumerate([9, *range(9)])]
        curves = [np.array([[score for _, score in slope]]), np.zeros((1, 10))]
        # What is left of the slope is flat: it says nothing, and the other list decides alone, or nearly.
        areas = [literal_area(slope, curves[0], 1, 0.5), literal_area(sharp, curves[1], 1, 0.5)]
        assert areas[0] == 1.0
        found = query_adaptive([ranked(slope), ranked(sharp)], references=curves, neighbours=1)
        check(found, [literal_product([slope, sharp], areas, 0.01)])

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"neighbours": 0}, "neighbours: got 0"),
            ({"tail": 0.0}, "tail: got 0.0"),
            ({"tail": 1.5}, "got tail 1.5 and floor 0.01; expected at most 1"),
            ({"floor": 0.0}, "floor: got 0.0"),
            ({"references": [np.zeros((2, 9))]}, "references: got 1; expected one array of curves for each of 2"),
            (
                {"references": [np.zeros((2, 9)), np.zeros((2, 3))]},
                r"number 1 has shape \(2, 3\); expected \(n, 4 or more\)",
            ),
            ({"references": [np.full((2, 9), np.nan), np.zeros((2, 9))]}, "number 0 holds NaN"),
        ],
    )
    def test_parameters_out_of_range(self, parameters: dict[str, Any], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            query_adaptive([ranked(*ONE), ranked(*OTHER)], **parameters)


@pytest.mark.parametrize("method", FUSIONS)
class TestEveryFusion:
    def test_a_ranking_fused_with_itself_keeps_its_order(self, method: str) -> None:
        random = np.random.default_rng(0)
        lists = [[(int(n), -float(place)) for place, n in enumerate(random.permutation(20)[:9])] for _ in range(4)]
        found = fuse([ranked(*lists), ranked(*lists)], method)
        assert found.ids.shape == (4, 9)
        # The last two are equal to the query-adaptive fusion: neither is above its floor.
        np.testing.assert_array_equal(found.ids[:, :8], ranked(*lists).ids[:, :8])

    def test_queries_without_results_and_no_queries(self, method: str) -> None:
        found = fuse([ranked([], [(1, 2.0)]), ranked([], [])], method)
        assert found.ids.tolist() == [[-1], [1]]
        empty = Ranking(np.zeros((0, 3), np.int64), np.zeros((0, 3), np.float32))
        assert fuse([empty, empty], method).ids.shape == (0, 0)

    def test_the_first_rank_of_a_repeated_id_counts(self, method: str) -> None:
        twice = fuse([ranked([(1, 3.0), (2, 2.0), (1, 1.0), (5, 0.0)]), ranked([(5, 1.0), (2, 0.0)])], method)
        assert sorted(twice.ids[0].tolist()) == [1, 2, 5]
        assert twice.ids[0].tolist().count(1) == 1

    def test_boxes_come_from_the_better_rank(self, method: str) -> None:
        one = ranked([(7, 0.9), (3, 0.5), (2, 0.1)], boxes=True)
        other = ranked([(3, 12.0), (5, 11.0), (7, 4.0)], boxes=True)
        found = fuse([one, other], method)
        assert found.boxes is not None
        boxes = {n: box.tolist() for n, box in zip(found.ids[0].tolist(), found.boxes[0], strict=True)}
        expected = {7: 0.9, 3: 12.0, 2: 0.1, 5: 11.0}
        for number, score in expected.items():
            assert boxes[number] == pytest.approx([number, score, number, score])

    def test_boxes_of_one_ranking_only(self, method: str) -> None:
        found = fuse([ranked([(7, 0.9), (3, 0.5)]), ranked([(3, 12.0)], boxes=True)], method)
        assert found.boxes is not None
        boxes = dict(zip(found.ids[0].tolist(), found.boxes[0].tolist(), strict=True))
        assert boxes[3] == [3, 12, 3, 12]
        assert np.isnan(boxes[7]).all()
        assert fuse([ranked(*ONE), ranked(*OTHER)], method).boxes is None

    def test_arguments_are_not_modified(self, method: str) -> None:
        one, other = ranked(*ONE), ranked(*OTHER)
        fuse([one, other], method)
        np.testing.assert_array_equal(one.ids, ranked(*ONE).ids)
        np.testing.assert_array_equal(other.scores, ranked(*OTHER).scores)

    def test_mismatched_rankings_are_refused(self, method: str) -> None:
        with pytest.raises(UsageError, match="rankings: got none"):
            fuse([], method)
        with pytest.raises(UsageError, match="got 3, 1 queries; expected the same queries"):
            fuse([ranked(*ONE), ranked([(1, 1.0)])], method)
        with pytest.raises(UsageError, match="number 0 holds an infinite score"):
            fuse([ranked([(1, float("inf"))])], method)

    def test_has_a_summary_and_a_source(self, method: str) -> None:
        assert FUSIONS[method].summary
        assert FUSIONS[method].source


def test_fuse_suggests_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="unknown fusion 'reciprocal_ranks'; did you mean 'reciprocal_rank'"):
        fuse([ranked(*ONE)], "reciprocal_ranks")
    with pytest.raises(RecipeError, match="unknown fusion 'x'; known: weighted_scores, mean_scores, reciprocal_rank"):
        fuse([ranked(*ONE)], "x")
    with pytest.raises(RecipeError, match="'weighted_scores': unknown option 'weight'; did you mean 'weights'"):
        fuse([ranked(*ONE)], "weighted_scores", weight=[1.0])
    with pytest.raises(RecipeError, match="'reciprocal_rank': unknown option 'zzz'; known: k"):
        fuse([ranked(*ONE)], "reciprocal_rank", zzz=1)


def test_fuse_accepts_a_custom_function() -> None:
    found = fuse([ranked(*ONE), ranked(*OTHER)], lambda rankings, k: rankings[1].top(k), k=1)
    assert found.ids.tolist() == [[3], [4], [-1]]
