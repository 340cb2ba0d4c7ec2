"""Validation: figures by the slowest way, and sets of queries that are fair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from class_folders import make_classes
from kindred.errors import UsageError
from kindred.evaluation.datasets import read_dataset
from kindred.training.image_cache import read_images
from kindred.training.tuning.labels import LabelledImages, read_classes
from kindred.training.tuning.validation import Validation, class_validation, hold_out, view_validation
from pictures import make_folder, make_groundtruth


def _vectors(count: int, *, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _numbers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _paths(count: int) -> tuple[Path, ...]:
    return tuple(Path(f"{number}.jpg") for number in range(count))


def _slow(validation: Validation, vectors: NDArray[np.float32]) -> dict[str, float]:
    """The figures by loops, as the definitions have them."""
    precisions, first, ten = [], [], []
    for query, relevant, junk in zip(validation.queries, validation.relevant, validation.junk, strict=True):
        results = []
        for place, number in enumerate(validation.database):
            if number != query and place not in junk:
                results.append((-float(vectors[number] @ vectors[query]), place))
        right = [place in relevant for _, place in sorted(results)]
        if len(relevant):
            precisions.append(
                sum(sum(right[: at + 1]) / (at + 1) for at in range(len(right)) if right[at]) / len(relevant)
            )
            first.append(float(right[0]))
            ten.append(float(any(right[:10])))
    return {"mAP": float(np.mean(precisions)), "recall@1": float(np.mean(first)), "recall@10": float(np.mean(ten))}


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_the_definitions(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 6, 40)
    rng = np.random.default_rng([seed, 1])
    everything = np.arange(40)
    validation = class_validation(_paths(40), labels, np.sort(rng.choice(40, 15, replace=False)), everything)
    vectors = _vectors(40, seed=seed)
    assert validation.metrics(validation.rank(vectors)) == pytest.approx(_slow(validation, vectors))
    assert 0 < validation.metrics(validation.rank(vectors))["mAP"] < 1


def test_what_is_perfect_is_one_and_itself_is_never_a_result() -> None:
    labels = np.repeat(np.arange(4), 3)
    vectors = np.eye(4, dtype=np.float32)[labels]
    validation = class_validation(_paths(12), labels, np.arange(12), np.arange(12))
    assert validation.metrics(validation.rank(vectors)) == {"mAP": 1.0, "recall@1": 1.0, "recall@10": 1.0}
    for query, results in enumerate(validation.rank(vectors)):
        assert query not in validation.database[results]
        assert len(results) == 11
    assert [len(results) for results in validation.top(validation.rank(vectors), 3)] == [3] * 12


def test_junk_is_neither_right_nor_wrong() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], np.float32)
    database = _numbers(1, 2, 3)
    plain = Validation(_paths(4), _numbers(0), database, (_numbers(1),), (_numbers(),))
    junked = Validation(_paths(4), _numbers(0), database, (_numbers(1),), (_numbers(0),))
    assert plain.metrics(plain.rank(vectors))["mAP"] == 0.5
    assert junked.metrics(junked.rank(vectors))["mAP"] == 1.0
    assert [results.tolist() for results in junked.rank(vectors)] == [[1, 2]]


def test_images_without_a_vector_come_last() -> None:
    vectors = np.array([[1, 0], [0, 0], [0.5, 0.5]], np.float32)
    validation = Validation(_paths(3), _numbers(0), _numbers(1, 2), (_numbers(1),), (_numbers(),))
    assert validation.metrics(validation.rank(vectors))["recall@1"] == 1.0


def test_a_ground_truth_is_taken_as_it_is(tmp_path: Path) -> None:
    truth = read_dataset(make_groundtruth(tmp_path, count=12, asked=6))
    validation = Validation.from_groundtruth(truth)
    assert len(validation.paths) == 12 + 4  # two queries lie in the database
    assert [validation.paths[number] for number in validation.queries] == truth.locate()[1]
    assert [validation.paths[number] for number in validation.database] == truth.locate()[0]
    assert [relevant.tolist() for relevant in validation.relevant] == [[0], [1], [2], [3], [4], [5]]
    results = validation.rank(_vectors(16))
    assert [len(each) for each in results] == [12, 12, 12, 12, 11, 11]


def test_a_query_by_another_path_is_no_result_to_itself(tmp_path: Path) -> None:
    names = [path.name for path in make_folder(tmp_path / "set", 3)]
    (tmp_path / "set" / "link.jpg").symlink_to(tmp_path / "set" / names[0])
    file = tmp_path / "set" / "truth.json"
    queries = {"link.jpg": {"relevant": [names[1]]}, names[2]: {"relevant": [names[2], names[1]]}}
    file.write_text(json.dumps({"name": "small", "database": names, "queries": queries}))
    validation = Validation.from_groundtruth(read_dataset(file))
    assert len(validation.paths) == 3
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)  # the link's, that of names[2], that of names[1]
    results = validation.rank(vectors)
    assert [sorted(each.tolist()) for each in results] == [[1, 2], [0, 1]]
    assert validation.metrics(results)["mAP"] == 1


def test_equal_vectors_show_no_gain() -> None:
    """A network that sees everything alike: in a database class by class, by position, class 0 would be found."""
    labels = np.repeat(np.arange(10), 10)
    validation = class_validation(_paths(100), labels, np.arange(10), np.arange(100))
    ranked = validation.rank(np.ones((100, 4), np.float32))
    assert validation.metrics(ranked)["mAP"] < 0.3


def test_vectors_that_are_no_numbers_find_nothing_and_are_not_found() -> None:
    vectors = _vectors(6)
    vectors[0], vectors[4, 1] = np.nan, -np.nan
    validation = class_validation(_paths(6), np.zeros(6, np.int64), np.arange(2), np.arange(6))
    first, second = validation.rank(vectors)
    assert first.tolist() == []
    assert sorted(second.tolist()) == [2, 3, 5]


def test_holidays_is_validated_by_its_own_average_precision(tmp_path: Path) -> None:
    for name in ("100000", "100001", "100002", "100100", "100101"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.jpg")
    validation = Validation.from_groundtruth(read_dataset(tmp_path, "holidays", partial=True))
    results = [np.array([3, 1, 2, 4]), np.array([4])]  # ranks 1 and 2 of two, and 0 of one
    figures = validation.metrics(results)
    assert figures["mAP"] == pytest.approx((((0 + 1 / 2) + (1 / 2 + 2 / 3)) / 4 + 1) / 2)


def test_a_folder_of_classes_is_a_ground_truth(tmp_path: Path) -> None:
    make_classes(tmp_path / "set", {"a": 3, "b": 2})
    validation = Validation.from_groundtruth(read_dataset(tmp_path / "set"))
    assert (len(validation.queries), len(validation.database)) == (5, 5)
    labels = np.array([path.parent.name == "b" for path in validation.paths]).astype(np.int64)
    vectors = _vectors(5)
    slow = class_validation(validation.paths, labels, validation.queries, validation.database)
    assert validation.metrics(validation.rank(vectors)) == pytest.approx(_slow(slow, vectors))


def test_a_query_without_its_like_is_not_asked() -> None:
    labels = _numbers(0, 0, 1, 2, 2)
    validation = class_validation(_paths(5), labels, np.arange(5), _numbers(0, 1, 2, 3))
    assert validation.queries.tolist() == [0, 1, 4]
    assert [relevant.tolist() for relevant in validation.relevant] == [[1], [0], [3]]
    with pytest.raises(UsageError, match="no query has another image of its class to find; expected classes of two"):
        class_validation(_paths(5), labels, _numbers(2), np.arange(5))


def _data(counts: dict[str, int], unlabelled: int = 0) -> LabelledImages:
    labels = np.repeat(np.arange(len(counts)), list(counts.values()))
    labels = np.concatenate([labels, np.full(unlabelled, -1)])
    return LabelledImages(_paths(len(labels)), labels, tuple(counts))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_every_class_keeps_two_images_to_learn_from(share: float) -> None:
    counts = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 20}
    data = _data(counts, unlabelled=3)
    left, validation = hold_out(data, share=share, seed=1)
    assert validation is not None
    kept = np.bincount(data.labels[left][data.labels[left] >= 0], minlength=5)
    assert kept.tolist() == [
        *(1, 2, 2),
        max(2, 4 - max(1, round(4 * share))),
        max(2, 20 - round(20 * share)),
    ]
    assert set(left) | set(validation.queries) == set(range(33))
    assert not set(left) & set(validation.queries)
    assert validation.database.tolist() == left.tolist()
    for query, relevant in zip(validation.queries, validation.relevant, strict=True):
        assert set(data.labels[validation.database[relevant]]) == {data.labels[query]}
        assert len(relevant) == kept[data.labels[query]]


def test_what_is_held_out_follows_from_the_seed() -> None:
    data = _data({"a": 30, "b": 30})
    first, again, other = (hold_out(data, share=0.2, seed=seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_validation_is_no_larger_than_asked() -> None:
    data = _data({"a": 100, "b": 100})
    left, validation = hold_out(data, share=0.5, seed=0, most_queries=7, most_database=30)
    assert validation is not None
    assert (len(left), len(validation.queries), len(validation.database)) == (100, 7, 30)
    assert set(validation.database) <= set(left)


def test_of_many_classes_those_that_are_looked_for_are_in_the_database() -> None:
    data = _data({str(number): 3 for number in range(600)})
    _, validation = hold_out(data, share=0.3, seed=0, most_queries=20, most_database=100)
    assert validation is not None
    assert (len(validation.queries), len(validation.database)) == (20, 100)
    assert [len(relevant) for relevant in validation.relevant] == [2] * 20
    _, scarce = hold_out(data, share=0.3, seed=0, most_queries=20, most_database=2)
    assert scarce is not None
    assert len(scarce.queries) >= 1


@pytest.mark.parametrize(("counts", "share"), [({"a": 2, "b": 2}, 0.5), ({"a": 9, "b": 9}, 0.0)])
def test_nothing_to_spare_is_no_validation(counts: dict[str, int], share: float) -> None:
    data = _data(counts)
    left, validation = hold_out(data, share=share, seed=0)
    assert validation is None
    assert left.tolist() == list(range(len(data)))


def test_views_look_for_their_images(tmp_path: Path) -> None:
    pictures, _ = read_images(make_folder(tmp_path, 8), longest=64)
    validation, shown = view_validation(pictures, seed=3, most=5)
    assert (len(validation.queries), len(validation.database), len(shown), len(validation.paths)) == (5, 5, 10, 10)
    for query, (number, relevant) in enumerate(zip(validation.queries, validation.relevant, strict=True)):
        whole = int(validation.database[relevant[0]])
        name = validation.paths[whole].name
        assert validation.paths[number].name == f"view of {name}"
        np.testing.assert_array_equal(shown[whole], pictures[int(name.partition(".")[0])])
        assert shown[int(number)].shape == (45, 45, 3)
        assert relevant.tolist() == [query]
    colours = np.stack([shown[number].mean(axis=(0, 1)) for number in range(10)])
    right = np.abs(colours[:5, None] - colours[None, 5:]).sum(axis=2).argmin(axis=1)
    assert (right == np.arange(5)).sum() >= 3
    again, also = view_validation(pictures, seed=3, most=5)
    assert again.paths == validation.paths
    np.testing.assert_array_equal(also[0], shown[0])
    assert view_validation(pictures, seed=4, most=5)[0].paths != validation.paths
    assert len(view_validation(pictures, seed=3, most=300)[1]) == 16


def test_labels_are_not_needed_for_views(tmp_path: Path) -> None:
    make_classes(tmp_path / "set", {"a": 2, "b": 2})
    data = read_classes(tmp_path / "set")
    pictures, _ = read_images(data.paths, longest=64)
    validation, _ = view_validation(pictures, seed=0, most=2)
    assert all(len(relevant) == 1 for relevant in validation.relevant)
