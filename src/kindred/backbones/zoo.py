"""Available models: bundled models, models that the user added, and files in any folder.

A model is NAME.onnx with its card NAME.toml beside it. `known/` holds cards of public networks, looked up by the digest
of the graph, so that these can be added without naming their preprocessing.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kindred._support.files import is_file, read_bounded, replacing
from kindred._support.os_errors import explain_os_error
from kindred.backbones.card import (
    MODEL_BYTES,
    Card,
    ChannelOrder,
    LocalHead,
    Tap,
    check_digest,
    check_graph,
    check_name,
    digest_of,
    further_graphs,
)
from kindred.backbones.folders import models_folder
from kindred.errors import ModelError, UsageError
from kindred.hints import nearest

__all__ = ["Entry", "add_model", "list_models", "load_card", "remove_model"]

BUNDLED = Path(__file__).with_name("models")
SUFFIXES = {"describe": ".describe.onnx", "matcher": ".matcher.onnx"}  # of the further graphs of a user's model
_KNOWN = Path(__file__).with_name("known")

# Image sizes (height, width) that a card is verified with: the map grows by their difference over its stride.
_SMALL, _LARGE = (128, 160), (384, 416)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of the list of models; `card` is None for an unusable model, and `problem` gives the reason."""

    name: str
    bundled: bool
    card: Card | None
    problem: str = ""


def list_models() -> tuple[Entry, ...]:
    """Return the bundled models, then the user's, each by name; a damaged one is listed with its problem."""
    entries = []
    for folder, bundled in _folders():
        for path in sorted(folder.glob("*.toml")):
            try:
                card, _ = _open_card(path)
            except ModelError as error:
                entries.append(Entry(name=path.stem, bundled=bundled, card=None, problem=str(error)))
            else:
                entries.append(Entry(name=path.stem, bundled=bundled, card=card))
    return tuple(entries)


