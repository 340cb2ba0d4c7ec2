from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kindred.describer import Describer
from kindred.errors import ImageError, UsageError
from kindred.evaluation import METRICS, GroundTruth, Judgement, Query, evaluate, read_groundtruth, score
from kindred.recipe import Recipe

Paint = Callable[[str, str], Path]

module = importlib.import_module("kindred.evaluation.evaluate")  # the package's `evaluate` is the function


def positions(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def query(image: str = "q", *, relevant: tuple[int, ...], junk: tuple[int, ...] = ()) -> Query:
    return Query(image, None, {"": Judgement(positions(*relevant), positions(*junk))})


def truth_of(*queries: Query, protocol: str = "plain", count: int = 6) -> GroundTruth:
    database = tuple(f"{number}.png" for number in range(count))
    return GroundTruth("made", Path("made.json"), protocol, database, queries)  # type: ignore[arg-type]


class TestScore:
    """Rankings made by hand."""

    def test_a_perfect_ranking_reaches_one_in_every_metric(self) -> None:
        truth = truth_of(query(relevant=(4, 2)), query(relevant=(1,), junk=(0,)))
        found = score(truth, [positions(2, 4, 0, 1, 3, 5), positions(0, 1, 2, 3, 4, 5)])
        assert found == dict.fromkeys(METRICS["plain"], 1.0)

    def test_a_ranking_worked_out_by_hand(self) -> None:
        # Ranks without the junk: 1 and 3 of the first query, 0 of the second.
        truth = truth_of(query(relevant=(4, 2), junk=(5,)), query(relevant=(1,)))
        found = score(truth, [positions(0, 5, 4, 1, 2, 3), positions(1, 0, 2, 3, 4, 5)])
        assert found == pytest.approx(
            {
                "recall@1": 0.5,
                "recall@10": 1.0,
                "mAP": ((1 / 2 + 2 / 4) / 2 + 1) / 2,
                "MAP@R": ((1 / 2) / 2 + 1) / 2,
                "R-precision": (1 / 2 + 1) / 2,
            }
        )

    def test_oxford_takes_the_trapezoids(self) -> None:
        truth = truth_of(query(relevant=(0, 1, 2)), protocol="oxford", count=6)
        found = score(truth, [positions(0, 3, 1, 4, 5, 2)])
        assert found == pytest.approx({"recall@1": 1, "recall@10": 1, "mAP": 0.677778}, abs=1e-6)

    def test_queries_without_relevant_images_are_skipped_not_zero(self) -> None:
        truth = truth_of(query(relevant=()), query(relevant=(3,)))
        order = positions(3, 0, 1, 2, 4, 5)
        assert score(truth, [order, order])["mAP"] == 1

    def test_rankings_may_be_cut_off_or_padded(self) -> None:
        truth = truth_of(query(relevant=(0, 1)))
        assert score(truth, [positions(0)])["mAP"] == 0.5
        assert score(truth, [positions(0, -1, -1)])["mAP"] == 0.5
        assert score(truth, [positions()])["recall@10"] == 0

    def test_folders_of_queries_are_also_scored_alone(self) -> None:
        truth = truth_of(query("one/a", relevant=(0,)), query("two/a", relevant=(1,)))
        order = positions(0, 1)
        found = score(truth, [order, order])
        assert (found["recall@1"], found["recall@1/one"], found["recall@1/two"]) == (0.5, 1, 0)
        assert (found["mAP"], found["mAP/two"]) == (0.75, 0.5)
        alone = score(truth_of(query("one/a", relevant=(0,))), [order])
        assert not any("/" in name for name in alone)

    def test_the_settings_of_the_revisited_protocol(self) -> None:
        easy, hard = positions(0), positions(1, 2)
        judgements = {
            "easy": Judgement(easy, hard),
            "medium": Judgement(positions(0, 1, 2), positions()),
            "hard": Judgement(hard, easy),
        }
        only_hard = {
            "easy": Judgement(positions(), positions(3)),
            "medium": Judgement(positions(3), positions()),
            "hard": Judgement(positions(3), positions()),
        }
        truth = truth_of(Query("q", None, judgements), Query("r", None, only_hard), protocol="revisited")
        found = score(truth, [positions(1, 0, 4, 2, 3, 5), positions(3, 0, 1, 2, 4, 5)])
        # Easy: rank 0 (1 and 2 are junk), the second query skipped. Hard: ranks 0 and 2. Medium: 0, 1 and 3.
        assert (found["mAP/easy"], found["recall@1/easy"]) == (1, 1)
        assert found["mAP/hard"] == pytest.approx(((1 + (1 / 2 + 2 / 3) / 2) / 2 + 1) / 2)
        medium = (1 + 1 + (2 / 3 + 3 / 4) / 2) / 3
        assert found["mAP/medium"] == found["mAP"] == pytest.approx((medium + 1) / 2)
        assert found["mP@5/medium"] == found["mP@5"] == pytest.approx((3 / 4 + 1) / 2)
        assert found["mP@1/hard"] == 1

    def test_the_number_of_rankings_must_be_that_of_the_queries(self) -> None:
        truth = truth_of(query(relevant=(0,)), query(relevant=(1,)))
        order = positions(0, 1)
        for orders in ([order], [order] * 3):
            with pytest.raises(UsageError, match="one ranking for each of the 2 queries"):
                score(truth, orders)

    def test_something_must_be_relevant(self) -> None:
        with pytest.raises(UsageError, match="no query has a relevant image"):
            score(truth_of(query(relevant=())), [positions(0)])

    @pytest.mark.shared
    @pytest.mark.parametrize("name", ["oxford5k", "rparis6k", "roxford5k"])
    def test_perfect_and_reversed_rankings_of_the_benchmarks(self, shared: Path, name: str) -> None:
        truth = read_groundtruth(shared / f"data/groundtruth-only/{name}.json")
        setting = truth.settings[-1]  # the hard one, where there are several
        count = len(truth.database)

        def orders(*, first: bool) -> Iterator[NDArray[np.int64]]:
            for asked in truth.queries:
                right = np.zeros(count, bool)
                right[asked.judgements[setting].relevant] = True
                yield np.argsort(right != first, kind="stable")

        suffix = f"/{setting}" if setting else ""
        assert score(truth, orders(first=True))[f"mAP{suffix}"] == 1
        assert score(truth, orders(first=False))[f"mAP{suffix}"] < 0.05

    @pytest.mark.shared
    def test_the_easy_setting_of_roxford_has_queries_to_skip(self, shared: Path) -> None:
        truth = read_groundtruth(shared / "data/groundtruth-only/roxford5k.json")
        assert sum(asked.judgements["easy"].relevant.size > 0 for asked in truth.queries) == 68
        perfect = [asked.judgements["easy"].relevant for asked in truth.queries]
        assert score(truth, perfect)["mAP/easy"] == 1


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

    def test_the_whole_way(self, groundtruth: Path, colours: Recipe) -> None:
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
        compare = module.SIMILARITIES[similarity]

        def spy(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
            used.append(similarity)
            scores: NDArray[np.float32] = compare(one, other)
            return scores

        monkeypatch.setattr(module, "SIMILARITIES", {similarity: spy})
        assert evaluate(groundtruth, recipe=replace(colours, similarity=similarity)).metrics["recall@10"] == 1
        assert used

    def test_the_size_of_a_block_changes_nothing(
        self, groundtruth: Path, colours: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = evaluate(groundtruth, recipe=colours)
        monkeypatch.setattr(module, "BLOCK_SCORES", 1)
        assert evaluate(groundtruth, recipe=colours).metrics == whole.metrics

    def test_a_box_is_what_is_searched_with(self, tmp_path: Path, paint: Paint, colours: Recipe) -> None:
        paint("db/red.png", "#d02020")
        paint("db/blue.png", "#2020d0")
        paint("both.png", "#d02020 #2020d0")
        for box, right in (([0, 0, 32, 32], "red"), ([32, 0, 64, 32], "blue")):
            queries = {"both.png": {"relevant": [f"db/{right}.png"], "box": box}}
            file = write(tmp_path / "images", ["db/red.png", "db/blue.png"], queries)
            assert evaluate(file, recipe=colours).metrics["recall@1"] == 1

    def test_a_part_keeps_the_scale_of_its_image(
        self, tmp_path: Path, colours: Recipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        Image.new("RGB", (256, 128), "red").save(folder / "a.png")
        file = write(folder, ["a.png"], {"a.png": {"relevant": ["a.png"], "box": [0, 0, 128, 64]}})
        seen: list[tuple[int, ...]] = []
        run = Describer.stream

        def spy(self: Describer, items: object) -> Iterator[object]:
            listed = list(items)  # type: ignore[call-overload]
            seen.extend(image.shape for _, image in listed if isinstance(image, np.ndarray))
            return run(self, listed)

        monkeypatch.setattr(Describer, "stream", spy)
        evaluate(file, recipe=colours)
        assert seen == [(16, 32, 3)]  # 256 pixels become 64, so do 128 become 32

    def test_a_box_outside_its_image_names_the_image(self, tmp_path: Path, paint: Paint, colours: Recipe) -> None:
        paint("a.png", "red")
        entry = {"relevant": ["a.png"], "box": [100, 0, 120, 20]}
        file = write(tmp_path / "images", ["a.png"], {"a.png": entry})
        with pytest.raises(UsageError, match=r"a\.png: box .* holds no pixel of an image of 64 x 32"):
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


class TestCache:
    """What was described is described once."""

    @pytest.fixture
    def described(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """The images that were described, as the tests go on."""
        seen: list[object] = []
        run = Describer.stream

        def spy(self: Describer, items: object) -> Iterator[object]:
            listed = list(items)  # type: ignore[call-overload]
            seen.extend(image for _, image in listed)
            return run(self, listed)

        monkeypatch.setattr(Describer, "stream", spy)
        return seen

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

    def test_is_not_believed_after_a_change(
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

    def test_that_cannot_be_written_is_named(self, groundtruth: Path, colours: Recipe) -> None:
        with pytest.raises(UsageError, match="choose another cache"):
            evaluate(groundtruth, recipe=colours, cache=groundtruth / "below a file")
