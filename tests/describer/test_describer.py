from __future__ import annotations

import dataclasses
import io
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fitted_files import save_whitening
from kindred.arrays import l2_normalise
from kindred.backbones import Engine
from kindred.describer import Describer, Description, Provenance, fit_whitening, load_fitted
from kindred.describer.network import NetworkExtractor
from kindred.errors import ImageError, ModelError, RecipeError, UsageError
from kindred.images import decode, resize
from kindred.pooling import gem, rmac, rmac_regions
from kindred.recipe import Recipe
from kindred.whitening import PCAWhitening
from pictures import encoded, make_folder, picture, save_picture
from tiny_model import CHANNELS, change_card, make_model

if TYPE_CHECKING:
    from kindred.images import ImageLike

T = TypeVar("T")
BF16 = 0.01  # what half precision and another order of sums may move in a unit vector


@pytest.fixture(scope="module")
def recipe(tiny: Recipe) -> Recipe:
    return tiny


@pytest.fixture(scope="module")
def describer(recipe: Recipe) -> Describer:
    return Describer(recipe, workers=3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Forty pictures in five shapes, among them some that do not fill a batch."""
    paths = tmp_path_factory.mktemp("photos")
    shapes = ((64, 48), (48, 64), (64, 64), (90, 40), (300, 200))
    return [
        save_picture(paths / f"{number}.png", number, width=shapes[number % 5][0], height=shapes[number % 5][1])
        for number in range(40)
    ]


def engine_of(describer: Describer) -> Engine:
    assert isinstance(describer.extractor, NetworkExtractor)
    return describer.extractor.engine


def descriptions_by_key(describer: Describer, items: Iterable[tuple[T, Path]]) -> dict[T, Description[T]]:
    return {described.key: described for described in describer.stream(items)}


def test_vectors_match_a_step_by_step_computation(describer: Describer, photos: list[Path]) -> None:
    pixels = resize(decode(photos[3]).pixels, longest=64, multiple=16)
    assert pixels.shape == (32, 64, 3)
    expected = l2_normalise(gem(engine_of(describer).run(pixels[None])[0]))
    assert np.abs(describer.describe(photos[3]) - expected).max() < BF16


def test_many_images_come_in_order_and_equal_single_ones(describer: Describer, photos: list[Path]) -> None:
    together = describer.describe(photos)
    alone = np.concatenate([describer.describe(path) for path in photos])
    assert together.shape == (40, CHANNELS) == (40, describer.dimension)
    assert together.dtype == np.float32
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5
    assert np.abs(together - alone).max() < BF16
    # The pictures are unlike enough for that to tell them apart.
    assert np.array_equal((together @ alone.T).argmax(axis=1), np.arange(40))


def test_every_input_type_gives_the_same_vector(describer: Describer, photos: list[Path]) -> None:
    path = photos[0]
    with Image.open(path) as opened:
        image = opened.copy()
    kinds: list[ImageLike] = [path, str(path), path.read_bytes(), image, np.asarray(image)]
    rows = describer.describe(kinds)
    assert (rows == rows[0]).all()
    assert np.array_equal(describer.describe(kinds[-1]), rows[:1])


def test_no_images_give_no_rows(describer: Describer) -> None:
    assert describer.describe([]).shape == (0, CHANNELS)
    assert list(describer.stream([])) == []


def test_a_stream_yields_each_key_once_with_the_size_of_the_image(describer: Describer, photos: list[Path]) -> None:
    found = descriptions_by_key(describer, ((path, path) for path in photos))
    assert sorted(found) == sorted(photos)
    sizes = {(described.width, described.height) for described in found.values()}
    assert sizes == {(64, 48), (48, 64), (64, 64), (90, 40), (300, 200)}


def test_the_capture_date_and_upright_size_are_returned(describer: Describer) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112], exif[0x0132] = 6, "2017:07:05 10:20:30"
    Image.fromarray(picture(1)).save(file, "JPEG", exif=exif)
    (described,) = describer.stream([("it", file.getvalue())])
    assert (described.width, described.height, described.taken) == (48, 64, "2017-07-05T10:20:30")


def test_unusable_images_are_yielded_with_their_errors(
    describer: Describer, photos: list[Path], tmp_path: Path
) -> None:
    empty, text = tmp_path / "empty.jpg", tmp_path / "text.jpg"
    empty.touch()
    text.write_text("no image at all, but long enough to look at")
    found = descriptions_by_key(describer, ((path, path) for path in [empty, *photos[:9], text, tmp_path / "gone.jpg"]))
    reasons = {path.name: str(described.error.reason) for path, described in found.items() if described.error}
    assert reasons == {"empty.jpg": "empty file", "text.jpg": "not an image", "gone.jpg": "file vanished"}
    assert sum(described.vector is not None for described in found.values()) == 9
    assert all((described.vector is None) == (described.error is not None) for described in found.values())


def test_errors_are_yielded_before_the_end_of_a_folder_of_unusable_images(describer: Describer, tmp_path: Path) -> None:
    taken = []

    def missing() -> Iterator[tuple[int, Path]]:
        for number in range(1000):
            taken.append(number)
            yield number, tmp_path / f"{number}.jpg"

    stream = describer.stream(missing())
    assert next(stream).error is not None
    assert len(taken) < 200
    assert sum(described.error is not None for described in stream) == 999


def test_describe_raises_for_an_unusable_image(describer: Describer, photos: list[Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone.jpg"
    for images in (gone, [gone], [*photos[:20], gone]):
        with pytest.raises(ImageError, match=r"gone\.jpg: no such file"):
            describer.describe(images)


def test_an_object_that_is_not_an_image_is_a_usage_error(describer: Describer) -> None:
    with pytest.raises(UsageError, match="is not an image"):
        describer.describe(np.zeros(5, np.uint8))


def test_a_stream_reads_few_images_ahead_and_ends_when_closed(describer: Describer, photos: list[Path]) -> None:
    taken = 0

    def endless() -> Iterator[tuple[int, Path]]:
        nonlocal taken
        while True:
            taken += 1
            yield taken, photos[taken % len(photos)]

    stream = describer.stream(endless())
    for _ in range(100):
        next(stream)
    assert taken < 400
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_an_error_of_the_input_iterator_reaches_the_caller(describer: Describer, photos: list[Path]) -> None:
    def source() -> Iterator[tuple[int, Path]]:
        yield from enumerate(photos[:12])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(describer.stream(source()))


def test_images_over_the_pixel_limit_are_refused(recipe: Recipe) -> None:
    strict = Describer(recipe, max_pixels=1000)
    with pytest.raises(ImageError, match="too large"):
        strict.describe(encoded(1))


def test_window_pooling_of_stretched_images_has_a_fixed_dimension(recipe: Recipe) -> None:
    windows = dataclasses.replace(recipe, pooling="window_max", shape="stretch", pooling_options={"window": 2})
    describer = Describer(windows)
    assert describer.dimension == CHANNELS * 2 * 2  # a map of 4 × 4
    rows = describer.describe([picture(1), picture(2, width=30, height=70)])
    assert rows.shape == (2, CHANNELS * 4)
    wide = np.ascontiguousarray(picture(3, width=64, height=64))
    assert np.array_equal(describer.describe(wide), describer.describe(wide.copy()))


def test_window_pooling_without_a_fixed_shape_is_refused(recipe: Recipe) -> None:
    with pytest.raises(
        RecipeError, match="dimension of pooling 'window_max' depends on the image size; expected shape = \"st"
    ):
        Describer(dataclasses.replace(recipe, pooling="window_max"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pooling": "gme"}, "'tiny': unknown pooling 'gme'; did you mean 'gem'"),
        ({"pooling_options": {"q": 3.0}}, "pooling 'gem': unknown option 'q'"),
        ({"pooling_options": {"p": -1.0}}, "p: got -1.0"),
        ({"similarity": "cosin"}, "unknown similarity 'cosin'; did you mean 'cosine'"),
        ({"whitening": "nowhere.npz"}, "whitening 'nowhere.npz' cannot be read (no such file or folder)"),
    ],
)
def test_a_recipe_with_wrong_options_is_refused_on_opening(
    recipe: Recipe, changes: dict[str, object], expected: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        Describer(dataclasses.replace(recipe, **changes))  # type: ignore[arg-type]
    assert expected in str(caught.value)


def test_an_unknown_tap_is_refused(recipe: Recipe) -> None:
    with pytest.raises(ModelError, match="unknown tap 'dep'; did you mean 'deep'"):
        Describer(dataclasses.replace(recipe, taps=("dep",)))
    assert Describer(dataclasses.replace(recipe, taps=("shallow",))).dimension == 16


def test_images_too_small_for_an_unpadded_network_are_image_errors(tmp_path: Path, recipe: Recipe) -> None:
    bare = make_model(tmp_path, padded=False)
    describer = Describer(dataclasses.replace(recipe, backbone=str(bare), multiple=1))
    images = [*(picture(number) for number in range(12)), picture(1, width=40, height=8)]
    errors = [described.error for described in describer.stream(enumerate(images)) if described.error]
    assert [str(error) for error in errors] == ["<ndarray>: too small for the network: 40 × 8 pixels"]
    with pytest.raises(ImageError, match="too small"):
        describer.describe(images[-1])


def test_output_that_is_not_finite_is_an_image_error(tmp_path: Path, recipe: Recipe) -> None:
    describer = Describer(dataclasses.replace(recipe, backbone=str(make_model(tmp_path, scale=1e38))))
    errors = [described.error for described in describer.stream(enumerate(picture(number) for number in range(9)))]
    assert [error.reason for error in errors if error] == ["the output of the network is not finite"] * 9
    with pytest.raises(ImageError, match="is not finite"):
        describer.describe(picture(1))


def test_a_card_with_the_wrong_number_of_channels_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    path = make_model(tmp_path)
    card = path.with_suffix(".toml")
    card.write_text(card.read_text().replace("channels = 32", "channels = 30"))
    expected = f"^{re.escape(str(path))}: tap deep has 32 channels, but its card declares 30; correct the card"
    with pytest.raises(ModelError, match=expected):
        _ = Describer(dataclasses.replace(recipe, backbone=str(path))).extractor  # before anything is described


def test_a_network_of_fixed_input_size_gets_stretched_images(tmp_path: Path, recipe: Recipe) -> None:
    fixed = change_card(make_model(tmp_path), input_size=(48, 32))
    describer = Describer(dataclasses.replace(recipe, backbone=str(fixed), pooling="window_sum"))
    assert describer.dimension == CHANNELS  # of a map of 3 × 2, one window of 2 × 2
    rows = describer.describe([picture(1, width=32, height=48), picture(1, width=100, height=20)])
    assert rows.shape == (2, CHANNELS)


# Whitening


def fitted(recipe: Recipe, photos: list[Path], dimension: int = 8) -> PCAWhitening:
    return fit_whitening(recipe, photos, dimension=dimension)


def load_whitening(recipe: Recipe) -> PCAWhitening:
    bare = dataclasses.replace(recipe, whitening="", dimension=0)
    (whitening,) = load_fitted(recipe, Describer(bare).extractor.identity).whitenings
    assert isinstance(whitening, PCAWhitening)
    return whitening


def whitened(recipe: Recipe, photos: list[Path], folder: Path, dimension: int = 8) -> Recipe:
    save_whitening(folder / "white.npz", fitted(recipe, photos, dimension), recipe)
    return dataclasses.replace(recipe, whitening=str(folder / "white.npz"))


def test_whitening_is_fitted_on_the_vectors_and_applied_to_them(
    recipe: Recipe, describer: Describer, photos: list[Path], tmp_path: Path
) -> None:
    expected = PCAWhitening.fit(describer.describe(photos), dimension=8)
    whitening = fitted(recipe, photos)
    assert np.abs(whitening.mean - expected.mean).max() < 1e-5
    after = Describer(whitened(recipe, photos, tmp_path))
    assert after.dimension == 8
    assert np.abs(after.describe(photos) - expected.transform(describer.describe(photos))).max() < 0.02


def test_unusable_images_are_skipped_in_fitting_a_whitening(recipe: Recipe, photos: list[Path], tmp_path: Path) -> None:
    seen: list[int] = []
    whitening = fit_whitening(recipe, [*photos, tmp_path / "gone.jpg"], dimension=8, progress=seen.append)
    assert seen == list(range(1, 42))
    assert np.abs(whitening.mean - fitted(recipe, photos).mean).max() < 1e-5
    with pytest.raises(UsageError, match="got 5 rows to whiten 8 dimensions"):
        fit_whitening(recipe, photos[:5], dimension=8)


def test_rmac_whitens_each_region_before_the_sum(recipe: Recipe, photos: list[Path], tmp_path: Path) -> None:
    plain = dataclasses.replace(recipe, pooling="rmac", pooling_options={"levels": 2})
    bare, after = Describer(plain), Describer(whitened(plain, photos, tmp_path))
    maps: list[NDArray[np.float32]] = [engine_of(bare).run(decode_to_64(path)[None])[0] for path in photos]
    regions = np.concatenate([l2_normalise(rmac_regions(one, levels=2))[0] for one in maps])
    expected = PCAWhitening.fit(regions, dimension=8)
    assert np.abs(load(after).mean - expected.mean).max() < 1e-4

    def literal(one: NDArray[np.float32]) -> NDArray[np.float32]:
        total = np.zeros(8, np.float64)
        for region in l2_normalise(rmac_regions(one, levels=2))[0]:
            white = load(after).projection @ (region - load(after).mean)
            total += white / np.linalg.norm(white)
        return (total / np.linalg.norm(total)).astype(np.float32)

    assert np.abs(after.describe(photos) - np.stack([literal(one) for one in maps])).max() < 0.02
    assert np.abs(bare.describe(photos[0]) - rmac(maps[0], levels=2)).max() < BF16


def decode_to_64(path: Path) -> NDArray[np.uint8]:
    return resize(decode(path, longest=64).pixels, longest=64, multiple=16)


def load(describer: Describer) -> PCAWhitening:
    (whitening,) = describer.fitted.whitenings
    assert isinstance(whitening, PCAWhitening)
    return whitening


def test_a_loaded_whitening_is_cut_to_the_recipes_dimension(recipe: Recipe, photos: list[Path], tmp_path: Path) -> None:
    whitening, use = fitted(recipe, photos), whitened(recipe, photos, tmp_path)
    rows = Describer(recipe).describe(photos)
    for dimension in (0, 5):
        loaded = load_whitening(dataclasses.replace(use, dimension=dimension))
        assert loaded.dimension == (dimension or 8)
        cut = dataclasses.replace(whitening, projection=whitening.projection[: dimension or 8])
        assert np.abs(loaded.transform(rows) - cut.transform(rows)).max() < 0.002
    with pytest.raises(RecipeError, match="dimension is 9; expected at most the 8 of its whitening"):
        load_whitening(dataclasses.replace(use, dimension=9))
    assert [path.name for path in tmp_path.iterdir()] == ["white.npz"]


@pytest.mark.parametrize("largest", [1e-6, 1e12])
def test_a_saved_whitening_is_scaled_to_half_precision(recipe: Recipe, tmp_path: Path, largest: float) -> None:
    random = np.random.default_rng(0)
    projection = (largest * random.standard_normal((8, 32))).astype(np.float32)
    whitening = PCAWhitening(np.zeros(32, np.float32), projection)
    save_whitening(tmp_path / "white.npz", whitening, recipe)
    loaded = load_whitening(dataclasses.replace(recipe, whitening=str(tmp_path / "white.npz")))
    rows = random.standard_normal((5, 32)).astype(np.float32)
    assert np.abs(loaded.transform(rows) - whitening.transform(rows)).max() < 0.002


def test_a_damaged_whitening_is_reported_with_advice(recipe: Recipe, photos: list[Path], tmp_path: Path) -> None:
    use = whitened(recipe, photos, tmp_path)
    file = Path(use.whitening)
    whole = file.read_bytes()
    alone = io.BytesIO()
    np.save(alone, np.zeros(3))
    for damaged in (b"", b"nothing", whole[: len(whole) // 2], whole[:-30], alone.getvalue()):
        file.write_bytes(damaged)
        with pytest.raises(RecipeError, match=r"white\.npz' cannot be read .*; fit one with kindred fit"):
            load_whitening(use)


def test_chi_square_and_whitening_contradict_each_other(recipe: Recipe, photos: list[Path], tmp_path: Path) -> None:
    use = whitened(recipe, photos, tmp_path)
    with pytest.raises(RecipeError, match="chi_square compares histograms"):
        Describer(dataclasses.replace(use, similarity="chi_square"))
    assert Describer(dataclasses.replace(recipe, similarity="chi_square")).dimension == CHANNELS


# Fingerprint


def test_the_fingerprint_changes_with_everything_that_changes_vectors(
    recipe: Recipe, describer: Describer, photos: list[Path], tmp_path: Path
) -> None:
    white = whitened(recipe, photos, tmp_path)
    other_seed = str(make_model(tmp_path / "seed", seed=8))
    other_mean = str(change_card(make_model(tmp_path / "mean"), mean=(0.0, 0.0, 0.0)))
    recipes = [
        white,
        dataclasses.replace(white, dimension=5),
        dataclasses.replace(recipe, backbone=other_seed),
        dataclasses.replace(recipe, backbone=other_mean),
        dataclasses.replace(recipe, taps=("shallow",)),
        dataclasses.replace(recipe, size=96),
        dataclasses.replace(recipe, multiple=32),
        dataclasses.replace(recipe, shape="stretch"),
        dataclasses.replace(recipe, pooling="max"),
        dataclasses.replace(recipe, pooling_options={"p": 4.0}),
    ]
    described = [Describer(one) for one in recipes]
    assert len({each.fingerprint for each in (describer, *described)}) == len(recipes) + 1
    causes = [each.provenance.differences(describer.provenance, "tiny") for each in described]
    network = ["another network of the name tiny"]
    assert causes == [["another whitening"], ["another whitening"], *[network] * 3, *[["other settings"]] * 5]


def test_the_fingerprint_does_not_depend_on_names_and_locations(
    recipe: Recipe, describer: Describer, photos: list[Path], tmp_path: Path
) -> None:
    moved = dataclasses.replace(
        recipe, name="other", backbone=str(make_model(tmp_path, name="copy")), taps=("deep",), similarity="dot"
    )
    assert Describer(moved).fingerprint == describer.fingerprint
    assert Describer(moved).provenance == describer.provenance
    assert Provenance.from_json(describer.provenance.to_json()) == describer.provenance
    here, there = (whitened(recipe, photos, make_dir(tmp_path / place)) for place in ("here", "there"))
    assert Describer(here).fingerprint == Describer(there).fingerprint


def make_dir(path: Path) -> Path:
    path.mkdir()
    return path


def test_one_worker_gives_the_same_vectors_as_many(recipe: Recipe, tmp_path: Path) -> None:
    paths = make_folder(tmp_path, 20)
    one, many = (Describer(recipe, workers=workers).describe(paths) for workers in (1, 6))
    assert np.abs(one - many).max() < BF16


@pytest.mark.parametrize("key", ["whitening", "codebook"])
def test_hostile_files_of_fitted_parameters_are_refused(tiny: Recipe, tmp_path: Path, key: str) -> None:
    fifo, zero, claims = tmp_path / "fifo.npz", tmp_path / "zero.npz", tmp_path / "claims.npz"
    os.mkfifo(fifo)
    zero.symlink_to("/dev/zero")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    with zipfile.ZipFile(claims, "w") as archive:
        archive.writestr("0.mean.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    reasons = {fifo: "not a regular file", zero: "not a regular file", claims: "with 0 bytes"}
    embedding = {"embedding": "vlad"} if key == "codebook" else {}
    for path, reason in {**reasons, tmp_path / "learned-" / ".." / ".." / "x": "no such file"}.items():
        recipe = dataclasses.replace(tiny, **{key: str(path)}, **embedding)  # type: ignore[arg-type]
        with pytest.raises(RecipeError, match=reason) as caught:
            Describer(recipe)
        assert "\n" not in str(caught.value)
