from __future__ import annotations

import inspect
import tracemalloc
from collections.abc import Mapping

import numpy as np
import pytest

from kindred.arrays import Vectors
from kindred.errors import RecipeError, UsageError
from kindred.ranking import Ranking
from kindred.rerank import RERANKERS, ArrayGallery, Context, RerankCache, parse_methods, rerank
from kindred.rerank.table import Method, Option

ON_VECTORS = [name for name, entry in RERANKERS.items() if entry.needs == "vectors"]
INF = np.inf


@pytest.fixture(scope="module")
def cache() -> RerankCache:
    return RerankCache()


@pytest.fixture(scope="module")
def gallery(rows: Vectors) -> ArrayGallery:
    return ArrayGallery(rows)


@pytest.mark.parametrize("name", ON_VECTORS)
class TestContract:
    def test_the_new_ranking_has_the_same_size_and_the_old_is_unchanged(
        self, name: str, queries: Vectors, gallery: ArrayGallery, cache: RerankCache
    ) -> None:
        ranking, wanted = gallery.search(queries, 12), queries.copy()
        before = ranking.ids.copy(), ranking.scores.copy()
        found = rerank(ranking, Context(wanted, gallery, cache=cache), [name])
        assert isinstance(found, Ranking)
        assert found.ids.shape == (7, 12)
        assert all(len(set(row)) == 12 for row in found.ids.tolist())
        np.testing.assert_array_equal(wanted, queries)
        np.testing.assert_array_equal(ranking.ids, before[0])
        np.testing.assert_array_equal(ranking.scores, before[1])

    def test_it_is_deterministic(self, name: str, queries: Vectors, gallery: ArrayGallery, cache: RerankCache) -> None:
        context = Context(queries, gallery, cache=cache)
        once, twice = (rerank(gallery.search(queries, 12), context, [name]) for _ in range(2))
        np.testing.assert_array_equal(once.ids, twice.ids)
        np.testing.assert_array_equal(once.scores, twice.scores)

    def test_queries_do_not_depend_on_each_other(
        self, name: str, queries: Vectors, gallery: ArrayGallery, cache: RerankCache
    ) -> None:
        together = rerank(gallery.search(queries, 12), Context(queries, gallery, cache=cache), [name])
        for q in range(len(queries)):
            one = queries[q : q + 1]
            alone = rerank(gallery.search(one, 12), Context(one, gallery, cache=cache), [name])
            np.testing.assert_array_equal(alone.ids[0], together.ids[q])

    def test_one_result_is_enough(self, name: str, queries: Vectors, gallery: ArrayGallery, cache: RerankCache) -> None:
        found = rerank(gallery.search(queries, 1), Context(queries, gallery, cache=cache), [name])
        assert found.ids.shape == (7, 1)
        assert (found.ids >= 0).all()

    def test_an_empty_gallery_stays_empty(self, name: str, queries: Vectors) -> None:
        nothing = ArrayGallery(np.empty((0, 16)))
        found = rerank(nothing.search(queries, 3), Context(queries, nothing), [name])
        assert found.ids.shape == (7, 0)
        padded = Ranking(np.full((7, 3), -1), np.full((7, 3), -INF))
        assert rerank(padded, Context(queries, nothing), [name]).ids.tolist() == [[-1, -1, -1]] * 7

    @pytest.mark.parametrize("shape", [(0, 5), (7, 0), (0, 0)])
    def test_an_empty_ranking_stays_empty(
        self, name: str, shape: tuple[int, int], queries: Vectors, gallery: ArrayGallery, cache: RerankCache
    ) -> None:
        ranking = Ranking(np.empty(shape, np.int64), np.empty(shape, np.float32))
        found = rerank(ranking, Context(queries[: shape[0]], gallery, cache=cache), [name])
        assert found.ids.shape == shape

    def test_padding_survives(self, name: str, queries: Vectors, gallery: ArrayGallery, cache: RerankCache) -> None:
        ids = np.array([[4, 10, 16, -1], [7, -1, -1, -1], [-1, -1, -1, -1]])
        scores = np.where(ids < 0, -INF, [4.0, 3.0, 2.0, 1.0]).astype(np.float32)
        found = rerank(Ranking(ids, scores), Context(queries[:3], gallery, cache=cache), [name])
        assert found.ids.shape == (3, 4)
        assert (found.ids[0, :3] >= 0).all()
        assert (found.ids[2] == -1).all()

    def test_the_gallery_may_be_smaller_than_its_numbers(self, name: str, rows: Vectors, queries: Vectors) -> None:
        few = ArrayGallery(rows[:3])
        found = rerank(few.search(queries, 8), Context(queries, few), [name])
        assert (np.sort(found.ids) == [0, 1, 2]).all()
        padding = ((0, 0), (0, 5))
        wide = few.search(queries, 3)
        wide = Ranking(
            np.pad(wide.ids, padding, constant_values=-1), np.pad(wide.scores, padding, constant_values=-INF)
        )
        found = rerank(wide, Context(queries, few), [name])
        assert (np.sort(found.ids)[:, 5:] == [0, 1, 2]).all()

    def test_options_do_not_determine_memory(self, name: str, queries: Vectors, gallery: ArrayGallery) -> None:
        """A number from outside may be any: what is laid out is bounded by the images that there are."""
        parameters = inspect.signature(RERANKERS[name].function).parameters
        sizes = [key for key, each in parameters.items() if type(each.default) is int and key != "iterations"]
        ranking = gallery.search(queries, 10**12)
        tracemalloc.start()
        try:
            for key in sizes:
                found = rerank(ranking, Context(queries, gallery), [(name, {key: 10**12})])
                assert found.ids.shape == ranking.ids.shape
            assert tracemalloc.get_traced_memory()[1] < 60_000_000
        finally:
            tracemalloc.stop()

    def test_vectors_of_zeros_are_handled(self, name: str, queries: Vectors) -> None:
        zeros = ArrayGallery(np.zeros((30, 16)), similarity="dot")
        found = rerank(zeros.search(queries, 8), Context(queries, zeros), [name])
        assert (found.ids >= 0).all()

    def test_it_is_described(self, name: str) -> None:
        entry = RERANKERS[name]
        assert entry.summary
        assert entry.source
        _, _, *options = inspect.signature(entry.function).parameters.values()
        assert all(isinstance(each.default, int | float | None) for each in options)
        assert all(each.kind == each.KEYWORD_ONLY for each in options)


