from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.errors import RecipeError
from kindred.recipe import DEFAULT_RECIPE, Recipe, list_recipes

PLAIN = Recipe(name="plain", backbone="kin")

names = st.text(min_size=1).filter(lambda text: text.isprintable() or "\x7f" in text)
recipes = st.builds(
    Recipe,
    name=names,
    backbone=names,
    tap=st.text(st.characters(exclude_categories=["Cs"])),
    size=st.integers(32, 4096),
    shape=st.sampled_from(["keep", "stretch"]),
    multiple=st.integers(1, 256),
    pooling_options=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False) | st.booleans()),
    whitening=st.just("some.npz"),
    dimension=st.integers(0, 65536),
)


@settings(deadline=None)
@given(recipes)
def test_a_recipe_comes_back_from_toml_as_it_was(recipe: Recipe) -> None:
    again = Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert (again.digest, hash(again)) == (recipe.digest, hash(recipe))


def test_toml_needs_no_more_than_a_name_and_a_backbone() -> None:
    assert Recipe.from_toml('name = "plain"\nbackbone = "kin"') == PLAIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "a"\nbackbone = "kin"\nsise = 224', "some.toml: unknown key 'sise'; did you mean 'size'?"),
        ('name = "a"\nbackbone = "kin"\ncolour = 1', "unknown key 'colour'; known keys: name, backbone, tap, size"),
        ('name = "a"', "the key 'backbone' is missing"),
        ('backbone = "kin"', "the key 'name' is missing"),
        ("name = ", "not valid TOML"),
        ('name = "a"\nbackbone = "kin"\nsize = "big"', "size is 'big'; expected a whole number from 32 to 4096"),
        ('name = "a"\nbackbone = "kin"\nsize = 31', "size is 31; expected a whole number from 32 to 4096"),
        ('name = "a"\nbackbone = "kin"\nsize = 224.0', "size is 224.0; expected a whole number"),
        ('name = "a"\nbackbone = "kin"\nmultiple = true', "multiple is True; expected a whole number from 1 to 256"),
        ('name = "a"\nbackbone = "kin"\nshape = "square"', "shape is 'square'; expected keep or stretch"),
        ('name = "a"\nbackbone = "kin"\ndimension = 64', "dimension 64 needs a whitening"),
        ('name = "a"\nbackbone = 5', "backbone is 5; expected text"),
        ('name = "a"\nbackbone = ""', "backbone is ''; expected text"),
        ('name = "a"\nbackbone = "kin"\npooling_options = 3', "pooling_options is 3; expected a table"),
        (
            'name = "a"\nbackbone = "kin"\n[pooling_options]\np = "3"',
            "pooling_options.p is '3'; expected a finite number",
        ),
        (
            'name = "a"\nbackbone = "kin"\n[pooling_options]\np = inf',
            "pooling_options.p is inf; expected a finite number",
        ),
    ],
)
def test_a_wrong_key_is_named_with_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_toml(text, source="some.toml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_refused_before_it_is_stored() -> None:
    with pytest.raises(RecipeError, match="expected text that can be written as UTF-8"):
        Recipe(name="a", backbone="caf\udce9.onnx")


def test_the_digest_counts_what_is_done_and_not_what_it_is_called() -> None:
    renamed = dataclasses.replace(PLAIN, name="other", description="the same")
    assert renamed.digest == PLAIN.digest
    changed = [
        dataclasses.replace(PLAIN, **{key: value})  # type: ignore[arg-type]
        for key, value in {
            "backbone": "other",
            "tap": "deep",
            "size": 224,
            "shape": "stretch",
            "multiple": 32,
            "pooling": "max",
            "pooling_options": {"p": 4.0},
            "whitening": "other",
            "similarity": "dot",
        }.items()
    ]
    assert len({recipe.digest for recipe in [PLAIN, *changed]}) == len(changed) + 1


def test_a_whole_option_and_its_float_are_the_same() -> None:
    whole, real = (dataclasses.replace(PLAIN, pooling_options={"p": p}) for p in (3, 3.0))
    assert whole == real
    assert whole.digest == real.digest
    assert len({whole, real}) == 1


def test_differences_name_what_would_be_done_differently() -> None:
    other = dataclasses.replace(PLAIN, name="other", size=224, pooling_options={"p": 4.0})
    assert PLAIN.differences(other) == ["size 320, not 224", "pooling_options {}, not {'p': 4.0}"]
    assert PLAIN.differences(dataclasses.replace(PLAIN, name="other")) == []


def test_options_cannot_be_changed_afterwards() -> None:
    given_options = {"p": 4.0}
    recipe = dataclasses.replace(PLAIN, pooling_options=given_options)
    given_options["p"] = 5.0
    assert recipe.pooling_options == {"p": 4.0}
    with pytest.raises(TypeError):
        recipe.pooling_options["p"] = 5.0  # type: ignore[index]


def test_presets_are_loaded_by_name() -> None:
    presets = list_recipes()
    assert presets[0].name == DEFAULT_RECIPE
    assert len({preset.name for preset in presets}) == len({preset.digest for preset in presets}) == len(presets)
    for preset in presets:
        assert Recipe.load(preset.name) == preset
        assert preset.description


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"kin-rmca: no such recipe; did you mean 'kin-rmac'\?"):
        Recipe.load("kin-rmca")
    with pytest.raises(RecipeError, match="no such recipe; presets: kin, "):
        Recipe.load("zzz")


def test_a_file_is_read_and_names_what_lies_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.onnx").touch()
    (tmp_path / "mine.npz").touch()
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nbackbone = "net.onnx"\nwhitening = "mine.npz"\ndimension = 8\n')
    recipe = Recipe.load(file)
    assert (recipe.backbone, recipe.whitening) == (str(tmp_path / "net.onnx"), str(tmp_path / "mine.npz"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Recipe.load("~/mine.toml") == recipe
    monkeypatch.chdir(tmp_path.parent)
    assert Recipe.load(f"{tmp_path.name}/mine.toml") == recipe


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), (b"\xff\xfe", "decode")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "bad.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RecipeError, match=f"bad.toml: the recipe cannot be read .*{why}"):
        Recipe.load(file)


def test_anchored_makes_only_paths_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert PLAIN.anchored() == PLAIN
    assert dataclasses.replace(PLAIN, backbone="nets/a.onnx").anchored().backbone == str(tmp_path / "nets/a.onnx")
