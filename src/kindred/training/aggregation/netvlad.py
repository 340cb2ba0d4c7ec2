"""NetVLAD: sums of residuals to visual words, with trained words and soft assignment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from kindred.arrays import Vectors, check_whole, floating, l2_normalise, like, to_numpy
from kindred.embedding import Codebook
from kindred.embedding.codebook import MOST_PER_WORD
from kindred.embedding.netvlad import netvlad, netvlad_weights
from kindred.errors import UsageError
from kindred.recipe import Option
from kindred.training.aggregation.base import Aggregation
from kindred.training.aggregation.whitening import WhiteningLayer
from kindred.whitening import PCAWhitening

__all__ = ["NetVLAD"]


class NetVLAD(Aggregation):
    """Sum the residuals to K words, with soft assignment: (B, C, H, W) → (B, K·C) (Arandjelović et al. 2016).

    words: K. local: the dimension that each position is reduced to first, by a layer that is initialised as a PCA and
    trained; None for none. Positions are unit vectors, before and after it. start, alpha: as in
    `kindred.embedding.netvlad.netvlad_weights`. seed: of the clustering. The rest is as in `Aggregation`.

    The parameters are `weights` (K, C), `biases` (K,) and `centres` (K, C). Until `initialise` the words are random
    directions. Raises UsageError for values out of range, RecipeError for an unknown `start`.
    """

    def __init__(
        self,
        channels: int,
        *,
        words: int = 64,
        local: int | None = None,
        start: str = "v1",
        alpha: float = 0.0,
        seed: int = 0,
        whiten: bool = False,
        dimension: int | None = None,
        power: float = 0.5,
    ) -> None:
        check_whole(words=words)
        depth = channels if local is None else local
        super().__init__(channels, words * depth, whiten=whiten, dimension=dimension, power=power)
        self.words, self.start, self.alpha, self.seed = words, start, alpha, seed
        self.local = None if local is None else WhiteningLayer(channels, local, power=0.0)
        self.weights = nn.Parameter(torch.empty(words, depth))
        self.biases = nn.Parameter(torch.empty(words))
        self.centres = nn.Parameter(torch.empty(words, depth))
        directions = np.random.default_rng(seed).standard_normal((words, depth), np.float32)
        self._load_codebook(Codebook(l2_normalise(directions)))

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to unit vectors (B, K·C), one word after the other."""
        rows: Tensor = l2_normalise(_positions(maps))
        rows = rows if self.local is None else self.local(rows)
        counts = [maps.shape[2] * maps.shape[3]] * maps.shape[0]
        own: list[Tensor] = [like(each, rows) for each in (self.weights, self.biases, self.centres)]
        return netvlad(rows, counts, *own)

    def initialise(self, maps: Iterable[Tensor]) -> None:
        """Cluster the positions of maps of training images, batches (B, C, H, W); the centres become the words.

        At most 256 positions per word are drawn. With a whitening, `maps` is iterated over a second time, and must not
        be an iterator. Raises UsageError if it is one, and if there are too few images.
        """
        if self.whitening is not None and iter(maps) is maps:
            raise UsageError("maps: got an iterator, exhausted by the clustering; expected a list or its like")
        drawn = _drawn(maps, MOST_PER_WORD * self.words, self.seed)
        local = None if self.local is None else self.local.dimension
        self._load_codebook(Codebook.fit(drawn, words=self.words, seed=self.seed, dimension=local))
        super().initialise(maps)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return the embedding; words, weights and biases are in the codebook."""
        return {"embedding": "netvlad"}

    def codebooks(self) -> tuple[Codebook, ...]:
        """Return the words with their current weights and biases."""
        weights, biases, centres = (to_numpy(each.float()) for each in (self.weights, self.biases, self.centres))
        local = None if self.local is None else self.local.to_whitening()
        projection = None if local is None else PCAWhitening(local.mean, local.projection, power=0.0)
        return (Codebook(centres, projection=projection, weights=weights, biases=biases),)

    @torch.no_grad()
    def _load_codebook(self, book: Codebook) -> None:
        weights, biases = netvlad_weights(book, start=self.start, alpha=self.alpha)
        found = (weights, biases, book.centres)
        for parameter, values in zip((self.weights, self.biases, self.centres), found, strict=True):
            parameter.copy_(torch.from_numpy(values))
        if self.local is not None and book.projection is not None:
            self.local.load(book.projection)


def _positions(maps: Tensor) -> Tensor:
    """(B, C, H, W) → (B·H·W, C), image by image."""
    return maps.flatten(2).transpose(1, 2).reshape(-1, maps.shape[1])


def _drawn(batches: Iterable[Tensor], most: int, seed: int) -> Vectors:
    """Return a uniform sample of at most `most` positions (n, C) of batches of maps."""
    rng = np.random.default_rng(seed)
    rows, chances = np.empty((0, 0), np.float32), np.empty(0)
    for maps in batches:
        found = to_numpy(_positions(floating(maps)))
        rows = found if not len(rows) else np.concatenate([rows, found])
        chances = np.concatenate([chances, rng.random(len(found))])
        if len(rows) > most:
            kept = np.sort(np.argpartition(chances, most)[:most])
            rows, chances = rows[kept], chances[kept]
    return rows