class TestRerank:
    def test_methods_are_applied_from_left_to_right(self, queries: Vectors, gallery: ArrayGallery) -> None:
        context, ranking = Context(queries, gallery), gallery.search(queries, 20)
        first = RERANKERS["aqe"].function(ranking, context, n=3)
        expected = RERANKERS["k_reciprocal"].function(first, context, k1=5)
        several: list[str | list[Method]] = [
            ["aqe:n=3", ("k_reciprocal", {"k1": 5})],
            "aqe:n=3,k_reciprocal:k1=5",
            [lambda ranking, context: RERANKERS["aqe"].function(ranking, context, n=3), "k_reciprocal:k1=5"],
        ]
        for methods in several:
            found = rerank(ranking, context, methods)
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.scores, expected.scores)

    def test_none_changes_nothing(self, queries: Vectors, gallery: ArrayGallery) -> None:
        ranking = gallery.search(queries, 5)
        assert rerank(ranking, Context(queries, gallery), []) is ranking

    def test_an_unknown_name_or_option_is_refused_before_anything_is_done(
        self, queries: Vectors, gallery: ArrayGallery
    ) -> None:
        def never(_ranking: Ranking, _context: Context) -> Ranking:
            raise AssertionError

        context, ranking = Context(queries, gallery), gallery.search(queries, 5)
        with pytest.raises(RecipeError, match=r"unknown re-ranker 'difusion'; did you mean 'diffusion'\?"):
            rerank(ranking, context, [never, "difusion"])
        with pytest.raises(RecipeError, match=r"'alpha_qe': unknown option 'alfa'; did you mean 'alpha'\?"):
            rerank(ranking, context, [never, ("alpha_qe", {"alfa": 3})])
        with pytest.raises(RecipeError, match=r"'aqe': unknown option 'ranking'; known: n"):
            rerank(ranking, context, [never, ("aqe", {"ranking": 3})])

    def test_an_option_out_of_range_is_the_functions_to_refuse(self, queries: Vectors, gallery: ArrayGallery) -> None:
        with pytest.raises(UsageError, match=r"n: got 2.5; expected a whole number"):
            rerank(gallery.search(queries, 5), Context(queries, gallery), "aqe:n=2.5")


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("aqe", [("aqe", {})]),
            ("alpha_qe:n=10,alpha=3", [("alpha_qe", {"n": 10, "alpha": 3})]),
            (" aqe : n = 5 , diffusion", [("aqe", {"n": 5}), ("diffusion", {})]),
            ("dba:alpha=2.5,n=4,aqe:n=1", [("dba", {"alpha": 2.5, "n": 4}), ("aqe", {"n": 1})]),
            ("diffusion:tolerance=1e-3", [("diffusion", {"tolerance": 0.001})]),
            ("verify:model=affine", [("verify", {"model": "affine"})]),
        ],
    )
    def test_text(self, text: str, expected: list[tuple[str, Mapping[str, Option]]]) -> None:
        assert parse_methods(text) == expected

    def test_whole_numbers_stay_whole(self) -> None:
        ((_, options),) = parse_methods("alpha_qe:n=10,alpha=3.0")
        assert [type(value) for value in options.values()] == [int, float]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", r"unknown re-ranker ''; known: aqe, "),
            ("aqe,", r"unknown re-ranker ''"),
            ("n=3", r"unknown re-ranker 'n=3'"),
            ("aqe:n", r"re-ranker 'aqe': got option 'n'; expected name=value"),
            ("aqe:n=", r"re-ranker 'aqe': option n is ''; expected a whole number, such as 10"),
            ("aqe:n=__import__('os')", r"expected a whole number, such as 10"),
            ("aqe:k=3", r"re-ranker 'aqe': unknown option 'k'; known: n"),
        ],
    )
    def test_invalid_arguments_are_refused(self, text: str, message: str) -> None:
        with pytest.raises(RecipeError, match=message):
            parse_methods(text)
