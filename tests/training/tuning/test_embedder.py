"""The embedder: pixels in, unit vectors out; what is frozen stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kindred.arrays import l2_normalise
from kindred.errors import TrainingError, UsageError
from kindred.pooling import gem
from kindred.training.aggregation import GeM, NetVLAD, build_aggregation
from kindred.training.tuning.embedder import Embedder
from tiny_backbone import TinyBackbone, pictures


def _embedder(*, tap: str | None = None) -> Embedder:
    return Embedder(TinyBackbone(), GeM(6 if tap == "shallow" else 10), tap=tap)


def _pixels(count: int = 3, seed: int = 0) -> Tensor:
    return torch.from_numpy(pictures(count, 32, 48, seed=seed))


def _trained(embedder: Embedder) -> set[str]:
    return {name.removeprefix("backbone.") for name, each in embedder.named_parameters() if each.requires_grad}


def test_pixels_are_normalised_and_their_map_aggregated() -> None:
    embedder, pixels = _embedder().eval(), _pixels()
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    image = torch.from_numpy(((pixels.numpy() - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = l2_normalise(gem(embedder.backbone(image)["deep"].numpy()))
        found = embedder(pixels)
    assert (found.shape, found.dtype, embedder.dimension) == ((3, 10), torch.float32, 10)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_images_and_weights_are_laid_out_channels_last() -> None:
    embedder = _embedder()
    seen: list[Tensor] = []
    embedder.backbone.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    maps = embedder.maps(_pixels())
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    weights = [each for each in embedder.backbone.parameters() if each.ndim == 4]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in weights)


def test_autocast_changes_little_and_ends_in_single_precision() -> None:
    embedder = _embedder().eval()
    with torch.no_grad():
        exact = embedder(_pixels())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = embedder(_pixels())
    assert found.dtype == torch.float32
    assert ((found * exact).sum(dim=1) > 0.999).all()


def test_the_backbone_ends_at_the_tap() -> None:
    embedder = _embedder(tap="shallow")
    assert [tap.name for tap in embedder.backbone.taps] == ["shallow"]
    assert _trained(embedder) == {"first.0.weight", "first.1.weight", "first.1.bias", "aggregation.exponent.free"}
    assert embedder(_pixels()).shape == (3, 6)
    with pytest.raises(TrainingError, match="unknown tap 'depe'; did you mean 'deep'"):
        _embedder(tap="depe")
    with pytest.raises(UsageError, match="tap deep has 10 channels; the aggregation takes 6"):
        Embedder(TinyBackbone(), GeM(6))


def test_freezing_is_up_to_a_tap_or_a_part() -> None:
    embedder = _embedder()
    everything = _trained(embedder)
    norm = {"second.norm.weight", "second.norm.bias"}
    first = {"first.0.weight", "first.1.weight", "first.1.bias"}
    for until, frozen in [
        ("shallow", first),
        ("first", first),
        ("first.0", {"first.0.weight"}),
        ("second.conv", first | {"second.conv.weight"}),
        ("second", first | {"second.conv.weight"} | norm),
        ("deep", first | {"second.conv.weight"} | norm),
    ]:
        embedder.freeze(until)
        assert everything - _trained(embedder) == frozen, until
    embedder.freeze(None)
    assert _trained(embedder) == everything
    with pytest.raises(UsageError, match="unknown tap or submodule 'sahllow'; did you mean 'shallow'"):
        embedder.freeze("sahllow")
    assert _trained(embedder) == everything


def test_what_is_frozen_does_not_change() -> None:
    embedder = _embedder().train()
    embedder.freeze("shallow")
    before = {name: each.clone() for name, each in embedder.state_dict().items()}
    optimiser = torch.optim.SGD(embedder.parameters(), lr=0.1, weight_decay=0.1)
    embedder(_pixels()).sin().sum().backward()
    optimiser.step()
    changed = {name for name, each in embedder.state_dict().items() if not torch.equal(each, before[name])}
    assert {name for name in changed if "first" in name} == set()
    assert {"backbone.second.conv.weight", "backbone.second.norm.running_mean", "aggregation.exponent.free"} <= changed
    # Looking for what to freeze must not have changed statistics either, nor left anything in evaluation.
    assert embedder.backbone.get_submodule("second.norm").training
    assert not embedder.backbone.get_submodule("first.1").training


def test_frozen_norms_stay_frozen_in_training() -> None:
    embedder = _embedder()
    embedder.freeze_norms()
    norms = [each for each in embedder.modules() if isinstance(each, nn.BatchNorm2d)]
    before = [each.running_mean.clone() for each in norms if each.running_mean is not None]
    assert embedder.train() is embedder
    assert embedder.training
    assert not any(each.training for each in norms)
    embedder(_pixels()).sum().backward()
    for norm, mean in zip(norms, before, strict=True):
        assert norm.running_mean is not None
        torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0)
        assert norm.weight.grad is not None
    embedder.freeze("shallow")
    embedder.freeze(None)
    assert not any(each.training for each in norms)


def test_the_start_is_learned_as_describing_sees_it() -> None:
    embedder = Embedder(TinyBackbone(), build_aggregation("gem", 10, dimension=4)).train()
    statistics = {name: each.clone() for name, each in embedder.backbone.state_dict().items()}
    batches = [_pixels(4, seed=at) for at in range(5)]
    embedder.initialise(batches)
    assert embedder.training
    for name, each in embedder.backbone.state_dict().items():
        torch.testing.assert_close(each, statistics[name], rtol=0, atol=0)
    embedder.eval()
    other = build_aggregation("gem", 10, dimension=4)
    with torch.no_grad():
        other.initialise([embedder.maps(each) for each in batches])
        torch.testing.assert_close(embedder(batches[0]), other(embedder.maps(batches[0])))


def test_clusters_and_whitening_need_images_twice() -> None:
    batches = [_pixels(4, seed=at) for at in range(5)]
    embedder = Embedder(TinyBackbone(), NetVLAD(10, words=2, dimension=3))
    embedder.initialise(batches)
    with pytest.raises(UsageError, match="exhausted by the clustering"):
        embedder.initialise(iter(batches))


@pytest.mark.parametrize("pixels", [torch.zeros(1, 32, 32, 3), torch.zeros(1, 3, 32, 32, dtype=torch.uint8)])
def test_only_pixels_are_taken(pixels: Tensor) -> None:
    with pytest.raises(UsageError, match=r"pixels: got torch\.(float32|uint8) .*expected uint8 \(B, H, W, 3\)"):
        _embedder()(pixels)


def test_its_state_is_what_was_learned() -> None:
    names = set(_embedder().state_dict())
    assert {"backbone.first.0.weight", "aggregation.exponent.free"} <= names
    assert not names & {"mean", "std"}
