"""Files of the parameters that `kindred fit` fits for a recipe: `.npz` arrays with a record of what they are for.

A codebook, a whitening or a code applies only to vectors of the kind that it was fitted on. The file therefore records
the network, the taps and the methods that precede it; a recipe that differs in one of them is refused, and the error
names both values. Image size and passes are not recorded: parameters fitted at one size apply at others.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kindred._support.files import is_file, read_bounded, replacing, write_whole
from kindred._support.halves import compressible_half
from kindred._support.npz import read_npz
from kindred._support.os_errors import explain_os_error
from kindred.describer.encoder import FittedParameters, embedding_of, vocabulary_of
from kindred.embedding import Codebook, FittedVocabulary, WordQuantizer
from kindred.errors import ModelError, RecipeError, UsageError
from kindred.features import identity_of, matcher_identity_of
from kindred.pooling import POOLINGS
from kindred.recipe import Recipe, as_floats
from kindred.whitening import Whitening, from_arrays

if TYPE_CHECKING:
    from kindred.calibration import Calibration
    from kindred.codes import Code

__all__ = ["fit_record", "load_calibration", "load_fitted", "save_fitted", "write_recipe"]

LARGEST_COMPONENT = 8192.0  # an eighth of the largest half-precision number
RECORD = "record"
FITTED_BYTES = 1_000_000_000  # the largest file that is read
ARRAYS_BYTES = 2_000_000_000  # the largest total size of its arrays
MOST_TAPS = 1000
Record = Mapping[str, object]
Arrays = Mapping[str, NDArray[Any]]
FittedItem: TypeAlias = "FittedVocabulary | Whitening | Code | WordQuantizer | Calibration | Arrays"


def fit_record(recipe: Recipe, key: str, identity: Record) -> Record:
    """Return what the recipe's `key`, one of FILES, depends on; `identity` is the source's."""
    if key == "words":
        network = identity_of(recipe.stored_features).get("network", "")
        # Without a network as of a codebook for the embedding of these features.
        return {"backbone": recipe.stored_features, **({"network": network} if network else {})}
    record: dict[str, object] = dict(identity)
    if not recipe.embedding and not recipe.ensemble:
        record |= {"pooling": recipe.pooling, "pooling_options": as_floats(recipe.pooling_options)}
    embedding = embedding_of(recipe)
    if key in ("whitening", "code", "calibration"):
        record |= {"power_law": float(recipe.power_law)}
        if embedding:
            record |= {"embedding": embedding, "embedding_options": as_floats(recipe.embedding_options)}
        if recipe.codebook:
            record |= {"codebook": _digest(recipe.codebook)}
    if key in ("code", "calibration"):
        if recipe.tap_weights:
            record |= {"tap_weights": as_floats(recipe.tap_weights)}
        if recipe.whitening:
            record |= {"whitening": _digest(recipe.whitening)}
    if key == "calibration":
        record |= {"dimension": recipe.dimension}
        compared = identity_of(recipe.stored_features) | matcher_identity_of(recipe.stored_features)
        record |= {f"features.{name}": value for name, value in compared.items()}
    return json.loads(json.dumps(record))  # type: ignore[no-any-return]  # as it is read back from a file


def save_fitted(file: Path, fitted: Sequence[FittedItem], recipe: Recipe, record: Record) -> None:
    """Write the fitted parameters of each tap to an `.npz` file, atomically."""
    text = json.dumps({"recipe": recipe.name, "for": record, "count": len(fitted)})
    arrays: dict[str, Any] = {RECORD: np.array(text)}
    for number, each in enumerate(fitted):
        arrays |= {f"{number}.{name}": array for name, array in _compact(each).items()}
    data = io.BytesIO()
    np.savez(data, **arrays)
    with replacing(file) as part:
        part.write_bytes(data.getvalue())


def write_recipe(
    file: Path, recipe: Recipe, fitted: FittedParameters, identity: Record, *, stem: str = ""
) -> list[Path]:
    """Write a recipe as `file` (.toml) and, in the same folder, the fitted parameters that it does not name yet.

    The parameter files are STEM-codebook.npz and so on, STEM being by default that of `file`; the recipe names them
    without their folder, so that all can be moved together. Returns the files written, the recipe first. Raises
    UsageError if the recipe cannot be written.
    """
    codes = () if fitted.codes is None else (fitted.codes,)
    calibrations = () if fitted.calibration is None else (fitted.calibration,)
    written: list[Path] = []

    def located(name: str) -> str:
        beside = file.parent / name
        return str(beside) if beside in written else name

    # In this order, as a record holds the digests of the earlier files.
    words = () if fitted.words is None else (fitted.words,)
    items = {
        "words": words,
        "codebook": fitted.codebooks or fitted.poolings,
        "whitening": fitted.whitenings,
        "code": codes,
        "calibration": calibrations,
    }
    for key, each in items.items():
        if each and not getattr(recipe, key):
            arrays = file.with_name(f"{stem or file.stem}-{key}.npz")
            save_fitted(arrays, each, recipe, fit_record(recipe.with_files(located), key, identity))
            recipe = replace(recipe, **{key: arrays.name})  # type: ignore[arg-type]
            written.append(arrays)
    write_whole(file, "recipe", lambda part: part.write_text(recipe.to_toml(), encoding="utf-8"))
    return [file, *written]


def load_fitted(recipe: Recipe, identity: Record) -> FittedParameters:
    """Load the parameters that the recipe names, bundled or from files; the whitening is cut to the recipe's dimension.

    Raises `RecipeError` for a file that cannot be read, was fitted for another kind of recipe, or has too few
    components.
    """
    method = embedding_of(recipe)
    if recipe.codebook and not method and not _pooling_is_fitted(recipe):
        raise RecipeError(
            f"recipe {recipe.name!r}: pooling {recipe.pooling!r} has no fitted parameters; leave out codebook"
        )
    first = _arrays(recipe, "codebook", identity)
    codebooks = tuple(_parsed(recipe, "codebook", vocabulary_of(method).from_arrays, each) for each in first if method)
    whitenings = tuple(
        _cut(recipe, _parsed(recipe, "whitening", from_arrays, each)) for each in _arrays(recipe, "whitening", identity)
    )
    code = _code(recipe, identity) if recipe.code else None
    words = [_parsed(recipe, "words", WordQuantizer.from_arrays, each) for each in _arrays(recipe, "words", identity)]
    return FittedParameters(
        codebooks,
        whitenings,
        () if method else tuple(first),
        code,
        words[0] if words else None,
        load_calibration(recipe, identity),
    )


def _code(recipe: Recipe, identity: Record) -> Code | None:
    from kindred.codes import from_arrays

    codes = [_parsed(recipe, "code", from_arrays, each) for each in _arrays(recipe, "code", identity)]
    return codes[0] if codes else None


def load_calibration(recipe: Recipe, identity: Record | None = None) -> Calibration | None:
    """Return the calibration of a recipe, None if it has none.

    Without `identity`, for which the network is needed, what it was fitted for is not checked; a library has checked it
    before its first image. Errors are those of `load_fitted`.
    """
    if not recipe.calibration:
        return None
    from kindred.calibration import Calibration

    found = _arrays(recipe, "calibration", identity)
    if not found:
        raise RecipeError(f"recipe {recipe.name!r}: its calibration {recipe.calibration!r} is empty; fit it again")
    calibration: Calibration = _parsed(recipe, "calibration", Calibration.from_arrays, found[0])
    return calibration


def _pooling_is_fitted(recipe: Recipe) -> bool:
    entry = POOLINGS.get(recipe.pooling)
    return entry is not None and entry.fitted is not None


def _arrays(recipe: Recipe, key: str, identity: Record | None) -> list[Arrays]:
    """Return the arrays of each tap, or raise RecipeError if they were fitted for another kind of recipe.

    Without `identity` that is not checked.
    """
    name: str = getattr(recipe, key)
    if not name:
        return []
    try:
        arrays: dict[str, NDArray[Any]] = read_npz(_bytes(name), ARRAYS_BYTES)
        about = json.loads(str(arrays.pop(RECORD)))
        maker, made_for, count = str(about["recipe"]), about["for"], int(about["count"])
        if not 0 <= count <= MOST_TAPS or not isinstance(made_for, dict):
            raise ValueError("its record is damaged")
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        why = explain_os_error(error) if isinstance(error, OSError) else error
        raise RecipeError(
            f"recipe {recipe.name!r}: its {key} {name!r} cannot be read ({why}); fit one with kindred fit"
        ) from error
    if identity is not None:
        _check_record(recipe, key, maker, made_for, fit_record(recipe, key, identity))
    return [
        {each.partition(".")[2]: array for each, array in arrays.items() if each.startswith(f"{number}.")}
        for number in range(count)
    ]


def _check_record(recipe: Recipe, key: str, maker: str, made_for: Record, wanted: Record) -> None:
    different = [
        f"{each} {made_for.get(each)!r}, not {wanted.get(each)!r}"
        for each in {**made_for, **wanted}
        if made_for.get(each) != wanted.get(each)
    ]
    if different:
        raise RecipeError(
            f"recipe {recipe.name!r}: its {key} {getattr(recipe, key)!r} was fitted for recipe {maker!r}, which "
            f"differs: {'; '.join(different)}; fit one for {recipe.name!r} with kindred fit"
        )


def _parsed(recipe: Recipe, key: str, parse: Any, arrays: Arrays) -> Any:
    try:
        return parse(arrays)
    except (ModelError, UsageError) as error:
        raise RecipeError(
            f"recipe {recipe.name!r}: its {key} {getattr(recipe, key)!r} cannot be read ({error}); "
            "fit one with kindred fit"
        ) from error


def _cut(recipe: Recipe, whitening: Whitening) -> Whitening:
    if recipe.dimension > whitening.dimension:
        raise RecipeError(
            f"recipe {recipe.name!r}: dimension is {recipe.dimension}; expected at most the "
            f"{whitening.dimension} of its whitening"
        )
    kept = recipe.dimension or whitening.dimension
    return replace(whitening, projection=whitening.projection[:kept])


def _compact(item: FittedItem) -> dict[str, NDArray[Any]]:
    """Return the arrays of fitted parameters, their large matrix at half precision."""
    if isinstance(item, Mapping):
        return dict(item)
    arrays: dict[str, NDArray[Any]] = dict(item.to_arrays())
    if isinstance(item, Whitening):
        # Whitened vectors are L2-normalised, so the scale of the projection is free; this one suits half precision.
        scale = LARGEST_COMPONENT / np.abs(item.projection).max()
        arrays["projection"] = compressible_half(item.projection * scale)
    elif isinstance(item, Codebook | WordQuantizer):
        arrays["centres"] = arrays["centres"].astype(np.float16)  # means of unit vectors
    return arrays


def _bytes(name: str) -> bytes:
    bundled = files("kindred").joinpath("recipes", f"{name}.npz")
    return bundled.read_bytes() if is_file(str(bundled)) else read_bounded(name, FITTED_BYTES)


def _digest(name: str) -> str:
    """Return the SHA-256 of a parameter file, first 16 hexadecimal digits; "" if it cannot be read."""
    try:
        return hashlib.sha256(_bytes(name)).hexdigest()[:16]
    except OSError:  # reported when the file itself is loaded
        return ""
