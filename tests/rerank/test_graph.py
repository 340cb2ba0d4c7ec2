from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from diffusion_oracles import SparseIds, affinities, normalised
from kindred.arrays import Vectors, l2_normalise
from kindred.errors import ModelError, UsageError
from kindred.ranking import Ranking
from kindred.rerank import ArrayGallery, NeighbourGraph
from kindred.rerank import neighbours as module
from kindred.rerank.graph import NormalisedGraph, conjugate_gradient, gallery_digest


def _dense(graph: NeighbourGraph) -> NDArray[np.float64]:
    matrix = np.zeros((len(graph), len(graph)))
    for i in range(len(graph)):
        part = slice(graph.indptr[i], graph.indptr[i + 1])
        matrix[i, graph.indices[part]] = graph.weights[part]
    return matrix


def _matrix(part: NormalisedGraph) -> NDArray[np.float64]:
    return np.array([part.times(column) for column in np.eye(part.size)]).T


class TestBuild:
    @pytest.mark.parametrize(("k", "gamma"), [(10, 3.0), (5, 2.0), (1, 3.0), (90, 1.0), (200, 3.0)])
    def test_it_is_the_definition(self, rows: Vectors, k: int, gamma: float) -> None:
        graph = NeighbourGraph.build(SparseIds(rows), k=k, gamma=gamma)
        assert graph.ids.tolist() == list(range(10, 280, 3))
        np.testing.assert_allclose(_dense(graph), affinities(rows, k, gamma), atol=1e-6)

    def test_it_is_symmetric_to_the_bit_and_its_diagonal_is_zero(self, rows: Vectors) -> None:
        matrix = _dense(NeighbourGraph.build(ArrayGallery(rows), k=20))
        np.testing.assert_array_equal(matrix, matrix.T)
        assert not matrix.diagonal().any()

    def test_an_even_power_makes_no_edge_of_a_negative_cosine(self) -> None:
        rows = np.array([[1.0, 0.0], [-0.8, 0.6], [0.0, -1.0]], np.float32)
        graph = NeighbourGraph.build(ArrayGallery(rows), k=3, gamma=2.0)
        assert not len(graph.indices)

    def test_one_sided_neighbours_are_not_joined(self) -> None:
        angles = np.array([0.0, 0.1, 0.3])
        rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        graph = NeighbourGraph.build(ArrayGallery(rows), k=2)
        assert np.argwhere(_dense(graph)).tolist() == [[0, 1], [1, 0]]  # 2's nearest is 1, whose nearest is 0

    def test_copies_are_joined_to_each_other(self) -> None:
        graph = NeighbourGraph.build(ArrayGallery(np.ones((3, 2))), k=3)
        np.testing.assert_allclose(_dense(graph), 1 - np.eye(3), atol=1e-6)

    @pytest.mark.parametrize("count", [0, 1])
    def test_a_gallery_without_pairs_has_no_edges(self, count: int) -> None:
        graph = NeighbourGraph.build(ArrayGallery(np.ones((count, 2))))
        assert (len(graph), len(graph.indices)) == (count, 0)
        assert graph.normalised().times(np.ones(count)).tolist() == [0.0] * count

    def test_inverted_lists_find_the_neighbours_of_a_full_comparison(self) -> None:
        generator = np.random.default_rng(1)
        centres = generator.standard_normal((40, 24))
        rows = l2_normalise(centres[np.arange(1000) % 40] + 0.7 * generator.standard_normal((1000, 24)))
        gallery = SparseIds(rows.astype(np.float32))
        exact = NeighbourGraph.build(gallery, k=15, approximate=False)
        searches = gallery.searches
        near = NeighbourGraph.build(gallery, k=15, approximate=True)
        assert gallery.searches == searches
        same = (_dense(exact) > 0) & (_dense(near) > 0)
        assert same.sum() > 0.95 * len(exact.indices)
        np.testing.assert_allclose(_dense(near)[same], _dense(exact)[same], atol=2e-3)

    def test_blocks_do_not_change_it_and_progress_counts_to_the_end(
        self, rows: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = NeighbourGraph.build(ArrayGallery(rows), k=10)
        monkeypatch.setattr(module, "BLOCK", 40)
        calls: list[tuple[int, int]] = []
        parts = NeighbourGraph.build(ArrayGallery(rows), k=10, progress=lambda done, total: calls.append((done, total)))
        assert calls == [(40, 90), (80, 90), (90, 90)]
        np.testing.assert_array_equal(parts.indices, whole.indices)
        np.testing.assert_allclose(parts.weights, whole.weights, atol=1e-6)

    def test_a_gallery_that_scores_by_something_else_is_refused(self, rows: Vectors) -> None:
        with pytest.raises(UsageError, match=r"gallery: scores an image against itself by 4.000; expected the cosine"):
            NeighbourGraph.build(_Scaled(rows), k=5)

    def test_options_out_of_range_are_refused(self, rows: Vectors) -> None:
        with pytest.raises(UsageError, match=r"k: got 0"):
            NeighbourGraph.build(ArrayGallery(rows), k=0)
        with pytest.raises(UsageError, match=r"gamma: got 0"):
            NeighbourGraph.build(ArrayGallery(rows), gamma=0)


class TestNormalised:
    def test_the_whole_is_the_definition(self, rows: Vectors) -> None:
        part = NeighbourGraph.build(ArrayGallery(rows), k=6).normalised()
        np.testing.assert_allclose(_matrix(part), normalised(affinities(rows, 6, 3.0)), atol=1e-6)

    def test_a_part_is_normalised_by_its_own_degrees(self, rows: Vectors) -> None:
        graph = NeighbourGraph.build(ArrayGallery(rows), k=12)
        nodes = np.arange(3, 90, 4)
        expected = normalised(affinities(rows, 12, 3.0)[np.ix_(nodes, nodes)])
        assert (expected.sum(axis=1) == 0).any()  # some lost all their neighbours, and stay finite
        np.testing.assert_allclose(_matrix(graph.normalised(nodes)), expected, atol=1e-6)

    def test_or_cut_out_of_the_whole(self, rows: Vectors) -> None:
        graph = NeighbourGraph.build(ArrayGallery(rows), k=12)
        nodes = np.arange(3, 90, 4)
        expected = normalised(affinities(rows, 12, 3.0))[np.ix_(nodes, nodes)]
        np.testing.assert_allclose(_matrix(graph.normalised(nodes, degrees=graph.degrees())), expected, atol=1e-6)

    def test_degrees_are_the_sums_of_the_rows(self, rows: Vectors) -> None:
        graph = NeighbourGraph.build(ArrayGallery(rows), k=4)
        np.testing.assert_allclose(graph.degrees(), affinities(rows, 4, 3.0).sum(axis=1), atol=1e-5)


class TestConjugateGradient:
    def test_it_solves(self) -> None:
        generator = np.random.default_rng(0)
        half = generator.standard_normal((20, 20))
        matrix, y = half @ half.T + np.eye(20), generator.standard_normal(20)
        f = conjugate_gradient(lambda x: matrix @ x, y, iterations=200, tolerance=1e-12)
        np.testing.assert_allclose(f, np.linalg.solve(matrix, y), rtol=1e-8)

    def test_it_stops_after_so_many_iterations_or_when_near_enough(self) -> None:
        matrix, y = np.diag(np.arange(1.0, 11.0)), np.ones(10)
        calls: list[int] = []

        def apply(x: NDArray[np.float64]) -> NDArray[np.float64]:
            calls.append(1)
            return matrix @ x

        conjugate_gradient(apply, y, iterations=4, tolerance=1e-12)
        assert len(calls) == 4
        f = conjugate_gradient(apply, y, iterations=100, tolerance=0.1)
        assert len(calls) < 4 + 10
        assert np.linalg.norm(matrix @ f - y) <= 0.1 * np.linalg.norm(y)

    def test_diffusion_from_zeros_is_zero(self) -> None:
        assert conjugate_gradient(lambda x: x, np.zeros(3), iterations=5, tolerance=1e-6).tolist() == [0, 0, 0]


class TestKeeping:
    def test_arrays_bring_it_back(self, rows: Vectors) -> None:
        graph = NeighbourGraph.build(SparseIds(rows), k=10)
        again = NeighbourGraph.from_arrays(graph.to_arrays())
        for name in ("ids", "indptr", "indices", "weights"):
            np.testing.assert_array_equal(getattr(again, name), getattr(graph, name))

    def test_its_arrays_are_read_only(self, rows: Vectors) -> None:
        graph = NeighbourGraph.build(ArrayGallery(rows), k=3)
        with pytest.raises(ValueError, match="read-only"):
            graph.weights[0] = 2

    @pytest.mark.parametrize("name", ["ids", "indptr", "indices", "weights"])
    def test_damage_is_seen(self, rows: Vectors, name: str) -> None:
        arrays = NeighbourGraph.build(ArrayGallery(rows), k=10).to_arrays()
        with pytest.raises(ModelError, match=r"graph: damaged .*; build it again"):
            NeighbourGraph.from_arrays(arrays | {name: arrays[name][:-1]})
        with pytest.raises(ModelError, match=r"graph: damaged"):
            NeighbourGraph.from_arrays(arrays | {name: -arrays[name]})
        del arrays[name]
        with pytest.raises(ModelError, match=rf"graph: {name} missing; build it again"):
            NeighbourGraph.from_arrays(arrays)

    def test_an_unknown_id_has_no_row(self, rows: Vectors) -> None:
        graph = NeighbourGraph.build(SparseIds(rows), k=3)
        assert graph.places(np.array([16, 11, 9999, 10, -1])).tolist() == [2, -1, -1, 0, -1]

    def test_the_digest_is_that_of_the_vectors(self, rows: Vectors) -> None:
        digest = gallery_digest(ArrayGallery(rows, similarity="dot"))
        changed = rows.copy()
        changed[50, 3] += 1e-6
        assert digest == gallery_digest(ArrayGallery(rows.copy(), similarity="dot"))
        assert digest != gallery_digest(ArrayGallery(changed, similarity="dot"))
        assert digest != gallery_digest(ArrayGallery(rows.reshape(180, 8), similarity="dot"))
        assert digest != gallery_digest(SparseIds(rows))
        assert gallery_digest(SparseIds(rows)) == gallery_digest(SparseIds(rows))


class _Scaled(ArrayGallery):
    """Vectors that are not of unit length, searched by cosine."""

    def search(self, queries: ArrayLike, k: int) -> Ranking:
        found = super().search(queries, k)
        return Ranking(found.ids, 4 * found.scores)
