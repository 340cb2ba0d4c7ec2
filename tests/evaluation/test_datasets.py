"""Published data sets, a few images of each laid out as they are published; nothing of theirs is copied."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kindred.errors import ImageError, UsageError
from kindred.evaluation import DATASETS, GroundTruth, evaluate, read_dataset, score
from kindred.evaluation.buildings import read_oxford, read_paris
from kindred.evaluation.evaluate import Bench
from kindred.evaluation.files import Files
from kindred.evaluation.groundtruth import read_groundtruth
from kindred.evaluation.scoring import main_metric
from kindred.recipe import Recipe


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def write(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")


def asked(truth: GroundTruth) -> dict[str, tuple[set[str], set[str]]]:
    """For each query the names of what is right, and of the junk."""
    (setting,) = truth.settings
    return {
        query.image: (
            {truth.database[place] for place in query.judgements[setting].relevant},
            {truth.database[place] for place in query.judgements[setting].junk},
        )
        for query in truth.queries
    }


@pytest.fixture
def holidays(tmp_path: Path) -> Path:
    """Three groups; as text, 100100 comes before 99900, and the last group is the one that loops lose."""
    touch(tmp_path / "jpg", "100000.jpg", "100001.jpg", "100002.jpg", "100100.jpg", "100101.jpg", "99900.jpg")
    touch(tmp_path / "jpg", "99901.jpg")
    return tmp_path


def published_average_precision(ranks: list[int], relevant: int) -> float:
    """The rule of Holidays' own script: each step of recall has the mean of the precision before and at it."""
    total = 0.0
    for found, rank in enumerate(ranks):
        before = found / rank if rank else 1.0
        at = (found + 1) / (rank + 1)
        total += (before + at) / (2 * relevant)
    return total


class TestHolidays:
    def test_the_query_is_taken_out_of_its_ranking(self, holidays: Path) -> None:
        truth = read_dataset(holidays, "holidays", partial=True)
        assert truth.database[:2] == ("99900.jpg", "99901.jpg")  # by number, not as text
        assert asked(truth) == {
            "99900.jpg": ({"99901.jpg"}, {"99900.jpg"}),
            "100000.jpg": ({"100001.jpg", "100002.jpg"}, {"100000.jpg"}),
            "100100.jpg": ({"100101.jpg"}, {"100100.jpg"}),
        }
        assert [query.itself for query in truth.queries] == [0, 2, 5]

    def test_the_value_of_a_ranking(self, holidays: Path) -> None:
        truth = read_dataset(holidays, "holidays", partial=True)
        by_position = np.arange(7)
        # Ranks without the query itself: 0; 2 and 3; 5. Trapezoids, as the published script sums them.
        found = score(truth, [by_position] * 3)
        published = [published_average_precision(ranks, len(ranks)) for ranks in ([0], [2, 3], [5])]
        assert published == pytest.approx([1, (0 + 1 / 3 + 1 / 3 + 2 / 4) / 4, (0 + 1 / 6) / 2])
        assert found["mAP"] == pytest.approx(sum(published) / 3)

    def test_its_number_of_images_is_checked(self, holidays: Path) -> None:
        with pytest.raises(
            UsageError, match=r"found 7 images; Holidays has 1,491; fetch what is missing; .* partial=True"
        ):
            read_dataset(holidays, "holidays")

    def test_of_the_right_size_passes(self, tmp_path: Path) -> None:
        groups = [[3, 2][number >= 491] for number in range(500)]
        for number, size in enumerate(groups):
            touch(tmp_path, *(f"{100000 + 100 * number + each}.jpg" for each in range(size)))
        assert sum(groups) == 1491
        truth = read_dataset(tmp_path)
        assert (truth.name, len(truth.database), len(truth.queries)) == ("holidays", 1491, 500)
        assert all(query.judgements[""].relevant.size for query in truth.queries)

    def test_other_names_are_refused(self, holidays: Path) -> None:
        touch(holidays / "jpg", "beach.jpg")
        with pytest.raises(UsageError, match=r"beach\.jpg: expected the images of Holidays to be named NUMBER\.jpg"):
            read_dataset(holidays, "holidays", partial=True)