def load_card(name_or_path: str | Path) -> tuple[Card, Path]:
    """Return the card and the `.onnx` file of a model.

    A name is looked up among the bundled models and then the user's; a path, or a string that ends in .onnx or .toml or
    contains a folder, is a file. A public network that Kindred knows by its digest needs no card. Raise ModelError if
    there is no such model, or its card is damaged; the graph itself is checked when it is loaded.
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, Path) or path.suffix in (".onnx", ".toml") or path.name != str(name_or_path):
        return _from_file(path.expanduser())
    for folder, _ in _folders():
        if is_file(folder / f"{path}.toml"):
            return _open_card(folder / f"{path}.toml")
    names = [entry.name for entry in list_models()]
    hint = nearest(str(path), names) if names else "no models are installed: `kindred models add FILE.onnx` adds one"
    raise ModelError(f"unknown model {str(path)!r}; {hint}")


def add_model(
    path: str | Path,
    *,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: ChannelOrder | None = None,
    licence: str = "",
    source: str = "",
    description: str = "",
    default_tap: str | None = None,
    any_size: bool = False,
    matcher: str | Path | None = None,
) -> Card:
    """Copy an `.onnx` file into the user's models, write its card, and return the card.

    The name of a network whose weights come in a pip package (`LITE`) stands for a file converted from them.
    Defaults come from a card beside the file, or from the known card of a public network; arguments override both. For
    any other network, the taps are found in the graph, and `mean` and `std` are required, in pixel units (0 to 255),
    red first. `channel_order` is RGB by default. `any_size` is for a file exported with one fixed image size whose
    network accepts others. `matcher` is an `.onnx` file that pairs the keypoints of a model with local features
    (`kindred.features.matcher`); it is copied, too. The card is verified by running the network. Raise ModelError if
    the file is not an image network in a single file, if the card does not match it, or if the name is already used.
    """
    from kindred.backbones.efficientnet_lite import LITE, lite_model

    path = Path(path).expanduser()
    if str(path) in LITE and not path.exists():
        with lite_model(str(path)) as converted:
            return add_model(
                converted,
                name=name,
                mean=mean,
                std=std,
                channel_order=channel_order,
                licence=licence,
                source=source,
                description=description,
                default_tap=default_tap,
                any_size=any_size,
                matcher=matcher,
            )
    base = _known_card(path)
    if base is None:
        base = _inspected_card(path, name or path.stem)
        if mean is None or std is None:
            raise ModelError(
                f"{path}: not a network known to Kindred: give mean and std, red first, in 0 to 255 units; "
                "usual: mean 123.675,116.28,103.53 and std 58.395,57.12,57.375 (ImageNet), or all 127.5"
            )
    further = {key: file for key, (file, _) in further_graphs(base, path).items()}
    if matcher is not None:
        further["matcher"] = Path(matcher).expanduser()
        base = _with_matcher(base, further["matcher"])
    name = _own_name(name or base.name)
    card = replace(
        base,
        name=name,
        file=f"{name}.onnx",
        mean=base.mean if mean is None else _triple("mean", mean),
        std=base.std if std is None else _triple("std", std),
        channel_order=channel_order or base.channel_order,
        licence=licence or base.licence,
        source=source or base.source,
        description=description or base.description,
        default_tap=default_tap or base.default_tap,
        input_size=None if any_size else base.input_size,
        local=_renamed(base.local, name),
    )
    folder = models_folder()
    for place, _ in _folders():
        if (place / f"{card.name}.toml").exists():
            raise ModelError(f"a model named {card.name} already exists: give another name, or remove it first")
    targets = further_graphs(card, folder / card.file)
    for key, (_, digest) in targets.items():
        check_graph(further[key], digest)
    _verify_taps(card, path)
    _verify_heads(card, path)
    if "matcher" in further:
        _verify_matcher(card, further["matcher"])
    for key, (target, digest) in targets.items():
        _copy(further[key], target, digest)
    _install(card, path, folder)
    return card


def remove_model(name: str) -> None:
    """Delete a model that the user added; raise ModelError if there is none, or if it is bundled."""
    check_name(name)
    card_path = models_folder() / f"{name}.toml"
    if not card_path.is_file():
        if (BUNDLED / f"{name}.toml").is_file():
            raise ModelError(f"model {name} is bundled with Kindred and cannot be removed")
        names = [entry.name for entry in list_models() if not entry.bundled]
        hint = nearest(name, names) if names else "you have not added any"
        raise ModelError(f"unknown model {name!r} among those you added; {hint}")
    try:
        card_path.unlink()  # first, as a model exists if and only if its card does
        card_path.with_suffix(".onnx").unlink(missing_ok=True)
        for suffix in SUFFIXES.values():
            card_path.with_suffix(suffix).unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{card_path}: the model cannot be removed: {explain_os_error(error)}") from None


def _folders() -> list[tuple[Path, bool]]:
    try:
        return [(BUNDLED, True), (models_folder(), False)]
    except ModelError:  # no home folder: only the bundled models are available
        return [(BUNDLED, True)]


def _open_card(path: Path) -> tuple[Card, Path]:
    """Read a card and find its graph in the same folder."""
    card = Card.load(path)
    graph = path.with_name(card.file)
    if not graph.is_file():
        raise ModelError(f"{path}: its graph {card.file} is missing; restore it, or remove the model and add it again")
    return card, graph


def _from_file(path: Path) -> tuple[Card, Path]:
    if path.suffix == ".toml":
        return _open_card(path)
    if path.suffix != ".onnx":
        raise ModelError(f"{path}: expected an .onnx file, or the .toml card of one")
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return Card.load(beside), path
    known = _known().get(digest_of(path))
    if known is not None:
        return replace(known, file=path.name), path
    raise ModelError(f"{path}: no card {beside.name} beside it; `kindred models add {path}` writes one")


@functools.cache
def _known() -> dict[str, Card]:
    """Return the cards of public networks by digest."""
    cards = [Card.load(path) for path in sorted(_KNOWN.glob("*.toml"))]
    return {card.digest: card for card in cards}


def _known_card(path: Path) -> Card | None:
    """Return the card beside a file, or the known card of a public network with its digest; None if there is none."""
    digest = digest_of(path)
    beside = path.with_suffix(".toml")
    if beside.is_file() and beside != path:
        card = Card.load(beside)
        check_digest(card, path)
        return card
    return _known().get(digest)


def _inspected_card(path: Path, name: str) -> Card:
    """Return a card with the taps found in the graph, and no preprocessing."""
    from kindred.backbones.taps import inspect

    check_name(name)
    graph = inspect(path)
    return Card(
        name=name,
        file=f"{name}.onnx",
        digest=digest_of(path),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        layout=graph.layout,
        input_name=graph.input_name,
        input_size=graph.input_size,
        default_tap=graph.default_tap,
        taps=graph.taps,
    )


def _triple(key: str, values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) != 3:
        raise ModelError(f"{key} is {list(values)}; expected three numbers, red first, in pixel units (0 to 255)")
    red, green, blue = values
    return float(red), float(green), float(blue)


def _verify_taps(card: Card, path: Path) -> None:
    """Run the network on grey images; raise ModelError if a map does not have the channels and stride of the card."""
    from tempfile import TemporaryDirectory

    from kindred.backbones.openvino import OpenVINOEngine

    names = [tap.name for tap in card.taps]
    sizes = [card.input_size] if card.input_size is not None else [_SMALL, _LARGE]
    # In a temporary folder, as the graph compiled with all its taps is not the one that will be used.
    with TemporaryDirectory() as folder:
        engine = OpenVINOEngine(card, path, taps=names, precision="f32", cache_dir=Path(folder))
        try:
            maps = [engine.run(np.full((1, *size, 3), 128, np.uint8)) for size in sizes]
        except UsageError as error:
            raise ModelError(f"{path}: {error}") from None
    for tap, *found in zip(card.taps, *maps, strict=True):
        shapes = [entry.shape[1:] for entry in found]
        if not _matches(tap, shapes, sizes):
            raise ModelError(
                f"{path}: tap {tap.name} gives maps of {shapes} for images of {sizes}; "
                f"its card declares {tap.channels} channels and stride {tap.stride}"
            )


def _verify_heads(card: Card, path: Path) -> None:
    """Run the detector or read the classifier weights; raise ModelError if they do not match the card."""
    from tempfile import TemporaryDirectory

    from kindred.backbones.classifier import class_weights
    from kindred.backbones.detector import Detector

    if card.detector is not None:
        with TemporaryDirectory() as folder:
            detector = Detector(card, path, precision="f32", cache_dir=Path(folder))
            detector.propose(np.full((2, *(card.input_size or _SMALL), 3), 128, np.uint8))
    if card.classifier is not None and card.classifier.weights:
        class_weights(card, path)


def _matches(tap: Tap, shapes: Sequence[tuple[int, ...]], sizes: Sequence[tuple[int, int]]) -> bool:
    if any(len(shape) != 3 or shape[0] != tap.channels for shape in shapes):
        return False
    if len(shapes) == 1:  # the effect of padding is unknown: the stride is checked to a factor of √2
        ratios = [part * tap.stride / whole for part, whole in zip(shapes[0][1:], sizes[0], strict=True)]
        return all(0.7 < ratio < 1.42 for ratio in ratios)
    grown = [(after - before) * tap.stride for before, after in zip(shapes[0][1:], shapes[1][1:], strict=True)]
    return all(abs(pixels - (_LARGE[0] - _SMALL[0])) < tap.stride for pixels in grown)


def _with_matcher(card: Card, path: Path) -> Card:
    """Return a card whose local head names a matcher; ModelError if it has none, or the file is not a graph."""
    from kindred.backbones.runtime import read_graph

    if card.local is None:
        raise ModelError(f"model {card.name} has no local features to be matched: its card has no table [local]")
    read_graph(path)  # before its digest, for a file that is missing or no graph
    return replace(card, local=replace(card.local, matcher=path.name, matcher_digest=digest_of(path)))


def _verify_matcher(card: Card, path: Path) -> None:
    """Raise ModelError unless the graph pairs keypoints with the descriptors of the card's local head."""
    from kindred.backbones.further import FurtherGraph
    from kindred.backbones.matcher_form import check_matcher

    assert card.local is not None
    check_matcher(FurtherGraph(path, card.local.matcher_digest), path, card.local_dimension)


