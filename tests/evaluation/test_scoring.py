"""Rankings made by hand, and those of the benchmarks against a slow, literal `compute_map`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kindred.errors import UsageError
from kindred.evaluation import METRICS, GroundTruth, Judgement, Query, read_groundtruth, score
from kindred.evaluation.scoring import main_metric, main_ranks, match_curve, ranks_of

LOG3, LOG5 = math.log2(3), math.log2(5)


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
        assert found == {**dict.fromkeys(METRICS["plain"], 1.0), "precision@10": (0.2 + 0.1) / 2}

    def test_a_ranking_worked_out_by_hand(self) -> None:
        # Ranks without the junk: 1 and 3 of the first query, 0 of the second.
        truth = truth_of(query(relevant=(4, 2), junk=(5,)), query(relevant=(1,)))
        found = score(truth, [positions(0, 5, 4, 1, 2, 3), positions(1, 0, 2, 3, 4, 5)])
        assert found == pytest.approx(
            {
                "recall@1": 0.5,
                "recall@10": 1.0,
                "precision@10": (0.2 + 0.1) / 2,
                "mAP": ((1 / 2 + 2 / 4) / 2 + 1) / 2,
                "mAP@10": ((1 / 2 + 2 / 4) / 2 + 1) / 2,
                "MRR": (1 / 2 + 1) / 2,
                "nDCG": ((1 / LOG3 + 1 / LOG5) / (1 + 1 / LOG3) + 1) / 2,
                "nDCG@10": ((1 / LOG3 + 1 / LOG5) / (1 + 1 / LOG3) + 1) / 2,
                "MAP@R": ((1 / 2) / 2 + 1) / 2,
                "R-precision": (1 / 2 + 1) / 2,
            }
        )

    def test_oxford_uses_the_trapezoidal_rule(self) -> None:
        truth = truth_of(query(relevant=(0, 1, 2)), protocol="oxford", count=6)
        found = score(truth, [positions(0, 3, 1, 4, 5, 2)])
        assert found == pytest.approx({"recall@1": 1, "recall@10": 1, "mAP": 0.677778}, abs=1e-6)

    def test_holidays_uses_the_trapezoidal_rule_of_its_script(self) -> None:
        truth = truth_of(query(relevant=(0, 1, 2)), protocol="holidays", count=6)
        found = score(truth, [positions(0, 3, 1, 4, 5, 2)])
        assert found == pytest.approx({"recall@1": 1, "recall@10": 1, "mAP": 0.677778}, abs=1e-6)

    def test_an_image_that_is_listed_twice_as_relevant_counts_once(self) -> None:
        truth = truth_of(query(relevant=(3, 3)), query(relevant=(1, 0, 1), junk=(2, 2)))
        assert [each.judgements[""].relevant.tolist() for each in truth.queries] == [[3], [0, 1]]
        found = score(truth, [positions(3, 0, 1, 2, 4, 5), positions(1, 2, 0, 3, 4, 5)])
        assert found["mAP"] == found["R-precision"] == found["nDCG"] == 1

    def test_metrics_that_are_named_come_too(self) -> None:
        truth = truth_of(query(relevant=(0, 1)))
        order = [positions(0, 3, 4, 5, 1)]
        found = score(truth, order, metrics=["precision@2", "mAP@2", "recall@3", "mP@20", "nDCG@2"])
        assert (found["precision@2"], found["mAP@2"], found["recall@3"], found["mP@20"]) == (0.5, 0.5, 1, 0.4)
        assert found["nDCG@2"] == pytest.approx(1 / (1 + 1 / LOG3))
        trapezoids = truth_of(query(relevant=(0, 1)), protocol="oxford")
        assert score(trapezoids, order, metrics=["MRR", "nDCG"])["MRR"] == 1

    @pytest.mark.parametrize("name", ["precision", "precision@0", "precision@k", "precision@²", "mAP@-1", "recal@1"])
    def test_unknown_metrics_are_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match=f"unknown metric '{name}'"):
            score(truth_of(query(relevant=(0,))), [positions(0)], metrics=[name])

    def test_map_at_k_does_not_stand_beside_trapezoids(self) -> None:
        with pytest.raises(UsageError, match="metric 'mAP@5': this set's mAP is trapezoidal"):
            score(truth_of(query(relevant=(0,)), protocol="holidays"), [positions(0)], metrics=["mAP@5"])

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
    def test_the_easy_setting_of_roxford_has_queries_to_skip(self, shared: Path) -> None:
        truth = read_groundtruth(shared / "data/groundtruth-only/roxford5k.json")
        assert sum(asked.judgements["easy"].relevant.size > 0 for asked in truth.queries) == 68
        perfect = [asked.judgements["easy"].relevant for asked in truth.queries]
        assert score(truth, perfect)["mAP/easy"] == 1

    def test_a_few_folders_of_queries_are_reported_and_many_are_not(self) -> None:
        order = positions(0, 1)
        few = truth_of(*(query(f"{number}/a", relevant=(0,)) for number in range(6)))
        assert "mAP/5" in score(few, [order] * 6)
        many = truth_of(*(query(f"{number}/a", relevant=(0,)) for number in range(7)))
        assert not any("/" in name for name in score(many, [order] * 7))

    def test_the_recalls_that_a_set_defines(self) -> None:
        truth = replace(truth_of(query(relevant=(3,))), recalls=(1, 2, 4))
        found = score(truth, [positions(0, 1, 2, 3, 4, 5)])
        recalls = {name: value for name, value in found.items() if name.startswith("recall")}
        assert recalls == {"recall@1": 0, "recall@2": 0, "recall@4": 1, "recall@10": 1}
        assert list(found)[:4] == ["recall@1", "recall@2", "recall@4", "recall@10"]

    def test_ukbench_counts_the_right_among_the_first_four(self) -> None:
        truth = truth_of(query(relevant=(0, 1, 2, 3)), query(relevant=(4, 5)), protocol="ukbench")
        found = score(truth, [positions(0, 4, 1, 2, 3, 5), positions(5, 0, 1, 2, 4, 3)])
        assert found["N-S"] == (3 + 1) / 2
        assert main_metric(truth) == "N-S"
        assert main_metric(truth_of(query(relevant=(0,)))) == "mAP"

    def test_the_match_curve_is_the_recall_at_every_rank(self) -> None:
        truth = truth_of(query(relevant=(2,)), query(relevant=()), query(relevant=(0,)))
        ranks = ranks_of(truth, [positions(0, 1, 2)] * 3)
        assert len(main_ranks(truth, ranks)) == 2
        assert match_curve(truth, ranks, 4) == (0.5, 0.5, 1, 1)


def compute_map(order: Sequence[int], positives: set[int], junk: set[int]) -> float:
    """The average precision of Oxford5k, Paris6k and their revisited forms, as algorithms.md section 10 has it."""
    ranks, junk_above = [], 0
    for rank, image in enumerate(order):
        if image in junk:
            junk_above += 1
        elif image in positives:
            ranks.append(rank - junk_above)
    total = 0.0
    for j, r in enumerate(ranks):
        p0 = j / r if r else 1.0
        p1 = (j + 1) / (r + 1)
        total += p0 + p1
    return total / (2 * len(positives))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["oxford5k", "paris6k", "roxford5k", "rparis6k"])
@pytest.mark.parametrize("kind", ["ideal", "reversed", "shuffled"])
def test_the_benchmarks_score_as_the_literal_definition(shared: Path, name: str, kind: str) -> None:
    truth = read_groundtruth(shared / f"data/groundtruth-only/{name}.json")
    setting = truth.settings[-1]  # the hard one, where there are several
    random = np.random.default_rng(0)
    count = len(truth.database)

    def orders() -> Iterator[NDArray[np.int64]]:
        for asked in truth.queries:
            right = np.zeros(count)
            right[asked.judgements[setting].relevant] = {"ideal": 1, "reversed": -1, "shuffled": 0.6}[kind]
            yield np.argsort(-(right + (random.random(count) if kind == "shuffled" else 0)), kind="stable")

    listed = list(orders())
    wanted = [
        compute_map(
            order.tolist(),
            set(asked.judgements[setting].relevant.tolist()),
            set(asked.judgements[setting].junk.tolist()),
        )
        for asked, order in zip(truth.queries, listed, strict=True)
        if asked.judgements[setting].relevant.size
    ]
    found = score(truth, listed)[f"mAP/{setting}" if setting else "mAP"]
    assert found == pytest.approx(sum(wanted) / len(wanted), rel=1e-9)
    assert {"ideal": found == 1, "reversed": found < 0.05, "shuffled": 0.1 < found < 0.9}[kind]
