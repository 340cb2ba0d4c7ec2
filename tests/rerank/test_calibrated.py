from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from kindred.calibration import Calibration
from kindred.errors import RecipeError, UsageError
from kindred.features import LocalFeatures
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.rerank import ArrayGallery, Context, rerank
from kindred.rerank.calibrated import calibrated, evidence_of, is_first_look_enough
from kindred.rerank.context import Verified
from kindred.rerank.needs import check_needs, is_calibrated, steps_or_default

FRAME = (0.0, 0.0, 400.0, 300.0)
MODEL = Calibration(-6.0, 12.0, -5.0, 2.0, 4.0, 0.2, 0.4, 0.05, -5.0, 14.0, -6.0, 2.0)
COSINES = (0.3, 0.2, 0.1, 0.05)
PLAIN = Recipe("plain", backbone="kin")
CALIBRATED = Recipe("sure", backbone="kin", features="sift", calibration="some.npz")


def scene(seed: int, *, of: int | None = None, shared: int = 30) -> LocalFeatures:
    """Random points and descriptors; the first `shared` are those of the scene `of`, 20 pixels to the right."""
    random = np.random.default_rng(seed)
    points = (random.random((60, 2)) * FRAME[2:]).astype(np.float32)
    descriptors = random.integers(0, 120, (60, 128), dtype=np.uint8)
    if of is not None:
        other = scene(of)
        points[:shared] = other.points[:shared] + np.array((20, 0), np.float32)
        descriptors[:shared] = other.descriptors[:shared]
    return LocalFeatures(points, descriptors, np.ones(60, np.float32), FRAME)


def context(images: Sequence[LocalFeatures], cosines: Sequence[float] = COSINES) -> Context:
    """One query, scene 0, and images whose vectors have these cosines with it."""
    rows = np.array([(c, math.sqrt(1 - c * c)) for c in cosines], np.float32)
    return Context(
        np.array([(1.0, 0.0)], np.float32),
        ArrayGallery(rows),
        query_features=lambda _: scene(0),
        image_features=partial(map, images.__getitem__),
        calibration=MODEL,
    )


def ranked(cosines: Sequence[float] = COSINES) -> Ranking:
    return Ranking(np.arange(len(cosines))[None], np.array([cosines], np.float32))


IMAGES = (scene(1), scene(2), scene(3, of=0), scene(4))


def test_inliers_move_a_candidate_up_where_the_descriptor_is_unsure() -> None:
    found = calibrated(ranked(), context(IMAGES))
    assert found.ids.tolist() == [[2, 0, 1, 3]]
    assert found.probabilities is not None
    assert found.probabilities[0, 0] > 0.9
    assert (found.probabilities[0, 1:] < 0.1).all()
    assert found.scores.tolist() == found.probabilities.tolist()
    assert found.boxes is not None
    assert found.boxes[0, 0] == pytest.approx((20, 0, 400, 300), abs=1)
    assert np.isnan(found.boxes[0, 1:]).all()


def test_inliers_hardly_count_where_the_descriptor_is_sure() -> None:
    cosines = (0.9, 0.8, 0.7, 0.1)
    found = calibrated(ranked(cosines), context(IMAGES, cosines))
    assert found.ids.tolist() == [[0, 1, 2, 3]]


def test_gives_the_probabilities_of_its_evidence() -> None:
    around = context(IMAGES)
    evidence = evidence_of(around, 0, np.arange(4))
    assert evidence.inliers[2] >= 25
    assert (evidence.inliers[[0, 1, 3]] <= 6).all()
    odds = np.sort(MODEL.log_odds(evidence))[::-1]
    found = calibrated(ranked(), around)
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-odds)), rel=1e-5)


