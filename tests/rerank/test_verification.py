from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.features import LocalFeatures, from_bytes, to_bytes
from kindred.ranking import Ranking
from kindred.rerank.context import Context
from kindred.rerank.verification import match, pair_up, verify

Matrix = NDArray[np.float64]
FRAME = (0.0, 0.0, 400.0, 300.0)
SEEN_FROM_ELSEWHERE = np.array([(0.9, 0.15, 20), (-0.12, 0.8, 30), (0.0002, 0.0001, 1)])
SHIFTED = np.array([(1.0, 0, 50), (0, 1, 20), (0, 0, 1)])


def _project(matrix: Matrix, points: NDArray[Any]) -> NDArray[np.float32]:
    seen = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
    return (seen[:, :2] / seen[:, 2:]).astype(np.float32)


def _scene(seed: int, count: int = 60) -> LocalFeatures:
    """Points spread over the frame, with descriptors of their own."""
    random = np.random.default_rng(seed)
    points = (random.random((count, 2)) * FRAME[2:]).astype(np.float32)
    descriptors = random.integers(0, 120, (count, 128), dtype=np.uint8)
    return LocalFeatures(points, descriptors, np.ones(count, np.float32), FRAME)


def _view(
    scene: LocalFeatures, matrix: Matrix = SEEN_FROM_ELSEWHERE, *, shared: int = 40, clutter: int = 30, seed: int = 9
) -> LocalFeatures:
    """The first `shared` points of a scene as `matrix` shows them, a little off, among `clutter` others."""
    random = np.random.default_rng(seed)
    seen = _project(matrix, scene.points[:shared]) + random.normal(0, 0.3, (shared, 2))
    noisy = np.clip(scene.descriptors[:shared].astype(int) + random.integers(-6, 7, (shared, 128)), 0, 255)
    other = _scene(seed + 1000, clutter)
    return LocalFeatures(
        np.concatenate([seen, other.points]).astype(np.float32),
        np.concatenate([noisy.astype(np.uint8), other.descriptors]),
        np.ones(shared + clutter, np.float32),
        FRAME,
    )


def _empty() -> LocalFeatures:
    return _scene(0).first(0)


def _context(queries: Sequence[LocalFeatures], images: Sequence[LocalFeatures]) -> Context:
    nothing: Any = None
    vectors = np.zeros((len(queries), 2), np.float32)
    return Context(
        vectors, nothing, query_features=queries.__getitem__, image_features=partial(map, images.__getitem__)
    )


def _ranking(ids: Sequence[int], scores: Sequence[float] | None = None) -> Ranking:
    given = 1 - np.arange(len(ids)) / 100 if scores is None else np.array(scores)
    return Ranking(np.array([ids]), given[None].astype(np.float32))


def _literal_pairs(ours: Matrix, theirs: Matrix, ratio: float) -> list[tuple[int, int]]:
    """By the definition: each other's nearest, and nearer than `ratio` times the second in the candidate."""
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
    pairs = []
    for i in range(len(ours)):
        j = int(distances[i].argmin())
        second = np.delete(distances[i], j).min(initial=np.inf)
        if distances[:, j].argmin() == i and distances[i, j] < ratio * second:
            pairs.append((i, j))
    return pairs


class TestPairs:
    @pytest.mark.parametrize("ratio", [0.7, 0.85, 1.0])
    @pytest.mark.parametrize("shape", [(20, 30), (1, 5), (5, 1), (1, 1)])
    def test_equal_their_definition(self, ratio: float, shape: tuple[int, int]) -> None:
        random = np.random.default_rng(sum(shape))
        ours, theirs = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (
            random.random((shape[0], 4)), random.random((shape[1], 4))))  # fmt: skip
        found = pair_up((theirs @ ours.T).astype(np.float32), ratio=ratio)
        assert list(zip(*(part.tolist() for part in found), strict=True)) == _literal_pairs(ours, theirs, ratio)

    def test_of_equal_descriptors_none_is_paired(self) -> None:
        ours = np.eye(3, dtype=np.float32)
        theirs = np.stack([ours[0], ours[0], ours[1]])
        found = pair_up(theirs @ ours.T, ratio=0.85)
        assert [part.tolist() for part in found] == [[1], [2]]

    def test_no_pairs(self) -> None:
        assert [part.tolist() for part in pair_up(np.zeros((0, 4), np.float32), ratio=0.8)] == [[], []]


