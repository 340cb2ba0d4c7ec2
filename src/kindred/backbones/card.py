"""Model card: the metadata of an `.onnx` file that the file itself does not contain.

A card is a `.toml` file beside the graph. It is the only source of preprocessing, feature maps ("taps"), licence and
digest of the graph.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias

from kindred._support.files import open_bounded, read_bounded, replacing
from kindred._support.os_errors import explain_os_error
from kindred.backbones.card_parts import ClassifierHead, DetectorHead, LocalHead, Tap
from kindred.backbones.card_toml import Scalar, from_table, line_of, non_default_lines
from kindred.errors import ModelError
from kindred.hints import check_known

__all__ = [
    "Card",
    "ClassifierHead",
    "DetectorHead",
    "LocalHead",
    "Scalar",
    "Tap",
    "check_digest",
    "check_graph",
    "check_name",
    "digest_of",
    "further_graphs",
]

ChannelOrder: TypeAlias = Literal["RGB", "BGR"]
Layout: TypeAlias = Literal["NCHW", "NHWC"]
Triple: TypeAlias = tuple[float, float, float]

MODEL_BYTES = 2**31
"""The largest `.onnx` file that is read, in bytes: the limit of protobuf."""

CARD_BYTES = 1_000_000
"""The largest card that is read, in bytes; typical cards have about 2,000."""

MAX_DIMENSION, MAX_MULTIPLE = 4096, 256
"""The largest descriptor dimension and padding multiple of a local head; typical are 128 components and 32 pixels."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Card:
    """The metadata of a model, validated on construction.

    `file` is the file name of the graph, in the folder of the card, and `digest` its sha256 in hex. `mean` and `std`
    are in pixel units (0 to 255), one per channel, red first for every `channel_order`: the input of the network is
    (pixel − mean) / std in that order. `layout` is that of the graph's input; `input_size` is (height, width) for a
    network of fixed input size, otherwise None. `detector`, `classifier` and `local` are set for detectors, classifiers
    and networks with local features. `training` holds the makers' notes on training. Raise ModelError, naming the key,
    if a value is invalid.
    """

    name: str
    file: str
    digest: str
    description: str = ""
    licence: str = ""
    source: str = ""
    channel_order: ChannelOrder = "RGB"
    mean: Triple
    std: Triple
    layout: Layout = "NCHW"
    input_name: str
    input_size: tuple[int, int] | None = None
    default_tap: str
    taps: tuple[Tap, ...]
    detector: DetectorHead | None = None
    classifier: ClassifierHead | None = None
    local: LocalHead | None = None
    training: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_name(self.name)
        if not _is_graph_name(self.file):
            raise self._wrong("file", self.file, "the name of an .onnx file in the folder of the card")
        if not _DIGEST.fullmatch(self.digest):
            raise self._wrong("digest", self.digest, "the sha256 of the file, 64 hexadecimal digits")
        if self.channel_order not in ("RGB", "BGR"):
            raise self._wrong("channel_order", self.channel_order, "RGB or BGR")
        if self.layout not in ("NCHW", "NHWC"):
            raise self._wrong("layout", self.layout, "NCHW or NHWC")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != 3 or not all(map(math.isfinite, values)) or (key == "std" and min(values) <= 0):
                raise self._wrong(key, values, "three numbers, red first, in pixel units (0 to 255)")
        if self.input_size is not None and (len(self.input_size) != 2 or min(self.input_size) < 1):
            raise self._wrong("input_size", self.input_size, "[height, width] in pixels")
        self._check_taps()
        if self.detector is not None:
            self._check_detector(self.detector)
        if self.classifier is not None:
            self._check_classifier(self.classifier)
        if self.local is not None:
            self._check_local(self.local)

    def _check_taps(self) -> None:
        names = [tap.name for tap in self.taps]
        if not names:
            raise self._wrong("taps", "[]", "at least one feature map")
        if len(set(names)) < len(names):
            raise self._wrong("taps", names, "different names")
        for tap in self.taps:
            if not tap.name or not tap.tensor or tap.channels < 1 or tap.stride < 1:
                raise self._wrong("taps", tap, "a name, a tensor, and channels and stride of at least 1")
        self.tap(self.default_tap)

    def _check_detector(self, head: DetectorHead) -> None:
        if not head.boxes or not head.scores:
            given = f"of boxes {head.boxes!r} and scores {head.scores!r}"
            raise self._wrong("detector", given, "the names of two tensors, boxes and scores")
        if head.form not in ("yxyx", "xyxy"):
            raise self._wrong("detector.form", head.form, "yxyx or xyxy")
        if head.units not in ("relative", "pixels"):
            raise self._wrong("detector.units", head.units, "relative or pixels")
        self._check_background("detector", head.background)

    def _check_classifier(self, head: ClassifierHead) -> None:
        if bool(head.maps) == bool(head.weights) or bool(head.tap) != bool(head.weights):
            given = f"of maps {head.maps!r}, weights {head.weights!r} and tap {head.tap!r}"
            raise self._wrong(
                "classifier", given, "either maps, a tap, or weights, a tensor, with the tap that it is applied to"
            )
        tap = self.tap(head.maps or head.tap)
        self._check_background("classifier", head.background)
        if head.maps and head.background >= tap.channels:
            raise self._wrong("classifier.background", head.background, f"one of the {tap.channels} channels")

    def _check_local(self, head: LocalHead) -> None:
        scores = self.tap(head.scores)
        if scores.channels != 1 or scores.stride != 1:
            raise self._wrong("local.scores", head.scores, "a tap of one channel and stride 1")
        if bool(head.descriptors) == bool(head.describe):
            given = "with both" if head.describe else "without"
            raise self._wrong("local", given, "either descriptors, a tap, or describe, an .onnx file")
        if head.descriptors:
            self.tap(head.descriptors)
        elif not _is_graph_name(head.describe):
            raise self._wrong("local.describe", head.describe, "the name of an .onnx file in the folder of the card")
        elif not _DIGEST.fullmatch(head.describe_digest):
            raise self._wrong("local.describe_digest", head.describe_digest or "missing", "the sha256 of that file")
        elif not 1 <= head.dimension <= MAX_DIMENSION:
            raise self._wrong("local.dimension", head.dimension, f"that of the descriptors, 1 to {MAX_DIMENSION}")
        if not 1 <= head.multiple <= MAX_MULTIPLE:
            raise self._wrong("local.multiple", head.multiple, f"pixels, 1 to {MAX_MULTIPLE}")
        if not 0 < head.ratio <= 1:
            raise self._wrong("local.ratio", head.ratio, "a number above 0, up to 1")
        if not math.isfinite(head.centre):
            raise self._wrong("local.centre", head.centre, "a number of pixels")
        if head.precision not in ("auto", "f32"):
            raise self._wrong("local.precision", head.precision, "auto or f32")
        self._check_matcher(head)

    def _check_matcher(self, head: LocalHead) -> None:
        if not head.matcher:
            if head.matcher_digest or head.matcher_threshold:
                raise self._wrong("local.matcher", "missing", "the .onnx file of the matcher_digest or -threshold")
            return
        if not _is_graph_name(head.matcher):
            raise self._wrong("local.matcher", head.matcher, "the name of an .onnx file in the folder of the card")
        if not _DIGEST.fullmatch(head.matcher_digest):
            raise self._wrong("local.matcher_digest", head.matcher_digest, "the sha256 of the matcher")
        if not 0 <= head.matcher_threshold <= 1:
            raise self._wrong("local.matcher_threshold", head.matcher_threshold, "a score, 0 to 1")

    def _check_background(self, key: str, background: int) -> None:
        if background < -1:
            raise self._wrong(f"{key}.background", background, "a column from 0, or −1 for none")

    def _wrong(self, key: str, value: object, expected: str) -> ModelError:
        return ModelError(f"card of {self.name}: {key} is {value}; expected {expected}")

    def tap(self, name: str) -> Tap:
        """Return the tap `name`; raise ModelError, listing the known taps, if it is unknown."""
        taps = {tap.name: tap for tap in self.taps}
        check_known("tap", name, taps, error=ModelError, where=f"model {self.name}")
        return taps[name]

    @property
    def local_dimension(self) -> int:
        """The number of components of the local head's descriptors; 0 without one."""
        if self.local is None:
            return 0
        return self.tap(self.local.descriptors).channels if self.local.descriptors else self.local.dimension

    def with_taps(self, taps: Iterable[Tap], default_tap: str) -> Card:
        """Return the card with these taps in place of its own, and without its heads, which name taps of their own."""
        return replace(self, taps=tuple(taps), default_tap=default_tap, detector=None, classifier=None, local=None)

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card; raise ModelError if the file is missing or not TOML, or a key is unknown or invalid."""
        try:
            text = read_bounded(path, CARD_BYTES).decode()
        except FileNotFoundError:
            raise ModelError(
                f"{path}: no such card; a model is an .onnx file with a card beside it: `kindred models add` writes one"
            ) from None
        except OSError as error:
            raise ModelError(f"{path}: the card cannot be read: {explain_os_error(error)}") from None
        except UnicodeDecodeError as error:
            raise ModelError(f"{path}: the card cannot be read: {error}") from None
        return cls.from_toml(text, str(path))

    @classmethod
    def from_toml(cls, text: str, where: str = "card") -> Card:
        """Read a card from TOML text; `where` names it in errors. Raise ModelError as `load` does."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ModelError(f"{where}: not a TOML file: {error}") from None
        except RecursionError:
            raise ModelError(f"{where}: not a card: its values are nested too deeply") from None
        return from_table(cls, table, where)

    def to_toml(self) -> str:
        """Return the card as TOML, with keys in the order of the fields; parsing it gives an equal card."""
        plain, tables = [], []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "taps":
                tables += [["[[taps]]", *(line_of(f.name, getattr(tap, f.name)) for f in fields(tap))] for tap in value]
            elif item.name == "training":
                tables += [["[training]", *(line_of(key, entry) for key, entry in value.items())]] if value else []
            elif isinstance(value, DetectorHead | ClassifierHead | LocalHead):
                tables.append([f"[{item.name}]", *non_default_lines(value)])
            elif value is not None and value != "":
                plain.append(line_of(item.name, value))
        return "\n\n".join("\n".join(block) for block in [plain, *tables]) + "\n"

    def save(self, path: Path) -> None:
        """Write the card atomically; raise ModelError if it cannot be written."""
        try:
            with replacing(path) as part:
                part.write_text(self.to_toml(), encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{path}: the card cannot be written: {explain_os_error(error, path)}") from None


def _is_graph_name(name: str) -> bool:
    """Return whether a name is that of an `.onnx` file, without a folder on any system."""
    return Path(name).name == name and "\\" not in name and name.endswith(".onnx")


def digest_of(path: Path) -> str:
    """Return the sha256 of a file, in hex; raise ModelError if it cannot be read."""
    try:
        with open_bounded(path, MODEL_BYTES) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: the model cannot be read: {explain_os_error(error)}") from None


def check_digest(card: Card, path: Path) -> None:
    """Raise ModelError unless the file `path` has the digest in the card.

    The whole file is hashed on every load: 25 MB take about 20 ms, and a check of size and modification time would miss
    a file replaced by a tool that preserves times.
    """
    found = digest_of(path)
    if found != card.digest:
        raise ModelError(
            f"{path} is not the graph that its card describes (sha256 {found[:12]}…, expected {card.digest[:12]}…): "
            "restore the file, or remove the model and add it again"
        )


def further_graphs(card: Card, path: Path) -> dict[str, tuple[Path, str]]:
    """Return the further graphs of a local head by key: files beside the model's own, `path`, and their digests."""
    graphs = {} if card.local is None else card.local.graphs
    return {key: (path.with_name(file), digest) for key, (file, digest) in graphs.items()}


def check_graph(path: Path, digest: str) -> None:
    """Raise ModelError unless a further graph has the sha256 that the card of its model names."""
    if digest_of(path) != digest:
        raise ModelError(f"{path} is not the graph {path.name!r} that its card describes: restore it")


def check_name(name: str) -> None:
    """Raise ModelError unless `name` is a valid model name, as it becomes a file name."""
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} is not a valid model name: expected 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit"
        )