class TestILIAS:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        core = tmp_path / "ilias_core"
        touch(
            core, *(f"cup_000/{name}.jpg" for name in ("query/Q000_00", "query/Q000_01", "pos/P000_00", "pos/P000_01"))
        )
        touch(core, "doll_001/query/Q001_00.jpg", "doll_001/pos/P001_00.jpg")
        write(core / "cup_000" / "query" / "T000.txt", "a cup with a blue handle")
        write(core / "cup_000" / "query" / "Q000_00_bbox.txt", "0 0 9 9")
        write(core / "cup_000" / "pos" / "P000_00_bbox.txt", "318 91 182 190")
        write(core / "cup_000" / "pos" / "P000_01_bbox.txt", "10 20 30 40", "5.5 6 7 8")
        write(core / "doll_001" / "pos" / "P001_00_bbox.txt", "1 2 3 4")
        return tmp_path

    def test_queries_positives_and_boxes(self, folder: Path) -> None:
        truth = read_dataset(folder, partial=True)
        assert (truth.name, truth.protocol, truth.database) == (
            *("ilias", "ilias"),
            ("cup_000/pos/P000_00.jpg", "cup_000/pos/P000_01.jpg", "doll_001/pos/P001_00.jpg"),
        )
        cups = {"cup_000/pos/P000_00.jpg", "cup_000/pos/P000_01.jpg"}
        assert asked(truth) == {
            "cup_000/query/Q000_00.jpg": (cups, set()),
            "cup_000/query/Q000_01.jpg": (cups, set()),
            "doll_001/query/Q001_00.jpg": ({"doll_001/pos/P001_00.jpg"}, set()),
        }
        assert truth.boxes == {
            0: ((318, 91, 500, 281),),
            1: ((10, 20, 40, 60), (5.5, 6, 12.5, 14)),
            2: ((1, 2, 4, 6),),
        }
        assert truth.locate()[0][0] == folder / "ilias_core" / "cup_000" / "pos" / "P000_00.jpg"
        assert truth.digest != replace(truth, boxes={}).digest
        assert read_dataset(folder / "ilias_core", partial=True).digest == truth.digest

    def test_the_main_metric_is_within_the_first_thousand(self, folder: Path) -> None:
        truth = read_dataset(folder, partial=True)
        # sklearn's average precision of the first k, times the share of the smaller of k and the positives.
        order = np.concatenate([[0], np.arange(3, 1002), [1, 2]])  # the second cup has rank 1,001
        found = score(truth, [order] * 3, metrics=["mAP@1k"])
        assert found["mAP@1000"] == found["mAP@1k"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
        assert found["mAP"] == pytest.approx((2 * (1 + 2 / 1001) / 2 + 1 / 1002) / 3)
        assert main_metric(truth) == "mAP@1000"

    def test_counts_and_boxes_are_checked(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="found 2 objects; ILIAS has 1,000; fetch what is missing"):
            read_dataset(folder)
        file = folder / "ilias_core" / "doll_001" / "pos" / "P001_00_bbox.txt"
        for line in ("1 2 3 -4", "1 2 3 nan", "1 2 3 x", "1 2 3 1e9", "-inf 2 3 4"):
            write(file, line)
            with pytest.raises(UsageError, match=rf"P001_00_bbox.txt: got '{line}'; expected x, y, width and height"):
                read_dataset(folder, partial=True)
        write(file, "1 2 3")
        with pytest.raises(UsageError, match="expected 4 columns"):
            read_dataset(folder, partial=True)
        file.unlink()
        assert set(read_dataset(folder, partial=True).boxes) == {0, 1}


class TestUKBench:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        touch(tmp_path / "full", *(f"ukbench{number:05}.jpg" for number in (7, 3, 5, 0, 1, 6, 2, 4)))
        return tmp_path

    def test_four_consecutive_images_show_one_thing(self, folder: Path) -> None:
        truth = read_dataset(folder, partial=True)
        assert (truth.name, truth.protocol, len(truth.queries)) == ("ukbench", "ukbench", 8)
        first = {f"ukbench{number:05}.jpg" for number in range(4)}
        assert asked(truth)["ukbench00002.jpg"] == (first, set())
        assert all(query.itself is None for query in truth.queries)

    def test_the_image_itself_counts(self, folder: Path) -> None:
        truth = read_dataset(folder, partial=True)
        itself_first = [
            np.array([place, *(other for other in range(7, -1, -1) if other != place)]) for place in range(8)
        ]
        # The first four find only themselves, the last four everything.
        assert score(truth, itself_first)["N-S"] == pytest.approx((4 * 1 + 4 * 4) / 8)

    def test_a_group_must_be_complete(self, folder: Path) -> None:
        (folder / "full/ukbench00005.jpg").unlink()
        with pytest.raises(UsageError, match="found 7 images; UKBench has 10,200"):
            read_dataset(folder)
        with pytest.raises(UsageError, match="of the images 4 to 7, which show one object, 3 are there"):
            read_dataset(folder, partial=True)


def buildings(folder: Path, prefix: str, lists: Mapping[str, tuple[str, ...]]) -> Path:
    """One query of Oxford5k or Paris6k, its lists and its images in folders of their own."""
    write(folder / "gt/hall_1_query.txt", f"{prefix}hall_000001 10.5 20 110 220.25")
    for kind, names in lists.items():
        write(folder / f"gt/hall_1_{kind}.txt", *names)
    touch(folder / "images", *(f"hall_{number:06}.jpg" for number in range(1, 7)))
    return folder


class TestBuildings:
    LISTS = {  # noqa: RUF012
        "good": ("hall_000001",),
        "ok": ("hall_000003", "hall_000004"),
        "junk": ("hall_000002",),
    }

    def test_oxford_by_its_text_lists(self, tmp_path: Path) -> None:
        folder = buildings(tmp_path, "oxc1_", self.LISTS)
        truth = read_dataset(folder, partial=True)
        assert (truth.name, truth.protocol, truth.lenient) == ("oxford5k", "oxford", True)
        assert not read_oxford(folder, partial=True).lenient
        assert truth.queries[0].box == (10.5, 20, 110, 220.25)
        image = "images/hall_{:06}.jpg".format
        assert asked(truth) == {image(1): ({image(1), image(3), image(4)}, {image(2)})}
        # Ranks without the junk: 0 for the query itself, which counts, then 2 and 4.
        found = score(truth, [np.array([0, 1, 4, 2, 5, 3])])
        assert found["mAP"] == pytest.approx((2 + (1 / 2 + 2 / 3) + (2 / 4 + 3 / 5)) / 6)

    def test_paris_is_recognised_by_the_names_of_its_queries(self, tmp_path: Path) -> None:
        folder = buildings(tmp_path, "", self.LISTS)
        assert read_dataset(folder, partial=True).name == "paris6k"
        assert read_paris(folder, partial=True).lenient

    def test_counts_are_checked(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="found 6 images; oxford5k has 5,062 or 5,063"):
            read_dataset(buildings(tmp_path, "oxc1_", self.LISTS))

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("query", "oxc1_hall_000001 1 2 3", r"hall_1_query\.txt: line 1 is .*expected 5 columns"),
            ("query", "oxc1_hall_000001 1 2 3 x", r"hall_1_query\.txt: expected one line"),
            ("query", "oxc1_hall_000001 9 2 3 4", r"hall_1_query\.txt: the box is 9 2 3 4; expected x0 < x1"),
            ("query", "oxc1_hall_000009 1 2 3 4", r"hall_1_query\.txt: names hall_000009, which is not among"),
            ("junk", None, r"hall_1_junk\.txt: the list cannot be read \(no such file"),
        ],
    )
    def test_errors_name_what_is_invalid(self, tmp_path: Path, name: str, text: str | None, message: str) -> None:
        file = buildings(tmp_path, "oxc1_", self.LISTS) / f"gt/hall_1_{name}.txt"
        if text is None:
            file.unlink()
        else:
            write(file, text)
        with pytest.raises(UsageError, match=message):
            read_dataset(tmp_path, "oxford5k", partial=True)

    def test_a_name_twice_is_refused(self, tmp_path: Path) -> None:
        touch(buildings(tmp_path, "oxc1_", self.LISTS) / "more", "hall_000003.jpg")
        with pytest.raises(UsageError, match=r"more/hall_000003\.jpg has the name of images/hall_000003\.jpg"):
            read_dataset(tmp_path, partial=True)

    def test_damaged_images_of_paris_are_left_out(self, tmp_path: Path, colours: Recipe) -> None:
        buildings(tmp_path, "", self.LISTS)
        for number in range(1, 6):
            Image.new("RGB", (240, 240), (40 * number, 0, 0)).save(tmp_path / f"images/hall_{number:06}.jpg")
        found = evaluate(tmp_path, recipe=colours, partial=True)
        assert (found.images, found.skipped, found.queries) == (5, 1, 1)
        # Of another set only if it is partial, which this one is read as.
        truth = read_oxford(tmp_path, partial=True)
        with pytest.raises(ImageError, match=r"hall_000006\.jpg: empty file; put a sound copy there"):
            Bench(truth, Files.of(truth), colours).measure()
        assert evaluate(tmp_path, recipe=colours, dataset="oxford5k", partial=True).skipped == 1


