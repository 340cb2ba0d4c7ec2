"""Learned matching: keypoints are paired by the graph that a card names, and by what it returns, if that is pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("onnx")

from kindred.backbones import Card, load_card
from kindred.errors import ModelError, UsageError
from kindred.features import (
    LearnedMatcher,
    LocalFeatures,
    LocalNetwork,
    find_matcher,
    from_bytes,
    identity_of,
    matcher_identity_of,
    to_bytes,
)
from kindred.features.network import joined, turned_back
from kindred.rerank.verification import match
from tiny_local import DIMENSION, make_local_model, make_local_pair
from tiny_matcher import Form, make_answer, make_matcher, set_matcher
from tiny_model import home, make_model

FORMS: tuple[Form, ...] = ("pairs", "list", "together")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path) -> Iterator[None]:
    with home(tmp_path / "home"):
        yield


def matcher_of(model: Path) -> LearnedMatcher:
    return LearnedMatcher(*load_card(model))


def with_matcher(folder: Path, **options: Any) -> LearnedMatcher:
    threshold = options.pop("threshold", 0.0)
    model = make_local_model(folder)
    return matcher_of(set_matcher(model, make_matcher(folder / "matcher.onnx", **options), threshold=threshold))


def answering(folder: Path, matches: Any, scores: Any, **options: Any) -> LearnedMatcher:
    answer = make_answer(folder / "matcher.onnx", np.asarray(matches), np.asarray(scores, np.float32), **options)
    return matcher_of(set_matcher(make_local_model(folder), answer))


def features(seed: int, count: int, *, frame: tuple[float, float, float, float] = (0, 0, 200, 100)) -> LocalFeatures:
    random = np.random.default_rng(seed)
    points = random.uniform(frame[:2], frame[2:], (count, 2)).astype(np.float32)
    descriptors = random.normal(0, 1, (count, DIMENSION)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return LocalFeatures(points, descriptors, np.ones(count, np.float32), frame)


def literal_pairs(ours: LocalFeatures, theirs: LocalFeatures) -> list[tuple[int, int, float]]:
    """By the definition: the mutual maxima of the product of a softmax over either image, and their scores."""
    logits = 20 * ours.descriptors.astype(np.float64) @ theirs.descriptors.astype(np.float64).T
    powers = np.exp(logits)
    scores = powers / powers.sum(axis=1, keepdims=True) * powers / powers.sum(axis=0, keepdims=True)
    best = [(i, int(row.argmax())) for i, row in enumerate(scores)]
    return [(i, j, scores[i, j]) for i, j in best if scores[:, j].argmax() == i]


def texture(number: int) -> NDArray[np.uint8]:
    tiles = np.random.default_rng(number).integers(0, 256, (16, 20, 3), np.uint8)
    return np.asarray(Image.fromarray(tiles).resize((160, 128), Image.Resampling.BICUBIC))


def listed(pairs: tuple[Any, Any]) -> list[tuple[int, int]]:
    return list(zip(*(side.tolist() for side in pairs), strict=True))


@pytest.mark.parametrize("form", FORMS)
def test_pairs_are_what_the_graph_defines(tmp_path: Path, form: Form) -> None:
    matcher = with_matcher(tmp_path, form=form)
    ours, theirs = features(1, 40), features(2, 40)
    pairs = listed(matcher(ours, theirs))
    assert pairs == [(i, j) for i, j, _ in literal_pairs(ours, theirs)]
    assert len(pairs) > 10


def test_a_graph_for_as_many_keypoints_takes_the_strongest_of_the_image_with_more(tmp_path: Path) -> None:
    matcher = with_matcher(tmp_path, form="together")
    ours, theirs = features(1, 60), features(2, 25)
    strongest = LocalFeatures(ours.points[:25], ours.descriptors[:25], ours.scales[:25], ours.frame)
    assert listed(matcher(ours, theirs)) == [(i, j) for i, j, _ in literal_pairs(strongest, theirs)]


def test_pairs_below_the_threshold_of_the_card_are_dropped(tmp_path: Path) -> None:
    matcher = with_matcher(tmp_path, threshold=0.3)
    ours, theirs = features(1, 40), features(2, 40)
    every = literal_pairs(ours, theirs)
    good = [(i, j) for i, j, score in every if score >= 0.3]
    assert 0 < len(good) < len(every)
    assert listed(matcher(ours, theirs)) == good


@pytest.mark.parametrize("form", FORMS)
def test_no_keypoints_have_no_pairs(tmp_path: Path, form: Form) -> None:
    matcher = with_matcher(tmp_path, form=form)
    some = features(1, 5)
    assert listed(matcher(some, some.first(0))) == listed(matcher(some.first(0), some)) == []
    assert listed(matcher(some.first(1), some.first(1))) == [(0, 0)]
    none = with_matcher(tmp_path / "none", form=form, least=2.0)
    assert listed(none(some, some)) == []


@pytest.mark.parametrize("form", FORMS)
def test_positions_are_relative_to_centre_and_longer_side(tmp_path: Path, form: Form) -> None:
    """All descriptors are equal, so that only positions tell points apart: by any size and corner of the image."""
    matcher = with_matcher(tmp_path, form=form, by_position=True)
    grid = np.stack(np.meshgrid(np.arange(5), np.arange(3)), axis=-1).reshape(-1, 2)
    points = ((grid + 0.5) * 40).astype(np.float32)  # of an image of 200 × 120 pixels
    alike = np.ones((15, DIMENSION), np.float32)
    small = LocalFeatures(points, alike, np.ones(15, np.float32), (0, 0, 200, 120))
    order = np.random.default_rng(0).permutation(15)
    large = LocalFeatures(points[order], alike, np.ones(15, np.float32), small.frame).scaled(7.5, 7.5).moved(-30, 900)
    paired = [(i, int(np.flatnonzero(order == i)[0])) for i in range(15)]
    assert listed(matcher(small, large)) == paired
    assert listed(matcher(*(dataclasses.replace(each, frame=None) for each in (small, large)))) == paired
    assert listed(matcher(small, small.scaled(0.5, 2.0))) != [(i, i) for i in range(15)]


def test_positions_of_a_turned_pass_are_those_in_the_turned_image(tmp_path: Path) -> None:
    matcher = with_matcher(tmp_path, by_position=True)
    points = np.array([(10, 20), (150, 40), (90, 100), (180, 110)], np.float32)  # of an image of 200 × 120 pixels
    alike = np.ones((4, DIMENSION), np.float32)
    upright = LocalFeatures(points, alike, np.ones(4, np.float32), (0, 0, 200, 120))
    for quarter in range(4):
        turned = upright
        for _ in range(quarter):  # one turn counter-clockwise: x y of a w × h image go to y, w − x
            _, _, width, height = turned.frame or (0, 0, 0, 0)
            moved = np.stack((turned.points[:, 1], width - turned.points[:, 0]), axis=1)
            turned = LocalFeatures(moved, alike, turned.scales, (0, 0, height, width))
        back = turned_back(turned, quarter)
        np.testing.assert_allclose(back.points, points, atol=1e-4)
        assert back.frame == upright.frame
        assert listed(matcher(back, turned)) == [(i, i) for i in range(4)]
        both = joined([upright, back])
        assert [each.turns for each in both.by_pass] == [(), (quarter,) if quarter else ()]
        assert [each.points.tolist() for each in both.by_pass] == [upright.points.tolist(), back.points.tolist()]
        assert both.looks[1].turns == ((quarter,) if quarter else ())
        assert both.first(2).turns in ((), (0,))


def test_two_views_of_an_image_are_paired_by_their_points(tmp_path: Path) -> None:
    model = make_local_model(tmp_path)
    matcher = matcher_of(set_matcher(model, make_matcher(tmp_path / "matcher.onnx")))
    network = LocalNetwork(model)
    image = texture(2)
    whole = network.find(image, count=150, longest=160)
    part = network.find(np.ascontiguousarray(image[16:, 32:]), count=150, longest=160)
    ours, theirs = matcher(part, from_bytes(to_bytes(whole)))  # as it is stored, 8 bits a component
    apart = np.abs(part.points[ours] + (32, 16) - whole.points[theirs]).max(axis=1)
    assert (apart < 0.1).sum() > 20
    learned, plain = match(part, whole, matcher=matcher), match(part, whole)
    assert learned is not None
    assert plain is not None
    assert learned.inliers > 20
    np.testing.assert_allclose(learned.box, (32, 16, 160, 128), atol=2)
    other = network.find(texture(7), count=150, longest=160)
    wrong = match(part, other, matcher=matcher)
    assert wrong is None or wrong.inliers < learned.inliers / 2


def test_passes_are_paired_apart(tmp_path: Path) -> None:
    matcher = with_matcher(tmp_path)
    one, other = features(1, 30), features(5, 30)
    found = match(joined([other, one]), one, matcher=matcher)
    assert found is not None
    assert found.inliers >= 28


PAIR = ([[0, 1], [1, 0]], [0.9, 0.8])


class TestWhatAGraphReturns:
    """Each answer is for three keypoints of a query and four of a candidate."""

    @pytest.mark.parametrize(
        ("matches", "scores", "said"),
        [
            ([[0, 4]], [0.9], "keypoints 0 to 4"),
            ([[3, 0]], [0.9], "keypoints 0 to 3"),
            ([[-1, 0]], [0.9], "keypoints -1 to 0"),
            ([[2**62, 0]], [0.9], "keypoints 0 to"),
            ([[0, 1]], [float("nan")], "not finite"),
            ([[0, 1]], [float("inf")], "not finite"),
            ([[0, 1], [0, 2]], [0.9, 0.8], "share a keypoint"),
            ([[0, 1], [2, 1]], [0.9, 0.8], "share a keypoint"),
            ([[0, 0]] * 4, [0.9] * 4, "returned 4 pairs"),
            ([[0, 1, 2]], [0.9], r"matches \(1, 3\) of int64"),
            ([[0, 1]], [0.9, 0.8], r"scores \(2,\)"),
            ([[[0, 1]]], [0.9], r"matches \(1, 1, 2\)"),
            ([0, 1], [0.9, 0.8], r"matches \(2,\)"),
            (7, 0.9, r"matches \(\)"),
            (np.array([[0, 1]], np.float32), [0.9], "of float32"),
            ([[0, 1, 4]], [[0.9, 0.9, 0.9]], "keypoints 0 to 4"),
            ([[0, -2, 1]], [[0.9, 0.9, 0.9]], "keypoints -2 to"),
            ([[1, 1, -1]], [[0.9, 0.9, 0.0]], "share a keypoint"),
            ([[1, 0, -1]], [[0.9, float("nan"), 0.0]], "not finite"),
            ([[1, 0]], [[0.9, 0.8]], r"scores \(1, 2\)"),
        ],
    )
    def test_that_is_no_pairs_is_refused(self, tmp_path: Path, matches: Any, scores: Any, said: str) -> None:
        matcher = answering(tmp_path, matches, scores)
        with pytest.raises(ModelError, match=said) as caught:
            matcher(features(1, 3), features(2, 4))
        assert "matcher.onnx: the matcher returned" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_that_is_pairs_is_taken(self, tmp_path: Path) -> None:
        assert listed(answering(tmp_path, *PAIR)(features(1, 3), features(2, 4))) == [(0, 1), (1, 0)]
        named = answering(tmp_path / "list", [[3, -1, 0]], [[0.9, 0.0, 0.5]])
        assert listed(named(features(1, 3), features(2, 4))) == [(0, 3), (2, 0)]

    def test_of_another_pair_of_images_is_refused(self, tmp_path: Path) -> None:
        inputs = [("keypoints", (2, "N", 2)), ("descriptors", (2, "N", DIMENSION))]
        matcher = answering(tmp_path, [[1, 0, 0]], [0.9], names=("matches", "mscores"), inputs=inputs)
        with pytest.raises(ModelError, match="other images than the first two"):
            matcher(features(1, 3), features(2, 4))


def with_inputs(**shapes: Any) -> list[tuple[str, Any]]:
    usual = {"kpts0": (1, "N", 2), "kpts1": (1, "M", 2), "desc0": (1, "N", DIMENSION), "desc1": (1, "M", DIMENSION)}
    return [(name, shape) for name, shape in {**usual, **shapes}.items() if shape is not None]


class TestTheGraph:
    @pytest.mark.parametrize(
        ("inputs", "said"),
        [
            (with_inputs(kpts0=(1, 512, 2)), "kpts0 takes exactly 512 keypoints"),
            (with_inputs(desc1=(1, 512, DIMENSION)), "desc1 takes exactly 512 keypoints"),
            (with_inputs(kpts1=(1, "M", 4)), "kpts1 takes scale and orientation"),
            (with_inputs(kpts1=(1, "M", 3)), "kpts1 has 3 numbers for a keypoint; expected 2"),
            (with_inputs(desc0=(1, "N", 256)), f"desc0 has 256 numbers for a keypoint; expected {DIMENSION}"),
            (with_inputs(desc0=(2, "N", DIMENSION)), r"desc0 is \(2, any, 24\); expected \(1, any, 24\)"),
            (with_inputs(desc0=("N", DIMENSION)), r"desc0 is \(any, 24\)"),
            (with_inputs(image=(1, 3, "H", "W")), "takes image; expected kpts0, kpts1, desc0, desc1 alone"),
            (
                [("keypoints", (2, "N", 2)), ("descriptors", (2, "N", DIMENSION))],
                "takes descriptors, keypoints; expected",
            ),
        ],
    )
    def test_of_other_inputs_is_refused(self, tmp_path: Path, inputs: Any, said: str) -> None:
        matcher = answering(tmp_path, *PAIR, inputs=inputs)
        with pytest.raises(ModelError, match=said) as caught:
            matcher(features(1, 3), features(2, 4))
        assert "\n" not in str(caught.value)

    def test_of_other_outputs_is_refused(self, tmp_path: Path) -> None:
        matcher = answering(tmp_path, *PAIR, names=("matches0", "scores"))
        with pytest.raises(
            ModelError, match="returns matches0, pairs, scores; expected matches0 and mscores0, or matches and"
        ):
            matcher(features(1, 3), features(2, 4))

    def test_that_is_missing_or_another_is_refused(self, tmp_path: Path) -> None:
        matcher = with_matcher(tmp_path)
        file = tmp_path / "matcher.onnx"
        content = file.read_bytes()
        file.write_bytes(make_model(tmp_path / "other").read_bytes())
        for use in (matcher.check, matcher.load):
            with pytest.raises(ModelError, match=r"matcher\.onnx is not the graph 'matcher\.onnx' that its card"):
                use()
        file.unlink()
        for use in (matcher.check, matcher.load):
            with pytest.raises(ModelError, match=r"matcher\.onnx: the model cannot be read: no such file"):
                use()
        file.write_bytes(content)
        matcher.check()
        assert listed(matcher(features(1, 3), features(1, 3))) == [(0, 0), (1, 1), (2, 2)]

    def test_that_is_no_graph_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "matcher.onnx"
        file.write_bytes(b"no graph at all")
        matcher = matcher_of(set_matcher(make_local_model(tmp_path), file))
        with pytest.raises(ModelError, match="not a valid ONNX model in a single file"):
            matcher(features(1, 3), features(2, 4))

    def test_of_other_descriptors_is_refused_where_the_graph_does_not_say(self, tmp_path: Path) -> None:
        matcher = with_matcher(tmp_path)
        short = dataclasses.replace(features(1, 3), descriptors=np.ones((3, 8), np.float32))
        with pytest.raises(ModelError, match="got descriptors of 8 components; its card declares 24"):
            matcher(features(1, 3), short)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matcher": "../elsewhere.onnx"}, "local.matcher is ../elsewhere.onnx"),
        ({"matcher": "/elsewhere.onnx"}, "local.matcher"),
        ({"matcher": "a\\b.onnx"}, "local.matcher"),
        ({"matcher": "matcher.pkl"}, "local.matcher"),
        ({"matcher_digest": "0"}, "local.matcher_digest"),
        ({"matcher_digest": ""}, "local.matcher_digest"),
        ({"matcher": ""}, "local.matcher is missing"),
        ({"matcher_threshold": 1.5}, "local.matcher_threshold"),
        ({"matcher_threshold": float("nan")}, "local.matcher_threshold"),
    ],
)
def test_an_invalid_card_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    model = set_matcher(make_local_pair(tmp_path), make_matcher(tmp_path / "matcher.onnx"), threshold=0.25)
    card = Card.load(model.with_suffix(".toml"))
    assert card.local is not None
    assert Card.from_toml(card.to_toml()) == card
    with pytest.raises(ModelError, match=said):
        dataclasses.replace(card, local=dataclasses.replace(card.local, **changes))  # type: ignore[arg-type]


def test_only_calibrations_depend_on_the_matcher(tmp_path: Path) -> None:
    model = make_local_model(tmp_path)
    name = str(model)
    before = identity_of(name)
    assert matcher_identity_of(name) == {}
    assert find_matcher(name) is None
    first = make_matcher(tmp_path / "first.onnx")
    set_matcher(model, first)
    assert identity_of(name) == before
    one = matcher_identity_of(name)
    assert isinstance(find_matcher(name), LearnedMatcher)
    set_matcher(model, make_matcher(tmp_path / "second.onnx", least=0.5))
    other = matcher_identity_of(name)
    set_matcher(model, first, threshold=0.5)
    assert len({str(each) for each in (one, other, matcher_identity_of(name))}) == 3
    for plain in ("", "sift", "conv", "kin"):
        assert matcher_identity_of(plain) == {}
        assert find_matcher(plain) is None


def test_a_model_without_a_matcher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no matcher"):
        matcher_of(make_local_model(tmp_path))
    with pytest.raises(ModelError, match="has no matcher"):
        matcher_of(make_model(tmp_path))


def test_turns_are_as_many_as_passes() -> None:
    with pytest.raises(UsageError, match="1 passes and 2 turns"):
        dataclasses.replace(features(1, 3), passes=(3,), turns=(0, 1))
