from __future__ import annotations

from kindred.evaluation.reranking import name_of
from kindred.ranking import Ranking
from kindred.rerank import Context
from kindred.rerank.needs import steps_of


def mine(ranking: Ranking, context: Context) -> Ranking:  # noqa: ARG001 - as all re-rankers
    return ranking


def test_texts_become_steps_and_steps_have_names() -> None:
    steps = steps_of("alpha_qe:n=10,alpha=2.5,diffusion")
    assert [name_of(step) for step in steps] == ["alpha_qe:n=10,alpha=2.5", "diffusion"]
    assert steps_of("") == steps_of(()) == []
    listed = steps_of(["aqe:n=3,dba", mine, ("diffusion", {"kq": 5})])
    assert [name_of(step) for step in listed] == ["aqe:n=3", "dba", "mine", "diffusion:kq=5"]
    assert steps_of(name_of(steps[0])) == steps[:1]


def test_names_of_functions_with_state() -> None:
    class Better:
        def __call__(self, ranking: Ranking, context: Context) -> Ranking:  # noqa: ARG002 - as all re-rankers
            return ranking

    assert name_of(Better()) == "Better"
