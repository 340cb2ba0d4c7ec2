from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.backbones.card import Card, DetectorHead, Tap, digest_of
from kindred.backbones.detector import Detector, load_detector
from kindred.backbones.zoo import add_model, load_card
from kindred.errors import ModelError, UsageError

# y0 x0 y1 x1, shares of the image. The third is the first once more, nearly; the last lies outside.
BOXES = [(0.1, 0.2, 0.5, 0.6), (0.5, 0.5, 1.2, 1.1), (0.1, 0.2, 0.5, 0.61), (0.4, -0.1, 0.9, 0.3), (1.1, 0, 1.2, 1)]
# Two classes each; the second column is added to the mean of the red channel, which is 0 where red is 127.5.
SCORES = [(0.7, 0.1), (0.2, 0.6), (0.5, 0.0), (0.1, 0.3), (0.9, 0.9)]
HEAD = DetectorHead(boxes="boxes", scores="scores", form="yxyx", units="relative")


@pytest.fixture
def graph(save_graph: Callable[..., Path]) -> Callable[..., tuple[Card, Path]]:
    """Return a function that writes a detector: it returns BOXES for every image, with scores that grow with red."""
    node = pytest.importorskip("onnx").helper.make_node

    def make(
        *,
        boxes: Any = BOXES,
        scores: Any = SCORES,
        size: tuple[int, int] | None = (30, 40),
        head: DetectorHead | None = HEAD,
    ) -> tuple[Card, Path]:
        count, classes = np.shape(scores)
        redness = np.zeros((count, classes, 3), np.float32)
        redness[:, -1, 0] = 0.1
        weights = {
            "zero": np.zeros((np.size(boxes), 3, 1, 1), np.float32),
            "where": np.array(boxes, np.float32).reshape(-1),
            "red": redness.reshape(-1, 3, 1, 1),
            "sure": np.array(scores, np.float32).reshape(-1),
            "as_boxes": np.array([-1, count, np.shape(boxes)[1]]),
            "as_scores": np.array([-1, count, classes]),
        }
        nodes = [
            node("AveragePool", ["image"], ["map"], kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", ["image"], ["mean"]),
            node("Conv", ["mean", "zero", "where"], ["all_boxes"], kernel_shape=[1, 1]),
            node("Reshape", ["all_boxes", "as_boxes"], ["boxes"]),
            node("Conv", ["mean", "red", "sure"], ["all_scores"], kernel_shape=[1, 1]),
            node("Reshape", ["all_scores", "as_scores"], ["scores"]),
        ]
        height, width = size or ("height", "width")
        path = save_graph(nodes, weights, ["map", "boxes", "scores"], shape=("batch", 3, height, width))
        card = Card(
            name="finder",
            file=path.name,
            digest=digest_of(path),
            mean=(127.5,) * 3,
            std=(127.5,) * 3,
            input_name="image",
            input_size=size,
            default_tap="map",
            taps=(Tap(name="map", tensor="map", channels=3, stride=2),),
            detector=head,
        )
        return card, path

    return make


def grey(*size: int) -> NDArray[np.uint8]:
    return np.full((*size, 3), 128, np.uint8)  # 0.004 on the network's scale


def test_boxes_in_the_pixels_of_the_image(graph: Callable[..., tuple[Card, Path]]) -> None:
    (found,) = Detector(*graph(), precision="f32").propose(grey(1, 100, 200))
    boxes, scores = found
    assert boxes.dtype == scores.dtype == np.float32
    # Clipped; without the near copy and the one outside; best first.
    expected = [(40, 10, 120, 50), (100, 50, 200, 100), (0, 40, 60, 90)]
    np.testing.assert_allclose(boxes, expected, rtol=1e-5)
    np.testing.assert_allclose(scores, [0.7, 0.6, 0.3], atol=2e-3)


@pytest.mark.parametrize("size", [(30, 40), None])
def test_form_and_units(graph: Callable[..., tuple[Card, Path]], size: tuple[int, int] | None) -> None:
    image = grey(1, 100, 200)
    (relative,) = Detector(*graph(size=size), precision="f32").propose(image)
    height, width = size or (100, 200)
    pixels = [(x0 * width, y0 * height, x1 * width, y1 * height) for y0, x0, y1, x1 in BOXES]
    head = replace(HEAD, form="xyxy", units="pixels")
    (turned,) = Detector(*graph(size=size, boxes=pixels, head=head), precision="f32").propose(image)
    for ours, expected in zip(turned, relative, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_images_of_a_batch_are_independent(graph: Callable[..., tuple[Card, Path]]) -> None:
    detector = Detector(*graph(), precision="f32")
    images = grey(2, 100, 200)
    images[1, :, :, 0] = 255
    images[0, :, :, 2] = 255  # blue, which says nothing
    plain, red = detector.propose(images)
    np.testing.assert_allclose(plain[1], [0.7, 0.6, 0.3], atol=2e-3)
    np.testing.assert_allclose(red[1], [0.7, 0.7, 0.4], atol=2e-3)
    for batch, alone in zip((plain, red), (images[:1], images[1:]), strict=True):
        np.testing.assert_allclose(detector.propose(alone)[0][0], batch[0], rtol=1e-5)


def test_the_image_is_stretched_to_the_input_size(graph: Callable[..., tuple[Card, Path]]) -> None:
    image = grey(1, 100, 200)
    image[:, :, :100, 0] = 255  # half of it red, half of it not at all: the mean is that of the whole
    image[:, :, 100:, 0] = 0
    ((_, scores),) = Detector(*graph(), precision="f32").propose(image)
    np.testing.assert_allclose(scores, [0.7, 0.6, 0.3], atol=2e-3)


def test_options_count_and_smallest(graph: Callable[..., tuple[Card, Path]]) -> None:
    detector = Detector(*graph(), precision="f32")
    ((boxes, scores),) = detector.propose(grey(1, 100, 200), count=1)
    assert (boxes.shape, scores.shape) == ((1, 4), (1,))
    ((boxes, _),) = detector.propose(grey(1, 100, 200), smallest=0.2)  # the areas are 0.16, 0.25 and 0.15
    np.testing.assert_allclose(boxes, [(100, 50, 200, 100)], rtol=1e-5)
    ((boxes, scores),) = detector.propose(grey(1, 100, 200), smallest=0.9)
    assert (boxes.shape, scores.shape) == ((0, 4), (0,))
    ((boxes, _),) = detector.propose(grey(1, 1, 1))
    assert len(boxes) >= 1
    assert boxes.max() <= 1


def test_the_background_class_is_ignored(graph: Callable[..., tuple[Card, Path]]) -> None:
    head = replace(HEAD, background=0)
    ((_, scores),) = Detector(*graph(head=head), precision="f32").propose(grey(1, 100, 200))
    np.testing.assert_allclose(scores, [0.6, 0.3, 0.1], atol=2e-3)
    with pytest.raises(ModelError, match="column 2 of the scores is the background, but they have 2"):
        Detector(*graph(head=replace(HEAD, background=2))).propose(grey(1, 100, 200))


def test_a_card_without_a_detector(graph: Callable[..., tuple[Card, Path]]) -> None:
    with pytest.raises(ModelError, match=r"model finder is not a detector: its card has no table \[detector\]"):
        Detector(*graph(head=None))


def test_outputs_that_differ_from_the_card_are_refused(graph: Callable[..., tuple[Card, Path]]) -> None:
    with pytest.raises(ModelError, match=r"boxes \(1, 5, 2\) and scores \(1, 5, 2\) for 1 images; its card declares"):
        Detector(*graph(head=replace(HEAD, boxes="scores"))).propose(grey(1, 100, 200))
    with pytest.raises(ModelError, match="the graph has no tensor 'bokses'"):
        Detector(*graph(head=replace(HEAD, boxes="bokses")))


def test_an_invalid_batch_is_refused(graph: Callable[..., tuple[Card, Path]]) -> None:
    detector = Detector(*graph())
    with pytest.raises(UsageError, match=r"expected uint8 \(B, H, W, 3\)"):
        detector.propose(grey(100, 200))
    with pytest.raises(UsageError, match="count is 0; expected at least 1"):
        detector.propose(grey(1, 100, 200), count=0)


def test_add_and_load_by_name(graph: Callable[..., tuple[Card, Path]]) -> None:
    card, path = graph()
    card.save(path.with_suffix(".toml"))
    assert add_model(path).detector == HEAD
    (by_name,) = load_detector("finder", precision="f32").propose(grey(1, 100, 200))
    (by_file,) = load_detector(path, precision="f32").propose(grey(1, 100, 200))
    assert np.array_equal(by_name[0], by_file[0])
    with pytest.raises(ModelError, match="unknown model 'findr'; did you mean 'finder'"):
        load_detector("findr")


def test_a_detector_that_differs_from_its_card_is_not_added(graph: Callable[..., tuple[Card, Path]]) -> None:
    card, path = graph(head=replace(HEAD, boxes="scores"))
    card.save(path.with_suffix(".toml"))
    with pytest.raises(ModelError, match="its card declares"):
        add_model(path)
    with pytest.raises(ModelError, match="unknown model 'finder'"):
        load_card("finder")


def test_a_real_detector(shared: Path) -> None:
    from kindred.images import decode

    path = next((shared / "data" / "photos").rglob("dalmatian_0003.jpg"))
    image = decode(path.read_bytes(), longest=640).pixels
    detector = load_detector(shared / "weights" / "ssd_mobilenet_v1_coco.onnx", precision="f32")
    ((boxes, scores),) = detector.propose(image[None], count=10)
    height, width = image.shape[:2]
    assert boxes.shape == (10, 4)
    assert scores[0] > 0.6
    # The dog: it sits left of the middle and fills the height.
    np.testing.assert_allclose(boxes[0] / [width, height, width, height], [0.02, 0.06, 0.7, 0.98], atol=0.06)
    (mirrored,) = detector.propose(np.ascontiguousarray(image[None, :, ::-1]), count=1)
    np.testing.assert_allclose(width - mirrored[0][0, [2, 0]], boxes[0, [0, 2]], atol=0.06 * width)
