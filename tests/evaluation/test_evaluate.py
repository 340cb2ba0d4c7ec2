from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kindred.describer import Describer
from kindred.errors import ImageError, RecipeError, UsageError
from kindred.evaluation import Evaluation, evaluate, searching
from kindred.evaluation.describing import DescribingTask
from kindred.index import exact
from kindred.ranking import Ranking
from kindred.recipe import Recipe
from kindred.rerank import Context
from kindred.similarity import SIMILARITIES
from pictures import make_folder

Paint = Callable[[str, str], Path]


@pytest.fixture
def groundtruth(tmp_path: Path, paint: Paint) -> Path:
    """Four pictures to search, three queries in two folders: two found first, one second."""
    for name, colour in {"red": "#d02020", "green": "#20d020", "blue": "#2020d0", "teal": "#10a0a0"}.items():
        paint(f"db/{name}.png", colour)
    paint("near/red.png", "#c03030")
    paint("near/blue.png", "#3030c0")
    paint("far/teal.png", "#20c830")
    queries = {
        "near/red.png": {"relevant": ["db/red.png"]},
        "near/blue.png": {"relevant": ["db/blue.png"]},
        "far/teal.png": {"relevant": ["db/teal.png"]},
    }
    database = [f"db/{name}.png" for name in ("red", "green", "blue", "teal")]
    return write(tmp_path / "images", database, queries)


def write(folder: Path, database: list[str], queries: Mapping[str, object]) -> Path:
    file = folder / "groundtruth.json"
    file.write_text(json.dumps({"name": "colours", "database": database, "queries": queries}))
    return file


