"""Model card: the metadata of an `.onnx` file that the file itself does not contain.

A card is a `.toml` file beside the graph. It is the only source of preprocessing, feature maps ("taps"), licence and
digest of the graph.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from kindred._support.files import open_bounded, read_bounded, replacing
from kindred._support.os_errors import explain_os_error
from kindred.errors import ModelError
from kindred.hints import check_known

__all__ = [
    "Card",
    "ClassifierHead",
    "DetectorHead",
    "LocalHead",
    "Tap",
    "check_digest",
    "check_name",
    "digest_of",
]

ChannelOrder: TypeAlias = Literal["RGB", "BGR"]
Layout: TypeAlias = Literal["NCHW", "NHWC"]
Triple: TypeAlias = tuple[float, float, float]
Scalar: TypeAlias = str | int | float
BoxForm: TypeAlias = Literal["yxyx", "xyxy"]
BoxUnits: TypeAlias = Literal["relative", "pixels"]
T = TypeVar("T")

MODEL_BYTES = 2**31
"""The largest `.onnx` file that is read, in bytes: the limit of protobuf."""

CARD_BYTES = 1_000_000
"""The largest card that is read, in bytes; typical cards have about 2,000."""

MAX_DIMENSION, MAX_MULTIPLE = 4096, 256
"""The largest descriptor dimension and padding multiple of a local head; typical are 128 components and 32 pixels."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Tap:
    """A feature map that a model can return.

    `tensor` is its name in the graph; the map of an H × W image is (channels, about H / stride, about W / stride).
    """

    name: str
    tensor: str
    channels: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class DetectorHead:
    """The output tensors of a detector, and their format.

    `boxes` is the tensor (N, R, 4) of decoded boxes and `scores` the tensor (N, R, classes), higher is better. `form`
    is the order of the corners: "yxyx" or "xyxy". `units` is "relative" (fractions of the image) or "pixels" (of the
    network's input). `background` is the column of the scores for the background class, −1 if there is none.
    """

    boxes: str
    scores: str
    form: BoxForm
    units: BoxUnits
    background: int = -1


@dataclass(frozen=True, kw_only=True)
class ClassifierHead:
    """The class maps of a classifier, or the weights to compute them.

    `maps` is the tap of the class maps. If the graph has none, `weights` is the weight tensor of the last linear layer,
    which is applied to the average-pooled map `tap`. `background` is the index of the background class, −1 if there is
    none.
    """

    maps: str = ""
    weights: str = ""
    tap: str = ""
    background: int = -1


@dataclass(frozen=True, kw_only=True)
class LocalHead:
    """The local features of a network: keypoints with descriptors.

    `scores` is the tap, of one channel and stride 1, of the keypoint score of each pixel. Descriptors are either
    sampled from the tap `descriptors`, whose first cell is at pixel `centre` of the image (from 0) in both directions,
    or computed by a second graph, `describe`, the name of an `.onnx` file in the same folder with the sha256
    `describe_digest`. Its inputs are taps of the first graph by name, `points` (N, 2), x y in pixels of the padded
    image, and `window` (4), left, top, width and height of the photograph in it; its output is `descriptors`
    (N, `dimension`).

    The sides of an image are padded to a multiple of `multiple`. With `signs`, descriptors are binarised to the signs
    of their components, one bit each. `ratio` is the threshold of the ratio test for these descriptors. `precision` is
    "auto", or "f32" for a network that is inaccurate in bfloat16.
    """

    scores: str
    descriptors: str = ""
    centre: float = 0.0
    describe: str = ""
    describe_digest: str = ""
    dimension: int = 0
    multiple: int = 1
    signs: bool = False
    ratio: float = 0.85
    precision: Literal["auto", "f32"] = "auto"


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
        if Path(self.file).name != self.file or "\\" in self.file or not self.file.endswith(".onnx"):
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
            raise self._wrong("detector", head, "the names of two tensors, boxes and scores")
        if head.form not in ("yxyx", "xyxy"):
            raise self._wrong("detector.form", head.form, "yxyx or xyxy")
        if head.units not in ("relative", "pixels"):
            raise self._wrong("detector.units", head.units, "relative or pixels")
        self._check_background("detector", head.background)

    def _check_classifier(self, head: ClassifierHead) -> None:
        if bool(head.maps) == bool(head.weights) or bool(head.tap) != bool(head.weights):
            raise self._wrong(
                "classifier", head, "either maps, a tap, or weights, a tensor, with the tap that it is applied to"
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
            raise self._wrong("local", head, "either descriptors, a tap, or describe, an .onnx file")
        if head.descriptors:
            self.tap(head.descriptors)
        elif Path(head.describe).name != head.describe or "\\" in head.describe or not head.describe.endswith(".onnx"):
            raise self._wrong("local.describe", head.describe, "the name of an .onnx file in the folder of the card")
        elif not _DIGEST.fullmatch(head.describe_digest) or not 1 <= head.dimension <= MAX_DIMENSION:
            raise self._wrong("local", head, "describe_digest, a sha256, and the dimension of the descriptors")
        if not 1 <= head.multiple <= MAX_MULTIPLE:
            raise self._wrong("local.multiple", head.multiple, f"pixels, 1 to {MAX_MULTIPLE}")
        if not (0 < head.ratio <= 1 and math.isfinite(head.centre)):
            raise self._wrong("local", head, "a ratio above 0, up to 1, and a centre in pixels")
        if head.precision not in ("auto", "f32"):
            raise self._wrong("local.precision", head.precision, "auto or f32")

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
        return _build(cls, table, where)

    def to_toml(self) -> str:
        """Return the card as TOML, with keys in the order of the fields; parsing it gives an equal card."""
        plain, tables = [], []
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "taps":
                tables += [["[[taps]]", *(_line(f.name, getattr(tap, f.name)) for f in fields(tap))] for tap in value]
            elif item.name == "training":
                tables += [["[training]", *(_line(key, entry) for key, entry in value.items())]] if value else []
            elif isinstance(value, DetectorHead | ClassifierHead | LocalHead):
                tables.append([f"[{item.name}]", *_non_default_lines(value)])
            elif value is not None and value != "":
                plain.append(_line(item.name, value))
        return "\n\n".join("\n".join(block) for block in [plain, *tables]) + "\n"

    def save(self, path: Path) -> None:
        """Write the card atomically; raise ModelError if it cannot be written."""
        try:
            with replacing(path) as part:
                part.write_text(self.to_toml(), encoding="utf-8")
        except OSError as error:
            raise ModelError(f"{path}: the card cannot be written: {explain_os_error(error, path)}") from None


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


def check_name(name: str) -> None:
    """Raise ModelError unless `name` is a valid model name, as it becomes a file name."""
    if not _NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} is not a valid model name: expected 1 to 64 letters, digits, dots, dashes or underscores, "
            "beginning with a letter or digit"
        )


