from __future__ import annotations

import dataclasses
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kindred.errors import RecipeError
from kindred.recipe import DEFAULT_RECIPE, Recipe, list_recipes

PLAIN = Recipe(name="plain", backbone="kin")
CODED = dataclasses.replace(PLAIN, code="itq")

names = st.text(min_size=1).filter(lambda text: text.isprintable() or "\x7f" in text)
recipes = st.builds(
    Recipe,
    name=names,
    backbone=names,
    taps=st.lists(names, max_size=3),
    size=st.integers(32, 4096),
    shape=st.sampled_from(["keep", "stretch"]),
    multiple=st.integers(1, 256),
    enlarge=st.booleans(),
    flip=st.booleans(),
    scales=st.lists(st.floats(0.1, 4.0), min_size=1, max_size=3),
    passes=st.sampled_from(["whole", "grid", "dense"]),
    passes_options=st.dictionaries(names, st.lists(st.floats(0.1, 4.0), max_size=3)),
    pooling_options=st.dictionaries(names, st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | names),
    power_law=st.floats(0.1, 1.0),
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
        (
            'name = "a"\nbackbone = "kin"\ncolour = 1',
            "unknown key 'colour'; known: name, backbone, taps, tap_weights, size",
        ),
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
        ('name = "a"\nbackbone = ""', "backbone is ''; expected the name of a model"),
        ('name = "a"\nbackbone = "kin"\npooling_options = 3', "pooling_options is 3; expected a table"),
        (
            'name = "a"\nbackbone = "kin"\n[pooling_options]\np = {}',
            "pooling_options.p is {}; expected a finite number",
        ),
        (
            'name = "a"\nbackbone = "kin"\n[pooling_options]\np = inf',
            "pooling_options.p is inf; expected a finite number",
        ),
    ],
)
def test_an_invalid_key_is_reported_with_the_expected_value(text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_toml(text, source="some.toml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_valid_text_is_refused() -> None:
    with pytest.raises(RecipeError, match="expected text that can be written as UTF-8"):
        Recipe(name="a", backbone="caf\udce9.onnx")


def test_the_digest_ignores_the_name() -> None:
    renamed = dataclasses.replace(PLAIN, name="other", description="the same")
    assert renamed.digest == PLAIN.digest
    changed = [
        dataclasses.replace(PLAIN, **{key: value})  # type: ignore[arg-type]
        for key, value in {
            "backbone": "other",
            "taps": ["deep"],
            "enlarge": False,
            "scales": [1.0, 0.5],
            "flip": True,
            "passes": "grid",
            "passes_options": {"cells": 2},
            "aggregate": "max",
            "embedding": "vlad",
            "codebook": "words",
            "matching": "patches",
            "power_law": 0.5,
            "features": "sift",
            "size": 224,
            "shape": "stretch",
            "multiple": 32,
            "pooling": "max",
            "pooling_options": {"p": 4.0},
            "whitening": "other",
            "similarity": "dot",
            "code": "itq",
        }.items()
    ]
    assert len({recipe.digest for recipe in [PLAIN, *changed]}) == len(changed) + 1


def test_a_whole_option_and_its_float_are_the_same() -> None:
    whole, real = (dataclasses.replace(PLAIN, pooling_options={"p": p}) for p in (3, 3.0))
    assert whole == real
    assert whole.digest == real.digest
    assert len({whole, real}) == 1


def test_differences_name_the_keys_that_differ() -> None:
    other = dataclasses.replace(PLAIN, name="other", size=224, pooling_options={"p": 4.0})
    assert PLAIN.differences(other) == ["size 320, not 224", "pooling_options.p none, not 4.0"]
    assert PLAIN.differences(dataclasses.replace(PLAIN, name="other")) == []


def test_differences_of_parts_name_the_part_and_the_key() -> None:
    smaller = dataclasses.replace(PLAIN, size=224, weight=0.5)
    both, mixed = (Recipe(name, ensemble=(PLAIN, part)) for name, part in (("both", PLAIN), ("mixed", smaller)))
    nested, other = (Recipe("nested", ensemble=(each, PLAIN)) for each in (both, mixed))
    assert both.differences(mixed) == ["ensemble[1].size 320, not 224", "ensemble[1].weight 1, not 0.5"]
    assert nested.differences(other) == [f"ensemble[0].{each}" for each in both.differences(mixed)]
    assert all(len(each) < 120 for each in PLAIN.differences(both))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"ensemble": [PLAIN, PLAIN]}, "backbone and ensemble contradict each other"),
        ({"backbone": "", "ensemble": [PLAIN]}, "ensemble needs two recipes or more"),
        ({"taps": ["a", "b"], "tap_weights": [1.0]}, "1 tap_weights for 2 taps; give one for each"),
        ({"embedding": "vlad", "aggregate": "max"}, "embedding 'vlad' takes the positions of all passes together"),
        ({"embedding_options": {"alpha": 3}}, "embedding_options without an embedding"),
        ({"pooling": ""}, "neither pooling nor embedding"),
        ({"positions": 9}, "positions has an effect with an embedding only"),
        ({"embedding": "vlad", "pooling": "mac"}, "embedding 'vlad' replaces the pooling"),
        ({"embedding": "vlad", "pooling_options": {"p": 2}}, "embedding 'vlad' replaces the pooling"),
        ({"matching_options": {"n": 3}}, "matching_options are for aggregate"),
        ({"aggregate": "multi_vector", "similarity": "dot"}, "compared by a matching, not by similarity 'dot'"),
        ({"embedding": "asmk", "power_law": 0.5}, "power_law has no effect on 'asmk', which compares words"),
        ({"embedding": "asmk", "whitening": "w"}, "whitening has no effect on 'asmk', which compares words"),
        ({"backbone": "", "ensemble": [PLAIN, PLAIN], "size": 96}, "size has no effect together with ensemble"),
        (
            {"backbone": "", "ensemble": [PLAIN, PLAIN], "features": "sift"},
            "features has no effect together with",
        ),
        ({"scales": []}, "scales is []; expected at least one number"),
        ({"scales": [0.0]}, "scales is [0.0]; expected a list of numbers above 0"),
        ({"taps": "deep"}, "taps is 'deep'; expected a list"),
        ({"taps": [1]}, "taps is [1]; expected a list of names"),
        ({"power_law": 1.5}, "power_law is 1.5; expected a number above 0, at most 1"),
        ({"flip": 1}, "flip is 1; expected true or false"),
        (
            {"code": "itq", "embedding": "asmk", "pooling": "gem", "codebook": "words"},
            "code encodes vectors, but asmk stores residuals of visual words",
        ),
        ({"code": "itq", "similarity": "euclidean"}, "code compares by cosine or dot, not by similarity 'euclidean'"),
        (
            {"backbone": "", "ensemble": [PLAIN, CODED]},
            "a recipe of the ensemble has a code, which the fused",
        ),
    ],
)
def test_contradictions_are_refused(keys: dict[str, object], expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        dataclasses.replace(PLAIN, **keys)  # type: ignore[arg-type]
    assert expected in str(caught.value)


def test_recipes_of_several_rows_cannot_be_fused() -> None:
    rows = dataclasses.replace(PLAIN, passes="grid", aggregate="multi_vector")
    with pytest.raises(RecipeError, match="a recipe of the ensemble stores several rows"):
        Recipe(name="fused", ensemble=(PLAIN, rows))


def test_parts_are_written_in_full_and_read_by_name_or_in_full() -> None:
    parts = (dataclasses.replace(PLAIN, weight=2.0, pooling_options={"p": 4.0}), Recipe.load("kin-whitened"))
    fused = Recipe(name="fused", ensemble=parts)
    assert Recipe.from_toml(fused.to_toml()) == fused
    named = Recipe.from_toml('name = "fused"\nensemble = [{ recipe = "kin", weight = 2.0 }, { recipe = "kin-plain" }]')
    assert [(part.name, part.weight) for part in named.ensemble] == [("kin", 2.0), ("kin-plain", 1.0)]
    assert named.digest != dataclasses.replace(named, ensemble=named.ensemble[::-1]).digest
    with pytest.raises(RecipeError, match="has recipe and also size; beside recipe, only weight is allowed"):
        Recipe.from_toml('name = "a"\nensemble = [{ recipe = "kin", size = 224 }, { recipe = "kin" }]')
    with pytest.raises(RecipeError, match="unknown key 'sise'; did you mean 'size'"):
        Recipe.from_toml('name = "a"\nensemble = [{ name = "b", backbone = "kin", sise = 224 }]')


def test_settings_change_keys_and_options() -> None:
    changed = PLAIN.with_settings(
        ["size=480", "pooling=crow", "pooling_options.a=1.5", "scales=[1.0, 0.5]", "flip=true"]
    )
    assert (changed.size, changed.pooling, changed.flip) == (480, "crow", True)
    assert (changed.pooling_options, changed.scales) == ({"a": 1.5}, (1.0, 0.5))
    assert PLAIN.with_settings([]) == PLAIN
    assert changed.name == "plain size=480 pooling=crow pooling_options.a=1.5 scales=[1.0, 0.5] flip=true"
    assert PLAIN.with_settings(["size=480", "name=large"]).name == "large"
    more = changed.with_settings(["pooling_options.b=2", "pooling_options.c=3"])
    assert more.pooling_options == {"a": 1.5, "b": 2, "c": 3}
    with pytest.raises(RecipeError, match="setting 'sise=1': unknown key 'sise'; did you mean 'size'"):
        PLAIN.with_settings(["sise=1"])
    for text in ("size", "size.x=1"):
        with pytest.raises(RecipeError, match="expected KEY=VALUE"):
            PLAIN.with_settings([text])


def test_another_method_drops_the_options_of_the_one_before() -> None:
    one = dataclasses.replace(PLAIN, pooling_options={"p": 4.0}, description="GeM.")
    assert one.with_settings(["size=480"]).pooling_options == {"p": 4.0}
    assert one.with_settings(["pooling=gem"]).pooling_options == {"p": 4.0}
    assert one.with_settings(["pooling=crow"]).pooling_options == {}
    assert one.with_settings(["pooling_options.a=1", "pooling=crow"]).pooling_options == {"a": 1}
    words = dataclasses.replace(one, pooling="mac", pooling_options={}).with_settings(["embedding=vlad"])
    assert (words.embedding, words.pooling, words.description) == ("vlad", "gem", "")
    with pytest.raises(RecipeError, match="embedding 'vlad' replaces the pooling"):
        one.with_settings(["pooling=mac", "embedding=vlad"])


def test_files_of_fitted_parameters_are_found_and_renamed_in_ensembles_too() -> None:
    one = dataclasses.replace(PLAIN, whitening="w.npz")
    two = dataclasses.replace(PLAIN, embedding="vlad", codebook="c.npz")
    fused = Recipe(name="fused", ensemble=(one, two), whitening="joint.npz")
    assert list(fused.fitted_files()) == ["joint.npz", "w.npz", "c.npz"]
    assert list(fused.with_files(lambda name: f"x/{name}").fitted_files()) == ["x/joint.npz", "x/w.npz", "x/c.npz"]


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


def test_an_unknown_preset_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match=r"unknown recipe 'kin-rmca'; did you mean 'kin-rmac'\?"):
        Recipe.load("kin-rmca")
    with pytest.raises(RecipeError, match=r"unknown recipe .*; known: kin, "):
        Recipe.load("zzz")


def test_a_recipe_file_may_name_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.parametrize(("content", "why"), [(None, "no such file"), (b"\xff\xfe", "decode")])
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


def test_a_recipe_can_be_sent_to_another_process() -> None:
    for recipe in [*list_recipes(), dataclasses.replace(PLAIN, pooling_options={"p": 4.0}, scales=(1.0, 0.5))]:
        back = pickle.loads(pickle.dumps(recipe))
        assert back == recipe
        assert hash(back) == hash(recipe)
        assert back.to_toml() == recipe.to_toml()


def test_recipe_files_are_not_trusted(tmp_path: Path) -> None:
    fifo, zero, deep = (tmp_path / f"{name}.toml" for name in ("fifo", "zero", "deep"))
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    deep.write_text(f"name = {'[' * 100_000}", encoding="utf-8")
    for path, reason in {fifo: "not a regular file", zero: "not a regular file", deep: "nested too deeply"}.items():
        with pytest.raises(RecipeError, match=reason) as caught:
            Recipe.load(path)
        assert "\n" not in str(caught.value)