class TestRevisited:
    def test_a_pickle_is_refused_and_never_opened(self, tmp_path: Path) -> None:
        trap = tmp_path / "gnd_roxford5k.pkl"
        trap.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
        for path in (tmp_path, trap):
            with pytest.raises(
                UsageError, match=r"gnd_roxford5k\.pkl: reading a pickle can execute any code.*convert it to JSON"
            ):
                read_dataset(path)
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.shared
    @pytest.mark.parametrize(("name", "images"), [("roxford5k", 4993), ("rparis6k", 6322)])
    def test_the_json_form_beside_the_images(self, shared: Path, tmp_path: Path, name: str, images: int) -> None:
        (tmp_path / f"{name}.json").symlink_to(shared / f"data/groundtruth-only/{name}.json")
        (tmp_path / "jpg").mkdir()
        truth = read_dataset(tmp_path)
        assert (truth.name, truth.protocol, len(truth.database), len(truth.queries)) == (name, "revisited", images, 70)
        assert truth.root == tmp_path / "jpg"

    def test_an_incomplete_set_is_refused(self, tmp_path: Path) -> None:
        query = '{"image": "q", "bbx": null, "easy": [0], "hard": [], "junk": []}'
        write(tmp_path / "rparis6k.json", f'{{"images": ["a"], "queries": [{query}]}}')
        with pytest.raises(UsageError, match="found 1 images; rparis6k has 6,322"):
            read_dataset(tmp_path)
        assert len(read_dataset(tmp_path, partial=True).queries) == 1