class TestMatch:
    @pytest.mark.parametrize("seed", range(3))
    def test_counts_the_points_that_agree(self, seed: int) -> None:
        scene = _scene(seed)
        found = match(scene, _view(scene))
        assert found is not None
        assert 38 <= found.inliers <= 40  # two points in one square of 4 pixels would count once

    def test_an_affine_view(self) -> None:
        scene = _scene(1)
        turned = np.array([(0.8, -0.3, 90), (0.4, 0.7, 10), (0, 0, 1)])
        found = match(scene, _view(scene, turned), model="affine")
        assert found is not None
        assert found.inliers >= 38

    def test_other_scenes_do_not_match(self) -> None:
        assert [match(_scene(seed), _scene(seed + 50), minimum=6) for seed in range(10)] == [None] * 10

    def test_alike_but_shuffled_does_not_match(self) -> None:
        scene = _scene(1)
        order = np.random.default_rng(0).permutation(len(scene))
        shuffled = LocalFeatures(scene.points[order], scene.descriptors, scene.scales, FRAME)
        assert match(scene, shuffled) is None

    @pytest.mark.parametrize(
        "matrix",
        [
            np.array([(-1.0, 0, 400), (0, 1, 0), (0, 0, 1)]),  # mirrored
            np.array([(0.02, 0, 100), (0, 0.02, 100), (0, 0, 1)]),  # all in one place
            np.array([(30.0, 0, 0), (0, 30, 0), (0, 0, 1)]),  # far too large
        ],
        ids=["mirror", "collapse", "blow up"],
    )
    def test_impossible_views_do_not_count(self, matrix: Matrix) -> None:
        scene = _scene(1)
        assert match(scene, _view(scene, matrix, clutter=0)) is None

    def test_points_at_one_place_count_once(self) -> None:
        scene = _scene(2, count=12)
        points = np.repeat(scene.points[:6], 2, axis=0)
        twice = LocalFeatures(points, scene.descriptors, scene.scales, FRAME)
        found = match(twice, twice, minimum=4)
        assert found is not None
        assert found.inliers == 6

    def test_the_size_of_an_image_does_not_matter(self) -> None:
        scene = _scene(3)
        view = _view(scene)
        plain, large = match(scene, view), match(scene.scaled(3, 3), view.scaled(10, 10))
        assert plain is not None
        assert large is not None
        assert large.inliers == pytest.approx(plain.inliers, abs=1)  # squares begin elsewhere
        np.testing.assert_allclose(large.box, 10 * np.array(plain.box), rtol=0.01)

    def test_the_box_is_where_the_query_lies_cut_at_the_border(self) -> None:
        scene = _scene(4)
        found = match(scene, _view(scene, SHIFTED))
        assert found is not None
        np.testing.assert_allclose(found.box, (50, 20, 400, 300), atol=1.5)

    def test_the_box_of_a_turned_query_is_that_of_the_part_inside(self) -> None:
        scene = _scene(4)
        found = match(scene, _view(scene))
        corners = _project(SEEN_FROM_ELSEWHERE, np.array([(0, 0), (400, 0), (400, 300), (0, 300)]))
        assert found is not None
        # One corner is cut off, above the image, so that the right edge of the quadrangle stays inside.
        left, right, bottom = corners[:, 0].min(), corners[:, 0].max(), corners[:, 1].max()
        np.testing.assert_allclose(found.box, (left, 0, right, bottom), atol=2.5)

    def test_a_crop_of_the_query_gives_the_box_of_the_crop(self) -> None:
        scene = _scene(5, count=200)
        inside = ((scene.points > (100, 50)) & (scene.points < (250, 200))).all(axis=1)
        crop = LocalFeatures(
            scene.points[inside], scene.descriptors[inside], scene.scales[inside], (100.0, 50.0, 250.0, 200.0)
        )
        found = match(crop, _view(scene, SHIFTED, shared=200))
        assert found is not None
        np.testing.assert_allclose(found.box, (150, 70, 300, 220), atol=2)

    def test_without_frames_points_are_all_that_is_known(self) -> None:
        scene, view = _scene(6), _view(_scene(6), SHIFTED)
        found = match(
            LocalFeatures(scene.points, scene.descriptors, scene.scales),
            LocalFeatures(view.points, view.descriptors, view.scales),
        )
        assert found is not None
        assert found.inliers >= 38


