"""Fitted parameters of recipes: fitting, saving, and the recipes that may load them."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kindred._support.npz import ArrayMap
from kindred.arrays import Vectors, l2_normalise
from kindred.backbones import load
from kindred.codes import CODES
from kindred.describer import (
    Describer,
    LabelledSet,
    fit_code,
    fit_labels,
    fit_pair_whitening,
    fit_recipe,
    load_fitted,
)
from kindred.describer.pooled import strongest
from kindred.embedding import Codebook, Mixture, embed
from kindred.errors import RecipeError, UsageError
from kindred.images import decode, resize
from kindred.pooling import pwa, sum_pool
from kindred.recipe import Recipe
from kindred.whitening import LearnedWhitening

BF16 = 0.03


def positions(recipe: Recipe, path: Path, tap: str = "shallow") -> np.ndarray:
    pixels = resize(decode(path).pixels, longest=64, multiple=16)
    (maps,) = load(recipe.backbone, taps=[tap]).run(pixels[None])
    rows: np.ndarray = maps[0].reshape(len(maps[0]), -1).T
    return rows


@pytest.mark.parametrize("method", ["bow", "vlad", "netvlad", "fisher"])
def test_positions_of_all_passes_are_embedded_together(
    tiny: Recipe, pictures_folder: list[Path], method: str, tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny, taps=("shallow",), embedding=method, pooling="")
    fitted = fit_recipe(recipe, pictures_folder, words=4, local_dimension=8, whiten=False)
    (vocabulary,) = fitted.fitted.codebooks
    assert isinstance(vocabulary, Mixture if method == "fisher" else Codebook)
    fitted.save(tmp_path / "mine.toml")
    saved = Recipe.load(tmp_path / "mine.toml")
    assert Path(saved.codebook).name == "mine-codebook.npz"
    describer = Describer(saved)
    rows = [positions(tiny, path) for path in pictures_folder]
    expected = l2_normalise(embed(np.concatenate(rows), [len(each) for each in rows], method, vocabulary))
    assert describer.dimension == expected.shape[1]
    # Half precision moves a position to another word now and then.
    cosines = (describer.describe(pictures_folder) * expected).sum(axis=1)
    assert np.median(cosines) > 0.98
    twice = Describer(dataclasses.replace(saved, flip=True), fitted=fitted.fitted)
    assert twice.describe(pictures_folder[0]).shape == (1, describer.dimension)
    assert twice.passes == 2


def test_the_strongest_descriptors_have_the_largest_norm() -> None:
    rows = np.array([[1, 0], [3, 0], [0, 2], [0, 0]], np.float32)
    assert strongest(rows, 2).tolist() == [[3, 0], [0, 2]]
    assert strongest(rows, 0) is rows
    assert strongest(rows, 9) is rows


def test_passes_are_embedded_level_by_level(tiny: Recipe, pictures_folder: list[Path]) -> None:
    recipe = dataclasses.replace(tiny, passes="pyramid", passes_options={"levels": 2}, aggregate="vlad")
    fitted = fit_recipe(recipe, pictures_folder, words=3, local_dimension=4, whiten=False)
    describer = Describer(fitted.recipe, fitted=fitted.fitted)
    # The whole image, the pyramid's 1 × 1 and its 2 × 2: three levels of 3 words of 4 components.
    assert describer.dimension == 3 * 3 * 4
    source = describer.extractor
    (seen,) = source.one_by_one([(0, pictures_folder[0])])
    levels = [
        l2_normalise(
            embed(seen.rows[0][seen.levels == at], [int((seen.levels == at).sum())], "vlad", fitted.fitted.codebooks[0])
        )
        for at in range(3)
    ]
    expected = l2_normalise(np.concatenate(levels, axis=1))
    assert np.abs(describer.describe(pictures_folder[0]) - expected).max() < 1e-3


def test_a_pooling_is_fitted(tiny: Recipe, pictures_folder: list[Path], tmp_path: Path) -> None:
    recipe = dataclasses.replace(tiny, pooling="pwa")
    fitted = fit_recipe(recipe, pictures_folder, whiten=False)
    (arrays,) = fitted.fitted.poolings
    pooled = [
        sum_pool(load(tiny.backbone).run(resize(decode(path).pixels, longest=64, multiple=16)[None])[0])
        for path in pictures_folder
    ]
    spread = np.var(np.concatenate(pooled), axis=0)
    assert set(arrays["channels"][:5]) <= set(np.argsort(-spread)[:8].tolist())
    fitted.save(tmp_path / "pwa.toml")
    describer = Describer(Recipe.load(tmp_path / "pwa.toml"))
    (maps,) = load(tiny.backbone).run(resize(decode(pictures_folder[0]).pixels, longest=64, multiple=16)[None])
    expected = l2_normalise(pwa(maps, channels=arrays["channels"]))
    assert np.abs(describer.describe(pictures_folder[0]) - expected).max() < BF16


def test_each_tap_has_its_own_fitted_parameters(tiny: Recipe, pictures_folder: list[Path], tmp_path: Path) -> None:
    recipe = dataclasses.replace(tiny, taps=("shallow", "deep"))
    wide = fit_recipe(recipe, pictures_folder, dimension=20)
    assert [white.dimension for white in wide.fitted.whitenings] == [16, 20]  # the shallow tap has no more
    fitted = fit_recipe(recipe, pictures_folder, dimension=8)
    assert [len(white.mean) for white in fitted.fitted.whitenings] == [16, 32]
    fitted.save(tmp_path / "two.toml")
    describer = Describer(Recipe.load(tmp_path / "two.toml"))
    assert describer.dimension == fitted.dimension == 16
    rows = describer.describe(pictures_folder)
    alone = Describer(dataclasses.replace(tiny, taps=("deep",))).describe(pictures_folder)
    expected = fitted.fitted.whitenings[1].transform(alone) / np.sqrt(2)
    assert np.abs(rows[:, 8:] - expected).max() < 0.05


def test_parameters_fitted_for_another_recipe_are_refused(
    tiny: Recipe, pictures_folder: list[Path], tmp_path: Path
) -> None:
    fit_recipe(tiny, pictures_folder, dimension=8).save(tmp_path / "white.toml")
    white = Recipe.load(tmp_path / "white.toml")
    for keys, why in (
        ({"pooling": "max"}, "pooling 'gem', not 'max'"),
        ({"pooling_options": {"p": 4}}, r"pooling_options \{\}, not \{'p': 4.0\}"),
        ({"taps": ["shallow"]}, r"taps \['deep'\], not \['shallow'\]"),
        ({"power_law": 0.5}, "power_law 1.0, not 0.5"),
    ):
        with pytest.raises(RecipeError, match=rf"recipe 'other': its whitening .* fitted for recipe 'white'.*{why}"):
            Describer(dataclasses.replace(white, name="other", **keys))
    # Size and passes do not count.
    assert Describer(dataclasses.replace(white, size=96, passes="grid")).dimension == 8


def test_a_whitening_fitted_with_another_codebook_is_refused(
    tiny: Recipe, pictures_folder: list[Path], tmp_path: Path
) -> None:
    recipe = dataclasses.replace(tiny, taps=("shallow",), embedding="vlad")
    fit_recipe(recipe, pictures_folder, words=4, dimension=8).save(tmp_path / "one.toml")
    fit_recipe(recipe, pictures_folder, words=4, dimension=8, seed=1).save(tmp_path / "two.toml")
    one, two = Recipe.load(tmp_path / "one.toml"), Recipe.load(tmp_path / "two.toml")
    assert Describer(one).dimension == 8
    with pytest.raises(RecipeError, match=r"whitening .* fitted for recipe 'two', which differs: codebook"):
        Describer(dataclasses.replace(one, whitening=two.whitening))
    # A codebook serves every embedding that learns words alike.
    shared = dataclasses.replace(recipe, name="shared", embedding="bow", codebook=one.codebook)
    assert Describer(shared).dimension == 4
    with pytest.raises(RecipeError, match="cannot be read"):
        Describer(dataclasses.replace(shared, embedding="fisher"))


def test_too_few_images_are_reported_with_the_number_needed(tiny: Recipe, pictures_folder: list[Path]) -> None:
    with pytest.raises(UsageError, match="got 4 rows to whiten 8 dimensions; expected at least 9"):
        fit_recipe(tiny, pictures_folder[:4], dimension=8)
    recipe = dataclasses.replace(tiny, embedding="vlad")
    with pytest.raises(UsageError, match=r"got \d+ .*500 words; expected at least 2,?000"):
        fit_recipe(recipe, pictures_folder[:4], words=500)
    with pytest.raises(UsageError, match="asmk compares visual words"):
        fit_recipe(dataclasses.replace(tiny, embedding="asmk"), pictures_folder, words=4, whiten=True)
    with pytest.raises(UsageError, match="dimension and pairs apply to a whitening, and none is fitted"):
        fit_recipe(tiny, pictures_folder, whiten=False, dimension=8)


def test_asmk_is_fitted_without_a_whitening(tiny: Recipe, pictures_folder: list[Path]) -> None:
    fitted = fit_recipe(dataclasses.replace(tiny, embedding="asmk"), pictures_folder, words=4)
    assert len(fitted.fitted.codebooks) == 1
    assert not fitted.fitted.whitenings


def test_unusable_images_are_skipped_in_fitting_on_pairs(
    tiny: Recipe, pictures_folder: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    shallow = dataclasses.replace(tiny, taps=("shallow",))
    pairs = list(pairwise(pictures_folder))
    whole = fit_recipe(shallow, pictures_folder, pairs=pairs, dimension=4)
    with_bad = fit_recipe(shallow, [*pictures_folder, tmp_path / "bad.jpg"], pairs=pairs, dimension=4)
    assert whole.dimension == 4
    assert np.array_equal(whole.fitted.whitenings[0].projection, with_bad.fitted.whitenings[0].projection)


def test_the_same_seed_gives_the_same_parameters(tiny: Recipe, pictures_folder: list[Path]) -> None:
    recipe = dataclasses.replace(tiny, embedding="vlad")
    books = [
        fit_recipe(recipe, pictures_folder, words=4, whiten=False, seed=seed).fitted.codebooks[0].to_arrays()
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(books[0]["centres"], books[1]["centres"])
    assert not np.array_equal(books[0]["centres"], books[2]["centres"])


def test_a_learned_whitening_is_fitted_on_pairs(tiny: Recipe, pictures_folder: list[Path]) -> None:
    shallow = dataclasses.replace(tiny, taps=("shallow",))
    pairs = list(pairwise(pictures_folder))
    vocabulary = fit_pair_whitening(shallow, pairs, pictures_folder, dimension=6)
    rows = Describer(shallow).describe(pictures_folder)
    expected = LearnedWhitening.fit(rows[:-1], rows[1:], rows, dimension=6)
    assert vocabulary.dimension == 6
    assert np.abs(np.abs(vocabulary.transform(rows) * expected.transform(rows)).sum(axis=1).mean() - 1) < 0.2
    with pytest.raises(UsageError, match="pairs need one vector per image"):
        fit_pair_whitening(dataclasses.replace(tiny, passes="grid", aggregate="multi_vector"), pairs, pictures_folder)


def test_what_cannot_be_fitted_is_refused_before_images_are_described(
    tiny: Recipe, pictures_folder: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Describer, "stream", None)
    shallow = dataclasses.replace(tiny, taps=("shallow",))
    pairs, wrong = list(pairwise(pictures_folder)), "dimension: got 17; expected 1 to 16, that of the vectors"
    labels = np.arange(len(pictures_folder)) % 3
    with pytest.raises(UsageError, match=wrong):
        fit_labels(shallow, [LabelledSet("set", tuple(pictures_folder), labels)], dimension=17)
    with pytest.raises(UsageError, match="set: expected at least two classes with two or more"):
        fit_labels(shallow, [LabelledSet("set", tuple(pictures_folder[:5]), np.array([0, 0, 1, -1, -1]))])
    with pytest.raises(UsageError, match=wrong):
        fit_recipe(shallow, pictures_folder, dimension=17)
    with pytest.raises(UsageError, match=wrong):
        fit_pair_whitening(shallow, pairs, pictures_folder, dimension=17)
    with pytest.raises(UsageError, match="got 9 matching pairs of 16 dimensions; expected at least 16"):
        fit_pair_whitening(shallow, pairs[:9], pictures_folder)


def test_a_file_without_a_record_is_reported(tiny: Recipe, tmp_path: Path) -> None:
    np.savez(tmp_path / "old.npz", mean=np.zeros(3), projection=np.zeros((2, 3)))
    with pytest.raises(RecipeError, match=r"old\.npz' cannot be read .*; fit one with kindred fit"):
        load_fitted(dataclasses.replace(tiny, whitening=str(tmp_path / "old.npz")), {})


def _quantisation_error(code: ArrayMap, rows: Vectors) -> float:
    """Return the mean squared difference of rotated vectors and their signs, which ITQ minimises."""
    rotated = (rows - code["mean"]) @ code["planes"].T
    return float(np.square(np.sign(rotated) - rotated).mean())


@pytest.mark.parametrize("code", ["itq", "lsh", "sign", "rabitq"])
def test_a_code_is_fitted_on_the_final_vectors(
    tiny: Recipe, pictures_folder: list[Path], tmp_path: Path, code: str
) -> None:
    fitted = fit_recipe(tiny, pictures_folder, dimension=8, code=code, bits=8)
    files = fitted.save(tmp_path / "coded.toml")
    assert [file.name for file in files] == ["coded.toml", "coded-whitening.npz", "coded-code.npz"]
    saved = Recipe.load(tmp_path / "coded.toml")
    assert Path(saved.code).name == "coded-code.npz"
    describer = Describer(saved)
    vocabulary = describer.fitted.codes
    assert vocabulary is not None
    rows = describer.describe(pictures_folder)
    expected = CODES[code].fitted.fit(rows, bits=8).to_arrays()
    found = vocabulary.to_arrays()
    np.testing.assert_allclose(found["mean"], expected["mean"], atol=0.02)
    if code == "itq":  # the rounding of the whitening file may lead to another rotation, which must be as good
        np.testing.assert_allclose(_quantisation_error(found, rows), _quantisation_error(expected, rows), rtol=0.1)
    else:
        for name in found.keys() - {"kind"}:
            np.testing.assert_allclose(np.abs(found[name]), np.abs(expected[name]), atol=0.02)
    # The vectors, and with them a library's fingerprint, are what they are without it.
    plain = Describer(dataclasses.replace(saved, code=""))
    assert describer.fingerprint == plain.fingerprint
    assert np.array_equal(plain.describe(pictures_folder[0]), describer.describe(pictures_folder[0]))


def test_fitting_a_code_keeps_the_recipes_whitening(tiny: Recipe, pictures_folder: list[Path], tmp_path: Path) -> None:
    fit_recipe(tiny, pictures_folder, dimension=8).save(tmp_path / "white.toml")
    white = Recipe.load(tmp_path / "white.toml")
    fitted = fit_recipe(white, pictures_folder[:12], code="itq", bits=6)
    assert (fitted.recipe.whitening, fitted.dimension) == (white.whitening, 8)
    assert [file.name for file in fitted.save(tmp_path / "coded.toml")] == ["coded.toml", "coded-code.npz"]
    coded = Recipe.load(tmp_path / "coded.toml")
    assert Describer(coded).fingerprint == Describer(white).fingerprint
    # DescribedQuery for another, it learns one; asked for none, it does without. An old code goes either way.
    assert fit_recipe(coded, pictures_folder, dimension=4, code="itq", bits=4).dimension == 4
    usual = fit_recipe(white, pictures_folder, code="rabitq").fitted.codes
    assert usual is not None
    assert usual.bytes_per_vector == 1 + 8  # a bit per component, and two numbers
    none = fit_recipe(coded, pictures_folder, whiten=False)
    assert (none.recipe.whitening, none.recipe.code, none.fitted.codes) == ("", "", None)


def test_a_code_fitted_on_other_vectors_is_refused(tiny: Recipe, pictures_folder: list[Path], tmp_path: Path) -> None:
    for name, count in (("one", 24), ("two", 20)):
        fit_recipe(tiny, pictures_folder[:count], dimension=8, code="itq", bits=8).save(tmp_path / f"{name}.toml")
    one, two = Recipe.load(tmp_path / "one.toml"), Recipe.load(tmp_path / "two.toml")
    with pytest.raises(RecipeError, match=r"recipe 'one': its code .* fitted for recipe 'two', which differs: whiten"):
        Describer(dataclasses.replace(one, code=two.code))
    with pytest.raises(RecipeError, match=r"its code .* fitted for recipe 'one', which differs: whitening"):
        Describer(dataclasses.replace(one, whitening="", name="bare"))
    with pytest.raises(RecipeError, match="recipe 'one': its code was fitted to vectors of 8 components, not 6; fit"):
        Describer(dataclasses.replace(one, dimension=6))
    fit_recipe(tiny, pictures_folder, whiten=False, code="sign", bits=8).save(tmp_path / "bare.toml")
    bare = Recipe.load(tmp_path / "bare.toml")
    with pytest.raises(RecipeError, match=r"its code .* fitted for recipe 'bare', which differs: pooling 'gem', not"):
        Describer(dataclasses.replace(bare, pooling="max"))
    with pytest.raises(RecipeError, match=r"its code 'no\.npz' cannot be read .*; fit one with kindred fit"):
        Describer(dataclasses.replace(bare, code="no.npz"))
    np.savez(tmp_path / "bad.npz", **{**np.load(bare.code), "0.kind": np.array("nothing")})
    with pytest.raises(RecipeError, match=r"cannot be read .*unknown code 'nothing'"):
        Describer(dataclasses.replace(bare, code=str(tmp_path / "bad.npz")))


def test_codes_that_cannot_be_fitted_are_refused(tiny: Recipe, pictures_folder: list[Path]) -> None:
    with pytest.raises(UsageError, match="unknown code 'itp'; did you mean 'itq'"):
        fit_recipe(tiny, pictures_folder, code="itp")
    with pytest.raises(UsageError, match="got 4 rows for 8 bits; expected at least 9"):
        fit_code(tiny, pictures_folder[:4], code="itq", bits=8)
    with pytest.raises(UsageError, match="bits: got 64; expected at most 32"):
        fit_code(tiny, pictures_folder, code="sign", bits=64)
    with pytest.raises(UsageError, match="got no rows"):
        fit_code(tiny, [], code="lsh")
    seen: list[int] = []
    vocabulary = [
        fit_code(tiny, pictures_folder, code="lsh", bits=9, seed=seed, progress=seen.append) for seed in (0, 1)
    ]
    assert seen == 2 * list(range(1, 25))
    assert [each.bytes_per_vector for each in vocabulary] == [2, 2]
    one, other = (each.to_arrays()["planes"] for each in vocabulary)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("options", [{"dimension": 2}, {"whiten": False, "code": "lsh", "bits": 8}, {"words": 2}])
def test_images_of_which_none_is_usable_are_named_with_the_reason(
    tiny: Recipe, tmp_path: Path, options: dict[str, Any]
) -> None:
    files = [tmp_path / f"{number}.jpg" for number in range(5)]
    for file in files:
        file.write_bytes(b"no image")
    recipe = dataclasses.replace(tiny, embedding="vlad") if "words" in options else tiny
    with pytest.raises(
        UsageError, match=r"none of the 5 images to fit on can be used: .*0\.jpg: .*2\.jpg: .*; and 2 more"
    ):
        fit_recipe(recipe, files, **options)