def _build(cls: type[T], table: Mapping[str, object], where: str) -> T:
    """Build a dataclass from a TOML table; raise ModelError for unknown or missing keys."""
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]  # T is Card or a part of it
    for key in table:
        check_known("key", key, known, error=ModelError, where=where)
    for key, item in known.items():
        if key not in table and item.default is MISSING and item.default_factory is MISSING:
            raise ModelError(f"{where}: the key {key!r} is missing")
    return cls(**{key: _READERS[key](value, f"{where}: {key}") for key, value in table.items()})


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{where} is {value!r}; expected a quoted string")
    return value


def _whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelError(f"{where} is {value!r}; expected a whole number")
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ModelError(f"{where} is {value!r}; expected a number")
    return float(value)


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise ModelError(f"{where} is {value!r}; expected true or false")
    return value


def _numbers(value: object, where: str) -> tuple[float, ...]:
    if not isinstance(value, list) or any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):
        raise ModelError(f"{where} is {value!r}; expected a list of numbers")
    return tuple(float(x) for x in value)


def _size(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ModelError(f"{where} is {value!r}; expected [height, width] in pixels")
    return tuple(_whole(x, where) for x in value)


def _taps(value: object, where: str) -> tuple[Tap, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ModelError(f"{where} is {value!r}; expected tables, each headed [[taps]]")
    return tuple(_build(Tap, entry, where) for entry in value)


def _table(part: type[T]) -> Callable[[object, str], T]:
    """Return the reader of a table whose keys are the fields of `part`."""

    def read(value: object, where: str) -> T:
        if not isinstance(value, dict):
            raise ModelError(f"{where} is {value!r}; expected a table, headed [{where.rpartition(' ')[2]}]")
        return _build(part, value, where)

    return read


def _scalars(value: object, where: str) -> dict[str, Scalar]:
    if not isinstance(value, dict):
        raise ModelError(f"{where} is {value!r}; expected a table of strings and numbers")
    for key, entry in value.items():
        if isinstance(entry, bool) or not isinstance(entry, str | int | float):
            raise ModelError(f"{where}.{key} is {entry!r}; expected a string or a number")
    return value


_READERS: dict[str, Callable[[object, str], object]] = {
    **dict.fromkeys(("name", "file", "digest", "description", "licence", "source", "channel_order", "layout"), _text),
    **dict.fromkeys(("input_name", "default_tap", "tensor"), _text),
    **dict.fromkeys(("boxes", "scores", "form", "units", "maps", "weights", "tap"), _text),
    **dict.fromkeys(("channels", "stride", "background"), _whole),
    **dict.fromkeys(("mean", "std"), _numbers),
    "input_size": _size,
    "taps": _taps,
    "detector": _table(DetectorHead),
    "classifier": _table(ClassifierHead),
    **dict.fromkeys(("descriptors", "describe", "describe_digest", "precision"), _text),
    **dict.fromkeys(("dimension", "multiple"), _whole),
    **dict.fromkeys(("centre", "ratio"), _number),
    "signs": _flag,
    "local": _table(LocalHead),
    "training": _scalars,
}


def _non_default_lines(part: DetectorHead | ClassifierHead | LocalHead) -> list[str]:
    """Return the TOML lines of the fields that differ from their defaults."""
    values = [(item, getattr(part, item.name)) for item in fields(part)]
    return [_line(item.name, value) for item, value in values if value != item.default]


def _line(key: str, value: object) -> str:
    return f"{key if _BARE_KEY.fullmatch(key) else _quoted(key)} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if not isinstance(value, int | float):
        raise TypeError(f"expected a string or a number in a card, not {value!r}")
    return repr(int(value) if isinstance(value, int) else float(value))  # NumPy's floats print as np.float64(…)


def _quoted(text: str) -> str:
    # JSON and TOML escape alike, except that TOML requires DEL to be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