class Trap:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


class TestClasses:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        touch(tmp_path / "set", "cat/a.jpg", "cat/b.png", "cat/deep/c.jpg", "dog/a.jpg", "dog/b.jpg", "owl/a.jpg")
        return tmp_path / "set"

    def test_every_image_is_a_query_for_the_others_of_its_class(self, folder: Path) -> None:
        truth = read_dataset(folder)
        assert (truth.name, truth.protocol) == ("set", "plain")
        assert asked(truth)["cat/b.png"] == ({"cat/a.jpg", "cat/deep/c.jpg"}, {"cat/b.png"})
        assert asked(truth)["owl/a.jpg"] == (set(), {"owl/a.jpg"})
        assert [query.itself for query in truth.queries] == list(range(6))

    def test_the_value_of_a_ranking(self, folder: Path) -> None:
        truth = read_dataset(folder)
        found = score(truth, [np.arange(6)] * 6)
        # Ranks: cat 0 1, 0 1, 0 1; dog 3, 3; the owl is alone and asks nothing.
        assert found["recall@1"] == pytest.approx(3 / 5)
        assert found["recall@4"] == 1
        assert found["mAP"] == pytest.approx((3 * 1 + 2 * 1 / 4) / 5)
        assert found["R-precision"] == found["MAP@R"] == pytest.approx(3 / 5)

    def test_stray_images_and_single_ones_are_refused(self, folder: Path, tmp_path: Path) -> None:
        touch(folder, "stray.jpg")
        with pytest.raises(UsageError, match=r"stray\.jpg: is in no class"):
            read_dataset(folder, "classes")
        touch(tmp_path / "single", "a/1.jpg", "b/1.jpg")
        with pytest.raises(UsageError, match="no class has two images"):
            read_dataset(tmp_path / "single")