def test_the_odds_of_one_of_several_regions_are_lower_without_much_support() -> None:
    around = context((scene(1), scene(5, of=0, shared=10), scene(3, of=0), scene(4)))
    assert 10 < evidence_of(around, 0, np.arange(4)).inliers[1] < 20
    alone, one_of_31 = calibrated(ranked(), around), calibrated(ranked(), replace(around, one_of=31))

    def odds(found: Ranking, number: int) -> float:
        at = found.ids[0].tolist().index(number)
        return float(found.scores[0, at] / (1 - found.scores[0, at]))

    assert odds(one_of_31, 2) == odds(alone, 2)
    for number in (0, 1, 3):
        assert odds(one_of_31, number) == pytest.approx(odds(alone, number) / 31**0.5, rel=1e-2)
    large = calibrated(ranked(), replace(around, one_of=31, is_large=True))
    assert odds(large, 2) == pytest.approx(odds(alone, 2) / 31, rel=1e-2)


def test_results_beyond_the_depth_are_not_verified_and_follow() -> None:
    cosines = (0.3, 0.2, 0.1, 0.05)
    found = calibrated(ranked(cosines), context(IMAGES, cosines), depth=2)
    assert found.ids.tolist() == [[0, 1, 2, 3]]


def test_a_query_without_local_features_is_ordered_by_its_cosines() -> None:
    found = calibrated(ranked(), replace(context(IMAGES), query_features=None))
    odds = [-5 + 14 * s - 6 * 0.3 + 2 * 0.25 for s in COSINES]
    assert found.ids.tolist() == [[0, 1, 2, 3]]
    assert found.scores[0] == pytest.approx([1 / (1 + math.exp(-each)) for each in odds], rel=1e-5)


def test_padding_has_no_probability() -> None:
    short = Ranking(np.array([[2, 0, -1]]), np.array([[0.3, 0.1, -np.inf]], np.float32))
    found = calibrated(short, context(IMAGES))
    assert found.probabilities is not None
    assert np.isnan(found.probabilities[0]).tolist() == [False, False, True]
    assert found.top(1).probabilities is not None


def test_candidates_that_are_known_are_not_verified_again() -> None:
    looked: list[int] = []

    def image(number: int) -> LocalFeatures:
        looked.append(number)
        return IMAGES[number]

    around = replace(context(IMAGES), image_features=partial(map, image), verified=Verified())
    first = calibrated(ranked(), around)
    again = calibrated(ranked(COSINES[:3]), around)
    assert looked == [0, 1, 2, 3]
    assert again.ids.tolist() == [[2, 0, 1]]
    assert first.scores[0, 0] > again.scores[0, 0] or first.scores[0, 0] > 0.9


def test_needs_a_calibration() -> None:
    with pytest.raises(UsageError, match="needs a recipe with a calibration"):
        rerank(ranked(), replace(context(IMAGES), calibration=None), "calibrated")
    with pytest.raises(RecipeError, match="needs a calibration, and recipe 'plain' has none"):
        check_needs([("calibrated", {})], PLAIN, images_at_hand=True)
    check_needs([("calibrated", {})], CALIBRATED, images_at_hand=False)


def test_is_the_default_of_a_recipe_with_a_calibration() -> None:
    assert steps_or_default(None, CALIBRATED) == [("calibrated", {})]
    assert steps_or_default(None, PLAIN) == []
    assert steps_or_default("none", CALIBRATED) == steps_or_default((), CALIBRATED) == []
    assert steps_or_default("verify", CALIBRATED) == [("verify", {})]
    assert is_calibrated([("verify", {}), ("calibrated", {})])
    assert not is_calibrated([("calibrated", {}), ("verify", {})])
    assert not is_calibrated([])


def two_looks(first: LocalFeatures, second: LocalFeatures) -> LocalFeatures:
    """Features of a query of two passes."""
    return replace(
        first,
        points=np.concatenate((first.points, second.points)),
        descriptors=np.concatenate((first.descriptors, second.descriptors)).astype(np.uint8),
        scales=np.concatenate((first.scales, second.scales)),
        passes=(len(first), len(second)),
    )


def counted(query: LocalFeatures, images: Sequence[LocalFeatures]) -> tuple[list[int], list[int]]:
    """The inliers of images, and which images were fetched."""
    looked: list[int] = []

    def image(number: int) -> LocalFeatures:
        looked.append(number)
        return images[number]

    around = replace(
        context(images, COSINES[: len(images)]), query_features=lambda _: query, image_features=partial(map, image)
    )
    return evidence_of(around, 0, np.arange(len(images))).inliers.astype(int).tolist(), looked


