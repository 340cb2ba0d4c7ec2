"""NetVLAD with a gradient: residuals to words, the words and the shares of descriptors in them trained."""

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
    """Sum the residuals to K words, weighted by trained shares: (B, C, H, W) → (B, K·C) (Arandjelović et al. 2016).

    words: K. local: to how many components each position is reduced before, by a layer that starts as a PCA and is
    trained like the rest; None for none. Positions are unit vectors, before that and after. start, alpha: as in
    `kindred.embedding.netvlad.netvlad_weights`. seed: of the clustering. The rest is as in `Aggregation`.

    The parameters are `weights` (K, C), `biases` (K,) and `centres` (K, C). Until `initialise` the words are random
    directions. Raises UsageError for numbers that cannot be meant, RecipeError for another `start`.
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
        self._become(Codebook(l2_normalise(directions)))

    def unwhitened(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) to unit vectors (B, K·C), word by word."""
        rows: Tensor = l2_normalise(_positions(maps))
        rows = rows if self.local is None else self.local(rows)
        counts = [maps.shape[2] * maps.shape[3]] * maps.shape[0]
        own: list[Tensor] = [like(each, rows) for each in (self.weights, self.biases, self.centres)]
        return netvlad(rows, counts, *own)

    def initialise(self, maps: Iterable[Tensor]) -> None:
        """Cluster the positions of maps of training images, batches (B, C, H, W), and start from the clusters.

        At most 256 positions for each word are drawn. Where there is a whitening, `maps` is gone through a second
        time, and must be a list, or anything else that begins anew. Raises UsageError where it does not, and where
        there are too few images.
        """
        if self.whitening is not None and iter(maps) is maps:
            raise UsageError("maps: got an iterator, which is spent after the clustering; expected a list, or its like")
        drawn = _drawn(maps, MOST_PER_WORD * self.words, self.seed)
        local = None if self.local is None else self.local.dimension
        self._become(Codebook.fit(drawn, words=self.words, seed=self.seed, dimension=local))
        super().initialise(maps)

    def recipe_keys(self) -> Mapping[str, str | Mapping[str, Option]]:
        """Return the embedding; words and shares are in the codebook."""
        return {"embedding": "netvlad"}

    def codebooks(self) -> tuple[Codebook, ...]:
        """Return the words, with the weights and biases as they are now."""
        weights, biases, centres = (to_numpy(each.float()) for each in (self.weights, self.biases, self.centres))
        local = None if self.local is None else self.local.fitted()
        projection = None if local is None else PCAWhitening(local.mean, local.projection, power=0.0)
        return (Codebook(centres, projection=projection, weights=weights, biases=biases),)

    @torch.no_grad()
    def _become(self, book: Codebook) -> None:
        weights, biases = netvlad_weights(book, start=self.start, alpha=self.alpha)
        found = (weights, biases, book.centres)
        for parameter, values in zip((self.weights, self.biases, self.centres), found, strict=True):
            parameter.copy_(torch.from_numpy(values))
        if self.local is not None and book.projection is not None:
            self.local.become(book.projection)


def _positions(maps: Tensor) -> Tensor:
    """(B, C, H, W) → (B·H·W, C), the positions of an image together."""
    return maps.flatten(2).transpose(1, 2).reshape(-1, maps.shape[1])


def _drawn(batches: Iterable[Tensor], most: int, seed: int) -> Vectors:
    """Return at most `most` of the positions (n, C) of batches of maps, each with the same chance."""
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