class TestProducts:
    def test_the_test_half_of_sop(self, tmp_path: Path) -> None:
        write(
            tmp_path / "Ebay_test.txt",
            "image_id class_id super_class_id path",
            "59552 11319 1 bicycle_final/a_0.JPG",
            "59553 11319 1 bicycle_final/a_1.JPG",
            "59554 11320 1 bicycle_final/b_0.JPG",
        )
        truth = read_dataset(tmp_path, partial=True)
        assert truth.recalls == (1, 10, 100, 1000)
        assert asked(truth)["bicycle_final/a_0.JPG"] == ({"bicycle_final/a_1.JPG"}, {"bicycle_final/a_0.JPG"})
        assert set(score(truth, [np.arange(3)] * 3)) >= {"recall@1", "recall@10", "recall@100", "recall@1000"}
        with pytest.raises(UsageError, match="found 3 images; the test half of SOP has 60,502"):
            read_dataset(tmp_path)
        write(tmp_path / "Ebay_test.txt", "59552 11319 1")
        with pytest.raises(UsageError, match="line 1 is '59552 11319 1'; expected 4 columns"):
            read_dataset(tmp_path, partial=True)

    def test_cub_uses_the_test_classes(self, tmp_path: Path) -> None:
        names = {1: "099.Hawk/x.jpg", 2: "101.Owl/a b.jpg", 3: "101.Owl/c.jpg", 4: "200.Wren/d.jpg"}
        write(tmp_path / "images.txt", *(f"{number} {name}" for number, name in names.items()))
        write(tmp_path / "image_class_labels.txt", "1 99", "2 101", "3 101", "4 200")
        truth = read_dataset(tmp_path, partial=True)
        assert truth.database == ("101.Owl/a b.jpg", "101.Owl/c.jpg", "200.Wren/d.jpg")
        assert asked(truth)["101.Owl/c.jpg"] == ({"101.Owl/a b.jpg"}, {"101.Owl/c.jpg"})
        assert truth.root == tmp_path / "images"
        with pytest.raises(UsageError, match="found 3 images; CUB-200-2011"):
            read_dataset(tmp_path)
        write(tmp_path / "image_class_labels.txt", "1 99")
        with pytest.raises(UsageError, match="do not list the same images"):
            read_dataset(tmp_path, partial=True)
        write(tmp_path / "image_class_labels.txt", "1 99", "2 101", "3 owl", "4 200")
        with pytest.raises(UsageError, match=r"image_class_labels\.txt: 'owl' is not a class"):
            read_dataset(tmp_path, partial=True)

    def test_cars_by_its_matlab_file(self, tmp_path: Path) -> None:
        savemat = pytest.importorskip("scipy.io").savemat
        kind = [("relative_im_path", "O"), ("bbox_x1", "O"), ("class", "O"), ("test", "O")]
        rows = [("car_ims/1.jpg", 1, 98, 0), ("car_ims/2.jpg", 1, 99, 0), ("car_ims/3.jpg", 1, 99, 1)]
        savemat(tmp_path / "cars_annos.mat", {"annotations": np.array([rows], dtype=kind)})
        truth = read_dataset(tmp_path, partial=True)
        assert asked(truth) == {
            "car_ims/2.jpg": ({"car_ims/3.jpg"}, {"car_ims/2.jpg"}),
            "car_ims/3.jpg": ({"car_ims/2.jpg"}, {"car_ims/3.jpg"}),
        }
        for damage in (b"", b"MATLAB 5.0 MAT-file" * 20):
            (tmp_path / "cars_annos.mat").write_bytes(damage)
            with pytest.raises(UsageError, match=r"cars_annos\.mat: expected the annotations of Cars196"):
                read_dataset(tmp_path)