def _own_name(name: str) -> str:
    """Return the name of a user's model; ModelError if its file would be a further graph of another model."""
    for suffix in SUFFIXES.values():
        if f"{name}.onnx".endswith(suffix):
            raise ModelError(f"{name!r} is not a valid model name: {suffix} are files of other models; choose another")
    return name


def _renamed(head: LocalHead | None, name: str) -> LocalHead | None:
    """Return a local head whose further graphs are named after the model."""
    if head is None:
        return None
    renamed = {key: f"{name}{SUFFIXES[key]}" for key in head.graphs}
    return replace(head, **renamed)  # type: ignore[arg-type]  # all are text


def _install(card: Card, path: Path, folder: Path) -> None:
    """Copy a model and save its card."""
    _copy(path, folder / card.file, card.digest)
    card.save((folder / card.file).with_suffix(".toml"))


def _copy(path: Path, target: Path, digest: str) -> None:
    """Copy a graph; raise ModelError if the file has changed since it was checked."""
    try:
        content = read_bounded(path, MODEL_BYTES)
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(f"{path}: the file was changed while it was being added; add it again")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (target.exists() and target.samefile(path)):
            with replacing(target) as part:
                part.write_bytes(content)
    except OSError as error:
        raise ModelError(f"{target}: the model cannot be copied: {explain_os_error(error, target)}") from None
