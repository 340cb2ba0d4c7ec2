"""Recipe: how images are described and compared, as plain text.

Recipes are parsed, compared and printed here; nothing is loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from kindred._support.files import is_file, read_bounded
from kindred._support.os_errors import explain_os_error
from kindred.errors import RecipeError
from kindred.hints import check_known, nearest
from kindred.recipe.contradictions import MULTI_VECTOR, contradictions
from kindred.recipe.text import as_floats, as_toml, is_number, read_value

if TYPE_CHECKING:
    from kindred.embedding import MultiVectorEmbedding

__all__ = ["DEFAULT_RECIPE", "FILES", "Option", "Options", "Recipe", "list_recipes"]

Option = int | float | bool | str | tuple[float, ...]
Options = Mapping[str, Option]
DEFAULT_RECIPE = "kin"
RECIPE_BYTES = 1_000_000  # the largest file that is read; usual recipes have some 500 bytes

# Smallest and largest value of the keys that are integers, and of other numbers.
_WHOLE = {"size": (32, 4096), "multiple": (1, 256), "positions": (0, 1 << 20), "dimension": (0, 65536)}
_REAL = {"power_law": (0.0, 1.0), "weight": (1e-6, 1e6)}
_SWITCHES = ("enlarge", "flip")
_CHOICES = {"shape": ("keep", "stretch")}
_NEEDED = ("name", "passes", "aggregate", "similarity")
_TEXTS = (*_NEEDED, "backbone", "shape", "pooling", "embedding", "matching", "features", "description")
_OPTIONS = ("passes_options", "pooling_options", "embedding_options", "matching_options")
FILES = ("codebook", "whitening", "code", "words", "calibration")
"""The keys that name a file of fitted parameters, or a bundled one."""
_UNCALIBRATED = ("name", "description", "weight", "size", "multiple", "enlarge", "code", "words")
"""The keys that leave a calibration valid, as it depends on neither."""
_UNCOUNTED = ("name", "description", "weight")  # they do not change what a recipe does with an image


def _multi_vector_embeddings() -> Mapping[str, MultiVectorEmbedding]:
    from kindred.embedding import MULTI_VECTOR_EMBEDDINGS  # loaded late: most commands need no embedding

    return MULTI_VECTOR_EMBEDDINGS


def _brief(value: object) -> str:
    """Return a value of a recipe, shortened for a message."""
    if value is None:
        return "none"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:20]} … {text[-36:]}"


def _no_options() -> Options:
    return MappingProxyType({})


@dataclass(frozen=True)
class Recipe:
    """How an image becomes a vector, or several, and how images are compared.

    The network. backbone: a bundled or added model's name, the path of an `.onnx` with its card, or "sift" for
    OpenCV's local features. taps: the feature maps to use, none for the card's default; the vectors of several taps
    are concatenated, weighted by tap_weights.

    The image. size: longest side at the network's input, in pixels; larger images are shrunk to it, smaller ones
    enlarged, queries and indexed images alike, unless `enlarge` is false: a thumbnail described at its own size does
    not find its original. shape: "keep" the aspect ratio, or "stretch" to size × size regardless of `enlarge` and
    `multiple` (needed by poolings over windows). multiple: both sides are rounded to multiples of it, so that images
    of similar shapes form one batch. For a network with a fixed input size every image is stretched to that size, and
    these keys have no effect.

    Passes: the views of an image that the network processes. passes, passes_options: a name of
    `kindred.describer.views.PASSES`. scales: image sizes, as factors of `size`. flip: also process the mirrored
    image. aggregate: a name of `kindred.describer.encoder.AGGREGATES` combines the vectors of all passes into one;
    "multi_vector" stores them as rows, the best of which counts in a search; the name of an embedding embeds the
    pooled passes (MOP-CNN).

    The map. pooling, pooling_options: a name of `kindred.pooling.POOLINGS`. Or embedding, embedding_options: a name
    of `kindred.embedding.EMBEDDINGS` or `MULTI_VECTOR_EMBEDDINGS`, on the map's positions; positions: the number of
    strongest positions used, 0 for all. codebook: the fitted vocabulary of the embedding (or parameters of a pooling).
    matching, matching_options: a name of `kindred.matching.MATCHINGS`, for images stored as rows.

    The vector. power_law: exponent of the signed power applied before the whitening; 1 for none. whitening: a fitted
    one. dimension: the number of its leading components; 0 for all. similarity: a name of
    `kindred.similarity.SIMILARITIES`. code: a fitted one of `kindred.codes.CODES`, for search in a few bytes per
    vector; the vectors themselves do not change. `kindred fit` fits codebooks, whitenings and codes.

    Fusion. ensemble: recipes whose vectors are concatenated, each weighted by its `weight`; keys about one network
    are then set in these recipes. features: local features stored for spatial verification, a name of
    `kindred.features.FEATURES`, or a model with a local head, by name or path; in an ensemble, those of the first
    recipe that has any. words: a fitted codebook of local features; their visual words are stored as well, and a search
    that is re-ranked takes its candidates from an inverted file of them too. calibration: a fitted one; searches are
    then ordered by the probability that a result shows the same thing (`kindred.calibration`).

    allow_code is not a key of a recipe: the caller sets it to run a recipe whose pooling is "package.module:function",
    code outside Kindred; it is never stored. It applies to the recipes of an ensemble, too.

    Raises `RecipeError`, naming the key, if a value is invalid, contradicts another one or would have no effect. Names
    are checked where they are used, by `Describer`.
    """

    name: str
    backbone: str = ""
    taps: tuple[str, ...] = ()
    tap_weights: tuple[float, ...] = ()
    size: int = 320
    shape: str = "keep"
    multiple: int = 16
    enlarge: bool = True
    passes: str = "whole"
    passes_options: Options = field(default_factory=_no_options)
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    aggregate: str = "sum"
    pooling: str = "gem"
    pooling_options: Options = field(default_factory=_no_options)
    embedding: str = ""
    embedding_options: Options = field(default_factory=_no_options)
    positions: int = 0
    codebook: str = ""
    matching: str = "best"
    matching_options: Options = field(default_factory=_no_options)
    power_law: float = 1.0
    whitening: str = ""
    dimension: int = 0
    similarity: str = "cosine"
    code: str = ""
    features: str = ""
    words: str = ""
    calibration: str = ""
    weight: float = 1.0
    ensemble: tuple[Recipe, ...] = ()
    description: str = ""
    allow_code: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for key in (*_TEXTS, *FILES):
            self._check_text(key)
        for key, (low, high) in _WHOLE.items():
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise self._wrong(key, value, f"a whole number from {low} to {high}")
        for key, (least, most) in _REAL.items():
            value = getattr(self, key)
            if not is_number(value) or not least < value <= most:
                raise self._wrong(key, value, f"a number above {least:g}, at most {most:g}")
        for key in _SWITCHES:
            if not isinstance(getattr(self, key), bool):
                raise self._wrong(key, getattr(self, key), "true or false")
        for key, choices in _CHOICES.items():
            if getattr(self, key) not in choices:
                raise self._wrong(key, getattr(self, key), " or ".join(choices))
        for key in _OPTIONS:
            object.__setattr__(self, key, self._checked_options(key))
        self._check_lists()
        for why in contradictions(self):
            raise RecipeError(f"recipe {self.name!r}: {why}")

    def _check_text(self, key: str) -> None:
        value = getattr(self, key)
        if not isinstance(value, str) or (key in _NEEDED and not value):
            raise self._wrong(key, value, "text")
        try:
            value.encode()
        except UnicodeEncodeError:  # a file name that is not valid text cannot be written as TOML
            raise self._wrong(key, value, "text that can be written as UTF-8") from None

    def _check_lists(self) -> None:
        for key in ("taps", "tap_weights", "scales", "ensemble"):
            value = getattr(self, key)
            if not isinstance(value, list | tuple):
                raise self._wrong(key, value, "a list")
            object.__setattr__(self, key, tuple(value))
        if not all(isinstance(tap, str) and tap for tap in self.taps):
            raise self._wrong("taps", list(self.taps), "a list of names")
        for key in ("tap_weights", "scales"):
            if not all(is_number(value) and 0 < value < 100 for value in getattr(self, key)):
                raise self._wrong(key, list(getattr(self, key)), "a list of numbers above 0")
        if not self.scales:
            raise self._wrong("scales", [], "at least one number, such as [1.0]")
        if not all(isinstance(part, Recipe) for part in self.ensemble):
            raise self._wrong("ensemble", self.ensemble, "a list of recipes")

    def __reduce__(self) -> tuple[Callable[[dict[str, object]], Recipe], tuple[dict[str, object]]]:
        # A recipe can be sent to another process; its read-only tables are pickled as dictionaries.
        values = {key.name: getattr(self, key.name) for key in dataclasses.fields(self)}
        return _remade, ({key: dict(each) if isinstance(each, Mapping) else each for key, each in values.items()},)

    def _checked_options(self, key: str) -> Options:
        options = getattr(self, key)
        if not isinstance(options, Mapping):
            raise self._wrong(key, options, "a table")
        checked: dict[str, Option] = {}
        for name, value in options.items():
            plain = tuple(value) if isinstance(value, list) else value
            listed = plain if isinstance(plain, tuple) else (plain,)
            if not all(is_number(each) for each in listed) and not isinstance(plain, bool | str):
                raise self._wrong(f"{key}.{name}", value, "a finite number, text, true or false, or a list of numbers")
            checked[name] = plain
        return MappingProxyType(checked)

    def _wrong(self, key: str, value: object, expected: str) -> RecipeError:
        return RecipeError(f"recipe {self.name!r}: {key} is {value!r}; expected {expected}")

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def multi_vector(self) -> bool:
        """Whether an image is stored as several rows."""
        return self.aggregate == MULTI_VECTOR or self.embedding in _multi_vector_embeddings()

    @property
    def row_matching(self) -> str:
        """The name of `MATCHINGS` by which the rows of images are compared: `matching`, or that of the embedding."""
        entry = _multi_vector_embeddings().get(self.embedding)
        return self.matching if entry is None else entry.matching

    @property
    def networks(self) -> str:
        """The backbone, or those of the ensemble, as text."""
        return self.backbone or ", ".join(dict.fromkeys(part.networks for part in self.ensemble))

    @property
    def stored_features(self) -> str:
        """The local features stored for an image, "" for none: those of the recipe, or of a recipe of the ensemble."""
        return self.features or next((part.stored_features for part in self.ensemble if part.stored_features), "")

    @property
    def digest(self) -> str:
        """A digest, 16 hexadecimal digits, of all keys but the name and the description."""
        return hashlib.sha256(json.dumps(self._counted(), sort_keys=True).encode()).hexdigest()[:16]

    def _counted(self) -> dict[str, object]:
        made_of: dict[str, object] = {
            key: value for key, value in self.as_dict().items() if key not in (*_UNCOUNTED, "ensemble")
        }
        # p = 3 and p = 3.0 are equivalent.
        made_of |= {key: {name: as_floats(value) for name, value in getattr(self, key).items()} for key in _OPTIONS}
        made_of |= {key: [as_floats(value) for value in getattr(self, key)] for key in ("scales", "tap_weights")}
        made_of["power_law"] = float(self.power_law)
        if self.ensemble:
            made_of["ensemble"] = [[float(part.weight), part._counted()] for part in self.ensemble]
        return made_of

    def as_dict(self) -> dict[str, object]:
        """All keys, in order, as plain values."""
        return {key: _plain(getattr(self, key)) for key in _KEYS}

    def differences(self, other: Recipe) -> list[str]:
        """Return the keys that differ in effect, as text: "size 320, not 224", or "ensemble[1].taps" in an ensemble."""
        mine, theirs = self._counted_keys(), other._counted_keys()
        parts = len(self.ensemble) == len(other.ensemble)
        found = [
            f"{key} {_brief(mine.get(key))}, not {_brief(theirs.get(key))}"
            for key in dict.fromkeys((*mine, *theirs))
            if mine.get(key) != theirs.get(key) and not (parts and key == "ensemble")
        ]
        if parts:
            for at, (own, its) in enumerate(zip(self.ensemble, other.ensemble, strict=True)):
                unlike = own.differences(its)
                if own.weight != its.weight:
                    unlike.append(f"weight {own.weight:g}, not {its.weight:g}")
                found += [f"ensemble[{at}].{difference}" for difference in unlike]
        return found

    def _counted_keys(self) -> dict[str, object]:
        """Return the keys that have an effect, with one entry per option and per key of each recipe of the ensemble."""
        found: dict[str, object] = {}
        for key, value in self.as_dict().items():
            if key == "ensemble":
                found[key] = f"of {len(self.ensemble)}"
            elif key in _OPTIONS and isinstance(value, dict):
                found |= {f"{key}.{name}": each for name, each in value.items()}
            elif key not in _UNCOUNTED:
                found[key] = value
        return found

    def allowing_code(self, allow: bool = True) -> Recipe:
        """Return the recipe, and the recipes of its ensemble, with the given `allow_code`."""
        if allow == self.allow_code:
            return self
        parts = tuple(part.allowing_code(allow) for part in self.ensemble)
        return dataclasses.replace(self, ensemble=parts, allow_code=allow)

    def anchored(self) -> Recipe:
        """Return the recipe with absolute paths of its models, also in the recipes of its ensemble."""
        parts = tuple(part.anchored() for part in self.ensemble)
        changed = dataclasses.replace(
            self, ensemble=parts, backbone=_anchored(self.backbone), features=_anchored(self.features)
        )
        return self if changed == self else changed

    def with_files(self, rename: Callable[[str], str]) -> Recipe:
        """Return the recipe with every file of fitted parameters renamed, also in the recipes of its ensemble."""
        named = {key: rename(value) for key in FILES if (value := getattr(self, key))}
        return dataclasses.replace(
            self,
            ensemble=tuple(part.with_files(rename) for part in self.ensemble),
            **named,  # type: ignore[arg-type]  # all are text
        )

    def fitted_files(self) -> Iterator[str]:
        """Yield every file of fitted parameters that the recipe or a recipe of its ensemble names."""
        yield from (value for key in FILES if (value := getattr(self, key)))
        for part in self.ensemble:
            yield from part.fitted_files()

    def with_settings(self, settings: Iterable[str]) -> Recipe:
        """Return the recipe with keys changed by settings such as "size=480" or "pooling_options.p=4".

        Values are TOML, or else text. Setting another method drops the options of the previous one, setting an
        embedding drops the pooling, other local features drop their words, and whatever changes cosines or keypoints
        drops the calibration. The settings
        become part of the name, unless the name itself is set. Raises `RecipeError` for an unknown key.
        """
        listed = list(settings)
        table = self.as_dict()
        if listed:  # the description may no longer be true
            table |= {"name": " ".join([self.name, *listed]), "description": ""}
        settings_read = sorted(map(_read_setting, listed), key=_methods_first)
        if any(name not in _UNCALIBRATED for name, _, _ in settings_read):
            table["calibration"] = ""
        if any(name == "features" and value != table["features"] for name, _, value in settings_read):
            table["words"] = ""
        for name, option, value in settings_read:
            if option:
                value = {**cast("Mapping[str, object]", table[name]), option: value}
            elif f"{name}_options" in _OPTIONS and value != table[name]:
                table[f"{name}_options"] = {}
            if name == "embedding" and value:
                table |= {"pooling": "gem", "pooling_options": {}}
            table[name] = value
        return _from_table(table, source=f"recipe {self.name!r}").allowing_code(self.allow_code)

    def to_toml(self) -> str:
        """Return the recipe as TOML, as `from_toml` reads it; keys with default values are left out."""
        return "".join(f"{key} = {value}\n" for key, value in _lines(self))

    @classmethod
    def from_toml(cls, text: str, *, source: str = "recipe", self_contained: bool = False) -> Recipe:
        """Parse a recipe. Raises `RecipeError` with an unknown or missing key and the nearest valid one.

        With `self_contained`, for untrusted text, a recipe of its ensemble must not refer to another recipe, which
        could be any file.
        """
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{source}: not valid TOML ({error})") from error
        except RecursionError:
            raise RecipeError(f"{source}: its values are nested too deeply") from None
        if self_contained and _names_recipes(table):
            raise RecipeError(f"{source}: its ensemble refers to another recipe; give all keys of that recipe instead")
        return _from_table(table, source=source)

    @classmethod
    def load(cls, name_or_path: str | Path, *, allow_code: bool = False) -> Recipe:
        """Return the preset with this name, or read a `.toml` file.

        In a file, paths of the backbone and of fitted parameters may be relative to its folder. `allow_code` allows a
        pooling "package.module:function", which is code outside Kindred, to run.
        """
        text = str(name_or_path)
        if not text.endswith(".toml"):
            presets = {preset.name: preset for preset in list_recipes()}
            if text in presets:
                return presets[text].allowing_code(allow_code)
            raise RecipeError(f"unknown recipe {text!r}; {nearest(text, presets)} (a file must end in .toml)")
        path = Path(name_or_path).expanduser()
        try:
            recipe = cls.from_toml(read_bounded(path, RECIPE_BYTES).decode(), source=text)
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{text}: the recipe cannot be read ({explain_os_error(error)})") from error
        return _beside(recipe, path.parent).allowing_code(allow_code)


def _anchored(model: str) -> str:
    """Return the name of a model; a path made absolute."""
    return str(Path(model).expanduser().absolute()) if model.endswith((".onnx", ".toml")) else model


def _remade(values: dict[str, object]) -> Recipe:
    return Recipe(**values)  # type: ignore[arg-type]  # validated by __post_init__


_KEYS = [each.name for each in dataclasses.fields(Recipe) if each.name != "allow_code"]


def list_recipes() -> list[Recipe]:
    """Return the names of the presets, the default first."""
    presets = [
        Recipe.from_toml(file.read_text(encoding="utf-8"), source=file.name)
        for file in files("kindred").joinpath("recipes").iterdir()
        if file.name.endswith(".toml")
    ]
    return sorted(presets, key=lambda recipe: (recipe.name != DEFAULT_RECIPE, recipe.name))


def _read_setting(text: str) -> tuple[str, str, object]:
    """Parse KEY=VALUE or KEY.OPTION=VALUE into the key, the option or "", and the value."""
    key, equals, value = text.partition("=")
    name, dot, option = key.strip().partition(".")
    if not equals or (dot and (name not in _OPTIONS or not option)):
        raise RecipeError(f"setting {text!r}: expected KEY=VALUE, such as size=480 or pooling_options.p=4")
    check_known("key", name, _KEYS, error=RecipeError, where=f"setting {text!r}")
    return name, option, read_value(value)


def _methods_first(setting: tuple[str, str, object]) -> tuple[bool, bool]:
    """Order settings: methods before options, which a change of the method drops, and an embedding before a pooling."""
    return setting[0] != "embedding", f"{setting[0]}_options" not in _OPTIONS


def _beside(recipe: Recipe, folder: Path) -> Recipe:
    """Return the recipe with absolute paths for files that exist in `folder`."""

    def found(value: str) -> str:
        return str((folder / value).resolve()) if value and is_file(folder / value) else value

    parts = tuple(_beside(part, folder) for part in recipe.ensemble)
    named = {key: found(getattr(recipe, key)) for key in ("backbone", *FILES)}
    return dataclasses.replace(recipe, ensemble=parts, **named)  # type: ignore[arg-type]  # all are text


def _from_table(table: Mapping[str, object], *, source: str) -> Recipe:
    for key in table:
        check_known("key", key, _KEYS, error=RecipeError, where=source)
    if "name" not in table:
        raise RecipeError(f"{source}: the key 'name' is missing")
    if "backbone" not in table and "ensemble" not in table:
        raise RecipeError(f"{source}: the key 'backbone' is missing")
    values = dict(table)
    parts = table.get("ensemble", [])
    if isinstance(parts, Sequence) and not isinstance(parts, str):
        values["ensemble"] = tuple(_part(part, source) for part in parts)
    return Recipe(**values)  # type: ignore[arg-type]  # validated by __post_init__


def _part(table: object, source: str) -> Recipe:
    """Parse a recipe of an ensemble: all its keys, or a preset or file under the key "recipe", with a weight."""
    if not isinstance(table, Mapping):
        raise RecipeError(f'{source}: the ensemble contains {table!r}; expected a table, such as {{ recipe = "kin" }}')
    if "recipe" not in table:
        return _from_table(table, source=f"{source}, ensemble")
    if extra := set(table) - {"recipe", "weight"}:
        raise RecipeError(
            f"{source}: an entry of the ensemble has recipe and also {', '.join(sorted(extra))}; beside recipe, only "
            "weight is allowed"
        )
    named = Recipe.load(str(table["recipe"]))
    # Words and calibration are of its own vector, not of the fused one.
    return dataclasses.replace(named, weight=table.get("weight", 1.0), words="", calibration="")


def _names_recipes(table: Mapping[str, object]) -> bool:
    parts = table.get("ensemble")
    tables = [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return any("recipe" in part or _names_recipes(part) for part in tables)


def _lines(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the keys that differ from their defaults, with their values as TOML."""
    for key in (each for each in dataclasses.fields(recipe) if each.name in _KEYS):
        value = getattr(recipe, key.name)
        default = {} if key.name in _OPTIONS else key.default
        if key.name == "name" or value != default:
            yield key.name, as_toml(_plain(value)) if key.name != "ensemble" else f"[{', '.join(map(_inline, value))}]"


def _inline(recipe: Recipe) -> str:
    return f"{{ {', '.join(f'{key} = {text}' for key, text in _lines(recipe))} }}"


def _plain(value: object) -> object:
    if isinstance(value, Recipe):
        return value.as_dict()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, Mapping) else value