class TestReading:
    def test_a_folder_with_a_groundtruth(self, tmp_path: Path) -> None:
        write(tmp_path / "groundtruth.json", '{"database": ["a.jpg"], "queries": {"q.jpg": {"relevant": ["a.jpg"]}}}')
        assert read_dataset(tmp_path).database == ("a.jpg",)
        assert read_dataset(tmp_path / "groundtruth.json").database == ("a.jpg",)
        assert read_dataset(tmp_path, "json").database == ("a.jpg",)

    def test_an_unrecognised_set_lists_the_known_ones(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"not the layout of a known data set \(json, revisited, sop, "):
            read_dataset(tmp_path)
        with pytest.raises(UsageError, match="unknown dataset 'holiday'; did you mean 'holidays'"):
            read_dataset(tmp_path, "holiday")
        with pytest.raises(UsageError, match="no such folder; give the folder of sop"):
            read_dataset(tmp_path / "gone", "sop")
        with pytest.raises(UsageError, match=r"gone: the ground truth cannot be read"):
            read_dataset(tmp_path / "gone")

    @pytest.mark.parametrize("name", DATASETS)
    def test_an_empty_folder_is_an_error_that_names_it(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UsageError, match=str(tmp_path)) as caught:
            read_dataset(tmp_path, name)
        assert "\n" not in str(caught.value)

    def test_the_digest_depends_on_queries_and_judgements(self, holidays: Path) -> None:
        truth = read_dataset(holidays, "holidays", partial=True)
        assert truth.digest == replace(truth, file=Path("elsewhere"), root=None).digest
        assert truth.digest != replace(truth, protocol="oxford").digest
        assert truth.digest != replace(truth, queries=truth.queries[:2]).digest

    @pytest.mark.shared
    @pytest.mark.parametrize("name", ["smvs-dvd", "gardens-point", "grocery"])
    def test_the_development_sets_as_folders(self, shared: Path, name: str) -> None:
        folder = shared / "data" / name
        assert read_dataset(folder).digest == read_groundtruth(folder / "groundtruth.json").digest


class TestLocScore:
    def test_of_recipes_with_one_and_with_several_rows(self, tmp_path: Path, colours: Recipe) -> None:
        """The object is the top-left quarter of each image: one row is exact, the whole image four times as large."""
        for number, colour in enumerate(("red", "lime", "blue")):
            folder = tmp_path / "set" / f"thing_{number:03}"
            for kind in ("query", "pos"):
                (folder / kind).mkdir(parents=True)
            scene = Image.new("RGB", (64, 32), "black")
            scene.paste(colour, (0, 0, 32, 16))
            scene.save(folder / "pos" / f"P{number:03}_00.png")
            Image.new("RGB", (64, 32), colour).save(folder / "query" / f"Q{number:03}_00.png")
            write(folder / "pos" / f"P{number:03}_00_bbox.txt", "0 0 32 16")
        rows = replace(colours, name="rows", passes="grid", passes_options={"cells": 2}, aggregate="multi_vector")
        for recipe, expected in ((colours, 1 / 4), (rows, 1.0)):
            for _ in range(2):  # the second time from the cache
                found = evaluate(
                    tmp_path / "set", recipe=recipe, dataset="ilias", partial=True, cache=tmp_path / "cache"
                )
                assert (found.main, found.metrics["mAP"]) == ("mAP@1000", 1)
                assert found.metrics["LocScore"] == pytest.approx(expected)
        found = evaluate(tmp_path / "set", recipe=colours, dataset="ilias", partial=True, rerank="aqe")
        assert "LocScore" not in found.metrics
        for number in range(3):  # the lower right quarter, in which nothing is
            write(tmp_path / "set" / f"thing_{number:03}" / "pos" / f"P{number:03}_00_bbox.txt", "32 16 32 16")
        assert evaluate(tmp_path / "set", recipe=rows, dataset="ilias", partial=True).metrics["LocScore"] == 0