class TestVerify:
    def test_verified_come_first_by_inliers_the_others_keep_their_order(self) -> None:
        query = _scene(1)
        images = [_scene(100), _view(query, shared=15), _scene(101), _view(query, shared=40), _scene(102), query]
        found = verify(_ranking([0, 1, 2, 3, 4, 5]), _context([query], images), depth=5)
        assert found.ids.tolist() == [[3, 1, 0, 2, 4, 5]]
        assert found.scores[0, :2].tolist() == [39, 15] or found.scores[0, 0] >= 38
        np.testing.assert_allclose(found.scores[0, 2:], [1, 0.98, 0.96, 0.95])
        assert found.boxes is not None
        assert np.isnan(found.boxes[0]).all(axis=1).tolist() == [False, False, True, True, True, True]

    def test_ties_keep_their_order(self) -> None:
        query = _scene(1)
        found = verify(_ranking([2, 0, 1]), _context([query], [_view(query)] * 3))
        assert found.ids.tolist() == [[2, 0, 1]]
        assert len(set(found.scores[0].tolist())) == 1

    def test_scores_above_the_inliers_are_lowered(self) -> None:
        query = _scene(1)
        ranking = _ranking([0, 1, 2], [500, 400, 300])
        found = verify(ranking, _context([query], [_scene(9), _view(query), _scene(8)]))
        assert found.ids.tolist() == [[1, 0, 2]]
        inliers = found.scores[0, 0]
        assert found.scores.tolist() == [[inliers, inliers, inliers - 200]]

    def test_too_few_inliers_do_not_count(self) -> None:
        query = _scene(1)
        context = _context([query], [_scene(9), _view(query, shared=12)])
        assert verify(_ranking([0, 1]), context, minimum=11).ids.tolist() == [[1, 0]]
        assert verify(_ranking([0, 1]), context, minimum=13).ids.tolist() == [[0, 1]]

    def test_enough_stops_behind_the_first_that_has_them(self) -> None:
        query = _scene(1)
        images = [_view(query, shared=12), _view(query, shared=30), _view(query, shared=50)]
        context = _context([query], images)
        assert verify(_ranking([0, 1, 2]), context).ids.tolist() == [[2, 1, 0]]
        assert verify(_ranking([0, 1, 2]), context, enough=25).ids.tolist() == [[1, 0, 2]]

    def test_boxes_that_were_there_stay_with_their_results(self) -> None:
        query = _scene(1)
        boxes = np.array([[(1, 1, 2, 2), (3, 3, 4, 4)]], np.float32)
        ranking = Ranking(np.array([[0, 1]]), np.array([[0.9, 0.8]], np.float32), boxes)
        found = verify(ranking, _context([query], [_scene(9), _view(query, SHIFTED)]))
        assert found.ids.tolist() == [[1, 0]]
        assert found.boxes is not None
        np.testing.assert_allclose(found.boxes[0, 0], (50, 20, 400, 300), atol=1.5)
        assert found.boxes[0, 1].tolist() == [1, 1, 2, 2]

    def test_many_candidates_are_each_matched_as_if_alone(self) -> None:
        query = _scene(1)
        images = [_view(query, shared=shared, seed=shared) if shared % 3 else _empty() for shared in range(1, 40)]
        found = verify(_ranking(range(39)), _context([query], images))
        alone = {number: match(query, image) for number, image in enumerate(images)}
        expected = {number: each.inliers for number, each in alone.items() if each is not None}
        verified = int((found.scores[0] > 1).sum())
        got = dict(zip(found.ids[0, :verified].tolist(), found.scores[0, :verified].tolist(), strict=True))
        assert got == expected
        assert verified > 15

    def test_several_queries_padding_and_the_same_result_again(self) -> None:
        queries = [_scene(1), _empty(), _scene(2)]
        images = [_view(queries[0]), _scene(50), _view(queries[2])]
        ids = np.array([[1, 0, 2], [1, 0, -1], [0, 2, -1]])
        scores = np.where(ids < 0, -np.inf, [[0.9, 0.8, 0.7]]).astype(np.float32)
        first, second = (
            verify(Ranking(ids, scores), _context(queries, images), threads=threads, seed=4) for threads in (1, 3)
        )
        assert first.ids.tolist() == [[0, 1, 2], [1, 0, -1], [2, 0, -1]]
        np.testing.assert_array_equal(first.scores, second.scores)
        np.testing.assert_array_equal(first.boxes, second.boxes)

    def test_features_that_were_bytes_match_as_well(self) -> None:
        query = _scene(1)
        kept = from_bytes(to_bytes(_view(query)))
        plain = match(query, _view(query))
        assert plain is not None
        found = verify(_ranking([0]), _context([query], [kept]))
        assert found.scores[0, 0] == pytest.approx(plain.inliers, abs=1)

    def test_an_empty_ranking(self) -> None:
        empty = Ranking(np.zeros((1, 0), np.int64), np.zeros((1, 0), np.float32))
        assert verify(empty, _context([_scene(1)], [])).ids.shape == (1, 0)