class TestEvaluate:
    """Images described and searched."""

    def test_an_evaluation_end_to_end(self, groundtruth: Path, colours: Recipe) -> None:
        steps: list[tuple[int, int]] = []
        found = evaluate(groundtruth, recipe=colours, progress=lambda *step: steps.append(step))
        assert (found.name, found.recipe, found.queries, found.dimension) == ("colours", colours, 3, 6)
        assert found.metrics["recall@1"] == pytest.approx(2 / 3)
        assert found.metrics["mAP"] == pytest.approx((1 + 1 + 1 / 2) / 3)
        assert (found.metrics["recall@1/near"], found.metrics["mAP/far"]) == (1, 0.5)
        assert found.seconds_per_image > 0
        assert found.seconds_per_query > 0
        assert steps == [(done, 7) for done in range(1, 8)]

    def test_as_dict_is_json_with_the_metrics_by_name(self, groundtruth: Path, colours: Recipe) -> None:
        table = json.loads(json.dumps(evaluate(groundtruth, recipe=colours).as_dict()))
        assert table["recall@10"] == 1
        assert (table["name"], table["recipe"], table["queries"]) == ("colours", "colours", 3)
        assert table["digest"] == colours.digest

    @pytest.mark.parametrize("similarity", ["dot", "euclidean", "l1", "chi_square"])
    def test_searches_by_the_similarity_of_the_recipe(
        self, groundtruth: Path, colours: Recipe, similarity: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        used: list[str] = []
        compare = SIMILARITIES[similarity]

        def spy(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
            used.append(similarity)
            scores: NDArray[np.float32] = compare(one, other)
            return scores

        monkeypatch.setattr(exact, "SIMILARITIES", {similarity: spy})
        assert evaluate(groundtruth, recipe=replace(colours, similarity=similarity)).metrics["recall@10"] == 1
        assert used

    def test_the_block_size_does_not_change_results(
        self, groundtruth: Path, colours: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = evaluate(groundtruth, recipe=colours)
        monkeypatch.setattr(searching, "BLOCK_SCORES", 1)
        assert evaluate(groundtruth, recipe=colours).metrics == whole.metrics

    def test_the_box_of_a_query_is_searched(self, tmp_path: Path, paint: Paint, colours: Recipe) -> None:
        paint("db/red.png", "#d02020")
        paint("db/blue.png", "#2020d0")
        paint("both.png", "#d02020 #2020d0")
        for box, right in (([0, 0, 32, 32], "red"), ([32, 0, 64, 32], "blue")):
            queries = {"both.png": {"relevant": [f"db/{right}.png"], "box": box}}
            file = write(tmp_path / "images", ["db/red.png", "db/blue.png"], queries)
            assert evaluate(file, recipe=colours).metrics["recall@1"] == 1

    def test_a_region_is_described_at_the_scale_of_its_image(
        self, tmp_path: Path, colours: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        Image.new("RGB", (256, 128), "red").save(folder / "a.png")
        file = write(folder, ["a.png"], {"a.png": {"relevant": ["a.png"], "box": [0, 0, 128, 64]}})
        seen: list[tuple[int, ...]] = []
        run = Describer.stream

        def spy(self: Describer, items: object, *, is_query: bool = False) -> Iterator[object]:
            listed = list(items)  # type: ignore[call-overload]
            seen.extend(image.shape for _, image in listed if isinstance(image, np.ndarray))
            return run(self, listed, is_query=is_query)

        monkeypatch.setattr(Describer, "stream", spy)
        evaluate(file, recipe=colours)
        assert seen == [(16, 32, 3)]  # 256 pixels become 64, so do 128 become 32

    def test_a_box_outside_its_image_names_the_image(self, tmp_path: Path, paint: Paint, colours: Recipe) -> None:
        paint("a.png", "red")
        entry = {"relevant": ["a.png"], "box": [100, 0, 120, 20]}
        file = write(tmp_path / "images", ["a.png"], {"a.png": entry})
        with pytest.raises(UsageError, match=r"a\.png: box .* does not overlap an image of 64 x 32 pixels"):
            evaluate(file, recipe=colours)

    def test_a_missing_file_is_named_before_anything_is_described(
        self, groundtruth: Path, colours: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (groundtruth.parent / "far/teal.png").unlink()
        monkeypatch.setattr(Describer, "stream", None)
        with pytest.raises(UsageError, match=r"queries names far/teal\.png"):
            evaluate(groundtruth, recipe=colours)

    def test_a_bad_image_is_named(self, groundtruth: Path, colours: Recipe) -> None:
        (groundtruth.parent / "db/green.png").write_bytes(b"no picture")
        with pytest.raises(ImageError, match=r"green\.png: not an image"):
            evaluate(groundtruth, recipe=colours)

    def test_images_may_lie_elsewhere(self, tmp_path: Path, groundtruth: Path, colours: Recipe) -> None:
        moved = tmp_path / "elsewhere.json"
        moved.write_bytes(groundtruth.read_bytes())
        assert evaluate(str(moved), recipe=colours, images=groundtruth.parent).queries == 3
        with pytest.raises(UsageError, match=r"elsewhere\.json: database names db/red\.png"):
            evaluate(moved, recipe=colours)


class TestProtocols:
    """What becomes of a query that is in the database, of wrong results that are added, of re-ranking."""

    @pytest.fixture
    def classes(self, tmp_path: Path, paint: Paint) -> Path:
        """Two reds, two greens that are further apart than one of them is from a red."""
        for name, colour in {"r/1": "#d00000", "r/2": "#c81000", "g/1": "#00d000", "g/2": "#b02000"}.items():
            paint(f"{name}.png", colour)
        return tmp_path / "images"

    def test_every_image_is_described_once_and_taken_out_of_its_own_ranking(
        self, classes: Path, colours: Recipe, described: list[object]
    ) -> None:
        steps: list[tuple[int, int]] = []
        found = evaluate(classes, recipe=colours, progress=lambda *step: steps.append(step))
        assert len(described) == 4
        assert steps[-1] == (4, 4)
        assert (found.queries, found.images) == (4, 4)
        # g/1 is nearest to g/2, which has both reds before it; the reds find each other.
        assert found.metrics["recall@1"] == pytest.approx(3 / 4)
        assert found.metrics["mAP"] == pytest.approx((1 + 1 + 1 + 1 / 3) / 4)
        assert found.cmc == pytest.approx((3 / 4, 3 / 4, 1, 1))
        assert found.seconds_describing == pytest.approx(found.seconds_per_image)

    def test_distractors_are_wrong_results(self, groundtruth: Path, colours: Recipe, paint: Paint) -> None:
        paint("more/near red.png", "#c03030")
        paint("more/deep/white.png", "white")
        (groundtruth.parent / "more/broken.png").write_bytes(b"no picture")
        found = evaluate(groundtruth, recipe=colours, distractors=[groundtruth.parent / "more"])
        assert (found.images, found.distractors, found.skipped) == (6, 2, 1)
        ((path, reason),) = found.skipped_images
        assert path == str(groundtruth.parent / "more/broken.png")
        assert found.as_dict()["skipped_images"] == [{"path": path, "reason": reason}]
        assert reason
        assert Evaluation.from_json(found.to_json(), colours) == found
        assert found.metrics["mAP"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
        # Images of the ground truth itself are no distractors.
        again = evaluate(groundtruth, recipe=colours, distractors=[groundtruth.parent])
        assert (again.images, again.distractors) == (6, 2)
        (groundtruth.parent / "none").mkdir()
        with pytest.raises(UsageError, match="none: contains no image to add"):
            evaluate(groundtruth, recipe=colours, distractors=[groundtruth.parent / "none"])

    def test_the_costs_are_reported_in_parts(self, groundtruth: Path, colours: Recipe) -> None:
        found = evaluate(groundtruth, recipe=colours, rerank="aqe:n=1")
        parts = (found.seconds_describing, found.seconds_searching, found.seconds_reranking)
        assert all(part > 0 for part in parts)
        assert found.seconds_per_query == pytest.approx(sum(parts))
        assert (found.bytes_per_image, found.passes) == (6 * 4, 1)
        assert (found.label, found.rerank) == ("colours + aqe:n=1", ("aqe:n=1",))

    def test_a_function_reranks_the_first_results(self, groundtruth: Path, colours: Recipe) -> None:
        def backwards(ranking: Ranking, context: Context) -> Ranking:
            assert len(context.queries) == len(ranking) == 3
            assert len(context.gallery) == 4
            return Ranking(ranking.ids[:, ::-1], np.tile(np.arange(ranking.ids.shape[1], 0, -1), (3, 1)))

        steps: list[tuple[int, int]] = []
        found = evaluate(
            groundtruth, recipe=colours, rerank=[backwards], depth=2, progress=lambda *step: steps.append(step)
        )
        # Two queries had their result first, one second: the other way round now.
        assert found.metrics["mAP"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
        assert found.rerank == ("backwards",)
        assert steps[-1] == (10, 10)

    def test_a_reranker_that_cannot_be_is_refused_before_anything_is_described(
        self, groundtruth: Path, colours: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Describer, "stream", None)
        with pytest.raises(RecipeError, match="unknown re-ranker 'aq'; did you mean 'aqe'"):
            evaluate(groundtruth, recipe=colours, rerank="aq")
        with pytest.raises(RecipeError, match="'aqe' needs one vector per image, and recipe 'colours' stores"):
            evaluate(groundtruth, recipe=replace(colours, aggregate="multi_vector"), rerank="aqe")

    def test_an_image_without_keypoints_is_named_and_does_not_spoil_the_cache(
        self, tmp_path: Path, described: list[object]
    ) -> None:
        pytest.importorskip("cv2")
        paths = make_folder(tmp_path / "images", 3)
        Image.new("RGB", (200, 200), "white").save(tmp_path / "images/blank.png")
        names = [*(path.name for path in paths[:2]), "blank.png"]
        file = write(tmp_path / "images", names, {paths[2].name: {"relevant": ["00001.jpg"]}})
        for _ in range(2):
            found = evaluate(file, recipe="covers", cache=tmp_path / "cache")
            assert (found.images, found.skipped) == (2, 1)
            assert found.skipped_images == ((str(tmp_path / "images/blank.png"), "no local features found"),)
            assert len(described) == 4  # the second time everything comes from the cache

    def test_a_lenient_cache_does_not_hide_an_unreadable_image_from_a_strict_evaluation(
        self, groundtruth: Path, colours: Recipe, tmp_path: Path
    ) -> None:
        broken = groundtruth.parent / "more/broken.png"
        broken.parent.mkdir()
        broken.write_bytes(b"no picture")
        evaluate(groundtruth, recipe=colours, distractors=[broken.parent], cache=tmp_path / "cache")
        strict = DescribingTask(Describer(colours), cache=tmp_path / "cache")
        with pytest.raises(ImageError, match="broken"):
            strict.describe([(broken, None)])

    def test_an_unusable_image_of_the_database_is_refused_or_left_out(self, tmp_path: Path, colours: Recipe) -> None:
        paths = make_folder(tmp_path / "images", 3)
        broken = tmp_path / "images/broken.jpg"
        broken.write_bytes(b"no picture")
        names = ["00000.jpg", "00001.jpg", "broken.jpg"]
        file = write(tmp_path / "images", names, {paths[2].name: {"relevant": ["00001.jpg", "broken.jpg"]}})
        with pytest.raises(
            ImageError, match=r"; put a sound copy there, .* it: partial=True in Python, --partial on the command"
        ) as caught:
            evaluate(file, recipe=colours)
        assert caught.value.path == broken
        found = evaluate(file, recipe=colours, partial=True)
        assert (found.images, found.skipped) == (2, 1)
        assert found.skipped_images[0][0] == str(broken)
        assert found.metrics["mAP"] <= 0.5  # what is left out is not found

    def test_rerankers_get_local_features_from_the_cache(
        self, tmp_path: Path, colours: Recipe, described: list[object]
    ) -> None:
        pytest.importorskip("cv2")
        paths = make_folder(tmp_path / "images", 3)
        file = write(
            tmp_path / "images", [path.name for path in paths[:2]], {paths[2].name: {"relevant": ["00001.jpg"]}}
        )
        seen: list[list[object]] = []

        def look(ranking: Ranking, context: Context) -> Ranking:
            assert context.query_features is not None
            assert context.image_features is not None
            found = [context.query_features(0), *context.image_features([0, 1])]
            seen.append([(round(float(each.points.sum())), each.frame) for each in found])
            assert None not in [each.frame for each in found]
            assert [len(each) > 0 for each in found] == [True] * 3
            return ranking

        recipe = replace(colours, features="sift")
        for _ in range(2):
            found = evaluate(file, recipe=recipe, rerank=[look], cache=tmp_path / "cache")
        assert seen[0] == seen[1]
        assert len(described) == 3
        assert found.bytes_per_image > 6 * 4
        evaluate(file, recipe=colours, cache=tmp_path / "cache")
        assert len(described) == 6  # without features they are other descriptions

    def test_computations_for_the_whole_gallery_do_not_count_per_query(
        self, groundtruth: Path, colours: Recipe
    ) -> None:
        found = evaluate(groundtruth, recipe=colours, rerank="diffusion")
        assert found.seconds_preparing > 0


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The images that were described, as the tests go on."""
    seen: list[object] = []
    run = Describer.stream

    def spy(self: Describer, items: object, *, is_query: bool = False) -> Iterator[object]:
        listed = list(items)  # type: ignore[call-overload]
        seen.extend(image for _, image in listed)
        return run(self, listed, is_query=is_query)

    monkeypatch.setattr(Describer, "stream", spy)
    return seen


class TestCache:
    """What was described is described once."""

    def test_serves_the_next_evaluation(
        self, tmp_path: Path, groundtruth: Path, colours: Recipe, described: list[object]
    ) -> None:
        cache = tmp_path / "new" / "cache"
        first = evaluate(groundtruth, recipe=colours, cache=cache)
        assert len(described) == 7
        steps: list[tuple[int, int]] = []
        again = evaluate(groundtruth, recipe=colours, cache=cache, progress=lambda *step: steps.append(step))
        assert len(described) == 7
        assert again.metrics == first.metrics
        assert again.seconds_per_image == first.seconds_per_image
        assert steps == [(4, 7), (7, 7)]

    def test_the_cache_is_not_used_after_a_change(
        self, tmp_path: Path, groundtruth: Path, colours: Recipe, described: list[object], paint: Paint
    ) -> None:
        evaluate(groundtruth, recipe=colours, cache=tmp_path)
        described.clear()
        evaluate(groundtruth, recipe=replace(colours, size=32), cache=tmp_path)
        assert len(described) == 7  # another recipe
        described.clear()
        paint("far/teal.png", "#10a0a0 #10a0a1")
        changed = evaluate(groundtruth, recipe=colours, cache=tmp_path)
        assert len(described) == 3  # the queries; the database stayed
        assert changed.metrics["recall@1"] == 1

    def test_is_made_again_where_it_is_damaged(
        self, tmp_path: Path, groundtruth: Path, colours: Recipe, described: list[object]
    ) -> None:
        first = evaluate(groundtruth, recipe=colours, cache=tmp_path)
        kept = sorted(tmp_path.glob("*.npz"))
        assert len(kept) == 2
        kept[0].write_bytes(kept[0].read_bytes()[:50])
        kept[1].write_bytes(b"")
        described.clear()
        assert evaluate(groundtruth, recipe=colours, cache=tmp_path).metrics == first.metrics
        assert len(described) == 7

    @pytest.mark.parametrize(
        "change",
        [
            {"vectors": np.zeros((4, 3), np.float32)},
            {"vectors": np.zeros((4, 32), np.float64)},
            {"counts": np.array([1, 1, 1, 2])},
            {"counts": np.array([1, 1])},
            {"counts": np.array([2**62, 2**62, 2**62, 2**62 + 4])},
            {"counts": np.array([-1, 1, 2, 2])},
            {"words": np.zeros(3, np.int64)},
            {"seconds": np.array(["long"])},
        ],
        ids=str,
    )
    def test_is_made_again_where_it_holds_something_else(
        self,
        tmp_path: Path,
        groundtruth: Path,
        colours: Recipe,
        described: list[object],
        change: dict[str, NDArray[Any]],
    ) -> None:
        first = evaluate(groundtruth, recipe=colours, cache=tmp_path)
        for file in tmp_path.glob("*.npz"):
            with np.load(file) as arrays:
                np.savez(file, **{**arrays, **change})
        described.clear()
        assert evaluate(groundtruth, recipe=colours, cache=tmp_path).metrics == first.metrics
        assert len(described) == 7

    def test_that_cannot_be_written_is_named(self, groundtruth: Path, colours: Recipe) -> None:
        with pytest.raises(UsageError, match="choose another cache"):
            evaluate(groundtruth, recipe=colours, cache=groundtruth / "below a file")
