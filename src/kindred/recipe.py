"""Recipe: what to do with an image, in plain text. It is made, compared and printed; it loads nothing."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from kindred.errors import RecipeError

__all__ = ["DEFAULT_RECIPE", "Option", "Recipe", "list_recipes"]

Option = int | float | bool
DEFAULT_RECIPE = "kin"
SHAPES = ("keep", "stretch")

# The smallest and the largest value of the keys that are whole numbers.
_WHOLE = {"size": (32, 4096), "multiple": (1, 256), "dimension": (0, 65536)}
_NEEDED = ("name", "backbone", "pooling", "similarity")
_TEXTS = (*_NEEDED, "tap", "shape", "whitening", "description")


@dataclass(frozen=True)
class Recipe:
    """How an image becomes a vector, and how vectors are compared.

    backbone: a bundled or added model's name, or the path of an `.onnx` with its card.
    tap: the feature map that is pooled; "" is the card's default.
    size: longest side of the image at the network's input, in pixels; larger images are shrunk to it, smaller
    ones stay.
    shape: "keep" the image's own, or "stretch" every image to size × size (which pooling over windows needs,
    for its vectors grow with the map).
    multiple: both sides are rounded to multiples of it, so that images of nearly the same shape run as one
    batch.
    pooling, pooling_options: a name of `kindred.pooling.POOLINGS` and its parameters.
    whitening: a fitted whitening, by its file or bundled name; "" is none (`kindred fit` makes one).
    dimension: how many components of the whitening to keep; 0 is all.
    similarity: a name of `kindred.similarity.SIMILARITIES`.

    Raises `RecipeError`, naming the key, where a value cannot be meant or two contradict each other. Names
    are checked where they are used, by `Describer`.
    """

    name: str
    backbone: str
    tap: str = ""
    size: int = 320
    shape: str = "keep"
    multiple: int = 16
    pooling: str = "gem"
    pooling_options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))
    whitening: str = ""
    dimension: int = 0
    similarity: str = "cosine"
    description: str = ""

    def __post_init__(self) -> None:
        for key in _TEXTS:
            self._check_text(key)
        for key, (low, high) in _WHOLE.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise self._wrong(key, value, f"a whole number from {low} to {high}")
        if self.shape not in SHAPES:
            raise self._wrong("shape", self.shape, " or ".join(SHAPES))
        if self.dimension and not self.whitening:
            raise RecipeError(f"recipe {self.name!r}: dimension {self.dimension} needs a whitening to cut; name one")
        object.__setattr__(self, "pooling_options", self._checked_options())

    def _check_text(self, key: str) -> None:
        value = getattr(self, key)
        if not isinstance(value, str) or (key in _NEEDED and not value):
            raise self._wrong(key, value, "text")
        try:
            value.encode()
        except UnicodeEncodeError:  # a file name that is no text: it could not be written down
            raise self._wrong(key, value, "text that can be written as UTF-8") from None

    def _checked_options(self) -> Mapping[str, Option]:
        options = self.pooling_options
        if not isinstance(options, Mapping):
            raise self._wrong("pooling_options", options, "a table")
        for key, value in options.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise self._wrong(f"pooling_options.{key}", value, "a finite number, true or false")
        return MappingProxyType(dict(options))

    def _wrong(self, key: str, value: object, expected: str) -> RecipeError:
        return RecipeError(f"recipe {self.name!r}: {key} is {value!r}; expected {expected}")

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def digest(self) -> str:
        """What the recipe does, as 16 hexadecimal digits; its name and description do not count."""
        made_of = {key: value for key, value in self.as_dict().items() if key not in ("name", "description")}
        # p = 3 and p = 3.0 do the same.
        made_of["pooling_options"] = {key: float(value) for key, value in self.pooling_options.items()}
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, object]:
        """All keys, in order, as plain values."""
        values = {key.name: getattr(self, key.name) for key in dataclasses.fields(self)}
        return values | {"pooling_options": dict(self.pooling_options)}

    def differences(self, other: Recipe) -> list[str]:
        """Name each key in which the two would do something else: "size 320, not 224"."""
        mine, theirs = self.as_dict(), other.as_dict()
        return [
            f"{key} {mine[key]!r}, not {theirs[key]!r}"
            for key in mine
            if mine[key] != theirs[key] and key not in ("name", "description")
        ]

    def anchored(self) -> Recipe:
        """Return the recipe with the path of its backbone, if it is one, made absolute."""
        if not self.backbone.endswith((".onnx", ".toml")):
            return self
        path = Path(self.backbone).expanduser().absolute()
        return dataclasses.replace(self, backbone=str(path))

    def to_toml(self) -> str:
        """Write the recipe as `from_toml` reads it."""
        values = self.as_dict()
        del values["pooling_options"]  # a table, and so the last
        lines = [f"{key} = {_as_toml(value)}" for key, value in values.items()]
        if self.pooling_options:
            lines.append("\n[pooling_options]")
            lines += [f"{_as_toml(key)} = {_as_toml(value)}" for key, value in self.pooling_options.items()]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str, *, source: str = "recipe") -> Recipe:
        """Read a recipe. Raises `RecipeError` naming an unknown or missing key and the nearest valid one."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{source}: not valid TOML ({error})") from error
        known = [key.name for key in dataclasses.fields(cls)]
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
                raise RecipeError(f"{source}: unknown key {key!r}; {hint}")
        for key in ("name", "backbone"):
            if key not in table:
                raise RecipeError(f"{source}: the key {key!r} is missing")
        return cls(**table)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Recipe:
        """Return the preset of that name, or read a `.toml` file.

        In a file, the paths of a backbone or a whitening that lie beside it may be given relative to it.
        """
        text = str(name_or_path)
        if not text.endswith(".toml"):
            presets = {preset.name: preset for preset in list_recipes()}
            if text in presets:
                return presets[text]
            near = difflib.get_close_matches(text, presets, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"presets: {', '.join(presets)}"
            raise RecipeError(f"{text}: no such recipe; {hint} (a file must end in .toml)")
        path = Path(name_or_path).expanduser()
        try:
            recipe = cls.from_toml(path.read_text(encoding="utf-8"), source=text)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise RecipeError(f"{text}: the recipe cannot be read ({why})") from error
        beside = {
            key: str((path.parent / value).resolve())
            for key in ("backbone", "whitening")
            if (value := getattr(recipe, key)) and (path.parent / value).is_file()
        }
        return dataclasses.replace(recipe, **beside)  # type: ignore[arg-type]  # all are text


def list_recipes() -> list[Recipe]:
    """Return the presets that come with Kindred, the default first."""
    presets = [
        Recipe.from_toml(file.read_text(encoding="utf-8"), source=file.name)
        for file in files("kindred").joinpath("recipes").iterdir()
        if file.name.endswith(".toml")
    ]
    return sorted(presets, key=lambda recipe: (recipe.name != DEFAULT_RECIPE, recipe.name))


def _as_toml(value: object) -> str:
    # JSON's texts, numbers and booleans are TOML's, but for DEL, which TOML wants escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