class TestBadInput:
    @pytest.mark.parametrize(
        "options",
        [
            {"depth": 0},
            {"ratio": -0.5},
            {"ratio": 1e300},
            {"threshold": -1.0},
            {"threshold": 1e300},
            {"minimum": 0},
            {"enough": 0},
            {"seed": -1},
            {"threads": 0},
        ],
        ids=str,
    )
    def test_options_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=next(iter(options))):
            verify(_ranking([0]), _context([_scene(1)], [_scene(2)]), **options)

    def test_unknown_model(self) -> None:
        with pytest.raises(UsageError, match="unknown model 'fundamental'; known: homography, affine"):
            verify(_ranking([0]), _context([_scene(1)], [_scene(2)]), model="fundamental")  # type: ignore[arg-type]

    def test_images_without_local_features(self) -> None:
        nothing: Any = None
        with pytest.raises(UsageError, match="local features"):
            verify(_ranking([0]), Context(np.zeros((1, 2), np.float32), nothing))

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
    def test_descriptors_that_are_not_finite_or_too_long_agree_with_nothing(self, value: float) -> None:
        query = _scene(1)
        query = replace(query, descriptors=query.descriptors.astype(np.float32))
        candidate = _view(query)
        damaged = query.descriptors.copy()
        damaged[:10] = value
        found = match(replace(query, descriptors=damaged), candidate)
        assert found is not None
        assert found.inliers <= 30
        damaged[:] = value
        assert match(replace(query, descriptors=damaged), candidate) is None

    def test_descriptors_of_other_lengths(self) -> None:
        short = LocalFeatures(np.zeros((1, 2), np.float32), np.ones((1, 64), np.uint8), np.ones(1, np.float32))
        with pytest.raises(UsageError, match="64 and 128 components"):
            verify(_ranking([0]), _context([_scene(1)], [short]))


def test_the_ratio_is_that_of_the_features_unless_another_is_asked_for() -> None:
    random = np.random.default_rng(3)
    scene = _scene(1)
    signs = np.where(random.random((60, 128)) < 0.5, -1, 1).astype(np.float32)
    noisy = np.where(random.random((60, 128)) < 0.28, -signs, signs)  # 28 % of the bits are another
    seen = _project(SHIFTED, scene.points)
    query = replace(scene, descriptors=noisy, ratio=0.95)
    candidate = LocalFeatures(seen, signs, scene.scales, FRAME)
    own, strict, unknown = (
        match(query, candidate),
        match(query, candidate, ratio=0.7),
        match(replace(query, ratio=0.0), candidate),
    )
    assert own is not None
    assert own.inliers > 50
    assert strict is None
    assert unknown is None or unknown.inliers < own.inliers
    assert match(query, candidate, ratio=0.95) == own


def test_descriptors_of_one_bit_are_verified_from_their_bytes() -> None:
    random = np.random.default_rng(4)
    scene = _scene(2)
    rows = random.normal(size=(60, 128)).astype(np.float32)
    query = replace(scene, descriptors=rows, ratio=0.9)
    stored = to_bytes(LocalFeatures(_project(SHIFTED, scene.points), rows, scene.scales, FRAME), bits=1)
    assert len(stored) < 60 * 22 + 100
    found = match(query, from_bytes(stored))
    assert found is not None
    assert found.inliers > 55


def test_passes_are_compared_apart_and_the_best_counts() -> None:
    """A turned copy of the query's points has other descriptors, and would take pairs from the right ones."""
    scene = _scene(5)
    candidate = _view(scene)
    random = np.random.default_rng(6)
    near = np.clip(candidate.descriptors[:30].astype(int) + random.integers(-2, 3, (30, 128)), 0, 255).astype(np.uint8)
    strange = LocalFeatures(
        (random.random((30, 2)) * FRAME[2:]).astype(np.float32), near, np.ones(30, np.float32), FRAME
    )
    both = LocalFeatures(
        np.concatenate([strange.points, scene.points]),
        np.concatenate([strange.descriptors, scene.descriptors]),
        np.ones(90, np.float32),
        FRAME,
    )
    alone, apart, mixed = (
        match(scene, candidate),
        match(replace(both, passes=(30, 60)), candidate),
        match(both, candidate),
    )
    assert alone is not None
    assert apart is not None
    assert apart.inliers == alone.inliers
    assert mixed is None or mixed.inliers < alone.inliers / 2
    found = verify(_ranking([0]), _context([replace(both, passes=(30, 60))], [candidate]))
    assert found.scores[0, 0] == alone.inliers


def test_passes_are_as_many_points_as_there_are() -> None:
    with pytest.raises(UsageError, match="passes"):
        replace(_scene(1), passes=(30, 31))
    assert len(replace(_scene(1), passes=(20, 40)).first(30)) == 20


def test_support_counts_what_agrees_closely() -> None:
    scene = _scene(6)
    exact = match(scene, _view(scene, clutter=0))
    assert exact is not None
    assert exact.support == 1.5 * exact.inliers
    view = _view(scene, clutter=0)
    random = np.random.default_rng(0)
    angle = random.random(len(view)) * 2 * np.pi
    ring = np.stack((np.cos(angle), np.sin(angle)), axis=1) * 0.75 * 0.01 * 400  # beyond half of the tolerance
    loose = match(scene, replace(view, points=(view.points + ring).astype(np.float32)))
    assert loose is not None
    assert loose.inliers >= 0.8 * exact.inliers
    assert loose.support < 0.5 * exact.support