def test_a_first_look_that_verifies_is_the_only_one() -> None:
    # The second pass would verify image 1 by twice as many keypoints as the first does image 0.
    images = (scene(3, of=0, shared=20), scene(4, of=9, shared=50))
    inliers, looked = counted(two_looks(scene(0), scene(9)), images)
    assert 12 <= inliers[0] <= 30
    assert inliers[1] < 8
    assert looked == [0, 1]


def test_the_other_passes_count_where_the_first_look_verifies_nothing() -> None:
    images = (scene(3, of=0, shared=7), scene(4, of=9, shared=50))
    inliers, looked = counted(two_looks(scene(0), scene(9)), images)
    assert inliers[0] <= 9
    assert inliers[1] >= 40
    assert looked == [0, 1, 0, 1]


def test_each_look_is_remembered_apart() -> None:
    images = (scene(3, of=0, shared=20), scene(4, of=9, shared=50))
    looks = two_looks(scene(0), scene(9))
    around = replace(context(images, COSINES[:2]), query_features=lambda _: looks, verified=Verified())
    both = evidence_of(around, 0, np.arange(2))
    without = evidence_of(around, 0, np.array([1]))  # the image that the first look verifies is not there
    assert both.inliers[1] < 8
    assert without.inliers[0] >= 40


def test_a_copy_of_the_query_does_not_end_the_looks_at_it() -> None:
    """A query that is in the library agrees with itself at the first look, and with its turned original at the next."""
    images = (scene(0), scene(4, of=9, shared=50))
    around = replace(context(images, [1.0, 0.3]), query_features=lambda _: two_looks(scene(0), scene(9)))
    verified = Verified()
    found = evidence_of(replace(around, verified=verified), 0, np.arange(2))
    assert found.inliers[0] >= 40
    assert found.inliers[1] >= 40
    assert not is_first_look_enough(verified)
    alike = replace(context(images, [0.98, 0.3]), query_features=around.query_features, verified=verified)
    assert evidence_of(alike, 0, np.arange(2)).inliers[1] < 8
    assert is_first_look_enough(verified)


def with_further(candidates: Sequence[int], further: Sequence[int]) -> tuple[Ranking, list[int]]:
    """The ranking of candidates with others in reserve, and which images were compared."""
    looked: list[int] = []

    def image(number: int) -> LocalFeatures:
        looked.append(number)
        return IMAGES[number]

    more = np.array(further, np.int64)
    around = replace(context(IMAGES), image_features=partial(map, image), further=lambda _: [more])
    ids = np.array([candidates], np.int64)
    return calibrated(Ranking(ids, np.array(COSINES, np.float32)[ids]), around), looked


def test_further_candidates_are_verified_where_none_of_the_first_is() -> None:
    found, looked = with_further([0, 1], [1, 3, 2])
    assert looked == [0, 1, 3, 2]  # none twice
    assert found.ids.tolist() == [[2, 0]]  # as many results as before
    assert found.probabilities is not None
    assert found.probabilities[0, 0] > 0.9


def test_further_candidates_of_a_pass_are_verified_by_it_alone_and_once() -> None:
    both, verified, looked = two_looks(scene(9), scene(0)), Verified(), list[int]()

    def image(number: int) -> LocalFeatures:
        looked.append(number)
        return IMAGES[number]

    def found(*further: list[int]) -> Ranking:
        around = replace(
            context(IMAGES),
            query_features=lambda _: both,
            image_features=partial(map, image),
            further=lambda _: [np.array(each, np.int64) for each in further],
            verified=verified,
        )
        return calibrated(Ranking(np.array([[0]]), np.array([[0.3]], np.float32)), around)

    assert found([2], [1]).ids.tolist() == [[0]]  # image 2 shows what the second pass does
    assert found([1], [2, 1]).ids.tolist() == [[2]]
    assert looked == [0, 0, 2, 1, 1, 2]


def test_there_are_no_further_candidates_where_one_of_the_first_is_verified() -> None:
    found, looked = with_further([0, 2], [1, 3])
    assert (found.ids.tolist(), looked) == ([[2, 0]], [0, 2])
