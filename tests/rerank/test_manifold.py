from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from diffusion_oracles import SparseIds
from kindred.arrays import Vectors, l2_normalise
from kindred.errors import ModelError, UsageError
from kindred.manifold import EMBEDDINGS, ManifoldEmbedding
from kindred.ranking import Ranking
from kindred.rerank import RERANKERS, ArrayGallery, Context, GalleryManifold, ManifoldOptions, rerank

pytest.importorskip("scipy", reason="manifolds need the extra maps")


def bows(count: int, seed: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Two bows within one another, lifted to unit vectors (N, 3), and which of them each row is of."""
    random = np.random.default_rng(seed)
    angles, which = np.pi * random.random(count), np.arange(count) % 2
    x = np.where(which, 1 - np.cos(angles), np.cos(angles))
    y = np.where(which, 0.4 - np.sin(angles), np.sin(angles))
    flat = np.stack([x, y], axis=1) + 0.05 * random.standard_normal((count, 2))
    return l2_normalise(np.concatenate([flat, np.full((count, 1), 2.0)], axis=1).astype(np.float32)), which


def options(method: str) -> ManifoldOptions:
    return ManifoldOptions(method, dimension=8, neighbours=6)


@pytest.mark.parametrize("method", EMBEDDINGS)
class TestEveryManifold:
    def test_results_are_ordered_by_their_cosine_in_the_embedding(
        self, method: str, rows: Vectors, queries: Vectors
    ) -> None:
        gallery = SparseIds(rows)
        ranking = gallery.search(queries, 12)
        found = rerank(ranking, Context(queries, gallery), [(method, {"dimension": 8, "neighbours": 6, "weight": 1})])
        fitted = ManifoldEmbedding.fit(rows, method, dimension=8, neighbours=6)
        cosines = fitted.transform(queries) @ fitted.rows_.T
        for q, row in enumerate(ranking.ids.tolist()):
            expected = sorted(row, key=lambda number, q=q: -cosines[q, (number - 10) // 3])  # type: ignore[misc]
            assert found.ids[q].tolist() == expected
            np.testing.assert_allclose(found.scores[q], cosines[q, (found.ids[q] - 10) // 3], atol=1e-4)

    def test_the_weight_mixes_it_with_the_old_score(self, method: str, rows: Vectors, queries: Vectors) -> None:
        gallery = SparseIds(rows)
        manifold = GalleryManifold.fit(gallery, options(method))
        ranking, context = gallery.search(queries, 12), Context(queries, gallery)
        alone, mixed = (manifold.rerank(ranking, context, weight=weight) for weight in (1.0, 0.3))
        np.testing.assert_array_equal(manifold.rerank(ranking, context, weight=0.0).ids, ranking.ids)
        for q in range(len(queries)):
            old, new = (
                dict(zip(each.ids[q].tolist(), each.scores[q].tolist(), strict=True)) for each in (ranking, alone)
            )
            sums = [0.7 * old[number] + 0.3 * new[number] for number in mixed.ids[q].tolist()]
            np.testing.assert_allclose(mixed.scores[q], sums, atol=1e-6)
            assert set(mixed.ids[q]) == set(ranking.ids[q])

    def test_it_follows_the_manifold(self, method: str) -> None:
        (rows, which), (queries, asked) = bows(150, seed=0), bows(40, seed=1)
        gallery = ArrayGallery(rows)
        ranking = gallery.search(queries, 150)
        found = rerank(
            ranking,
            Context(queries, gallery),
            [(method, {"dimension": 2, "neighbours": 10 if method == "spectral" else 4, "weight": 1.0})],
        )
        before, after = ((which[each.ids[:, :70]] == asked[:, None]).mean() for each in (ranking, found))
        assert before < 0.8
        assert after > 0.9

    def test_a_gallery_that_is_too_small_is_left_alone(self, method: str, rows: Vectors, queries: Vectors) -> None:
        gallery = ArrayGallery(rows[:9])
        ranking = gallery.search(queries, 5)
        assert rerank(ranking, Context(queries, gallery), [(method, {"dimension": 8})]) is ranking
        assert rerank(ranking, Context(queries, gallery), [(method, {"dimension": 7})]) is not ranking

    def test_images_that_were_not_laid_out_follow_behind(self, method: str, rows: Vectors, queries: Vectors) -> None:
        gallery = ArrayGallery(rows)
        manifold = GalleryManifold.fit(ArrayGallery(rows[:80]), options(method))
        ranking = gallery.search(queries, 30)
        found = manifold.rerank(ranking, Context(queries, gallery))
        for q in range(len(queries)):
            old = ranking.ids[q]
            assert sorted(found.ids[q][: (old < 80).sum()]) == sorted(old[old < 80])
            assert found.ids[q][(old < 80).sum() :].tolist() == old[old >= 80].tolist()

    def test_a_query_far_from_the_embedding_keeps_its_ranking(self, method: str, rows: Vectors) -> None:
        far = np.concatenate([rows, np.zeros((40, 16), np.float32)])
        far[90:, 0] = 1 + np.arange(40)
        gallery = ArrayGallery(far, similarity="dot")
        query: Vectors = (far[129:] / 40).astype(np.float32)
        manifold = GalleryManifold.fit(ArrayGallery(rows), options(method))
        ranking = gallery.search(query, 50)
        np.testing.assert_array_equal(manifold.rerank(ranking, Context(query, gallery)).ids, ranking.ids)

    def test_vectors_of_zeros_are_handled(self, method: str, queries: Vectors) -> None:
        zeros = ArrayGallery(np.zeros((80, 16)), similarity="dot")
        found = rerank(zeros.search(queries, 8), Context(queries, zeros), [method])
        assert (np.sort(found.ids) == np.arange(8)).all()

    def test_boxes_go_with_their_results(self, method: str, rows: Vectors, queries: Vectors) -> None:
        gallery = ArrayGallery(rows)
        plain = gallery.search(queries, 12)
        ranking = Ranking(plain.ids, plain.scores, np.repeat(plain.ids[..., None], 4, axis=2).astype(np.float32))
        found = rerank(ranking, Context(queries, gallery), [method])
        assert found.boxes is not None
        np.testing.assert_array_equal(found.boxes[..., 0], found.ids)

    def test_survives_a_file_without_pickle(self, method: str, rows: Vectors, queries: Vectors, tmp_path: Path) -> None:
        gallery = SparseIds(rows)
        fitted = GalleryManifold.fit(gallery, options(method))
        np.savez(tmp_path / "manifold.npz", allow_pickle=False, **fitted.to_arrays())
        with np.load(tmp_path / "manifold.npz", allow_pickle=False) as arrays:
            again = GalleryManifold.from_arrays(arrays)
        assert again.method == method
        ranking, context = gallery.search(queries, 12), Context(queries, gallery)
        np.testing.assert_array_equal(again.rerank(ranking, context).scores, fitted.rerank(ranking, context).scores)

    def test_damaged_arrays(self, method: str, rows: Vectors) -> None:
        arrays = GalleryManifold.fit(ArrayGallery(rows), options(method)).to_arrays()
        for name in arrays:
            with pytest.raises(ModelError, match="fit it again"):
                GalleryManifold.from_arrays({key: array for key, array in arrays.items() if key != name})
        for ids in (arrays["ids"][:-1], arrays["ids"][::-1]):
            with pytest.raises(ModelError, match=r"ids: got shape .*; expected \(90,\), ascending"):
                GalleryManifold.from_arrays({**arrays, "ids": ids})
        with pytest.raises(ModelError, match="fit it again"):
            GalleryManifold.from_arrays({**arrays, "method": np.array("umap")})

    @pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
    def test_a_weight_out_of_range(self, method: str, weight: float, rows: Vectors, queries: Vectors) -> None:
        gallery = ArrayGallery(rows[:9])  # whatever its size
        with pytest.raises(UsageError, match=r"weight: got .*; expected 0 \(the old score alone\) to 1"):
            RERANKERS[method].function(gallery.search(queries, 5), Context(queries, gallery), weight=weight)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "umap"}, "unknown manifold 'umap'"),
        ({"dimension": 0}, "dimension: got 0"),
        ({"neighbours": 0}, "neighbours: got 0"),
    ],
)
def test_invalid_arguments(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ManifoldOptions(**{"method": "spectral", **given})  # type: ignore[arg-type]
