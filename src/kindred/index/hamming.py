"""Inverted file with binary signatures: the images that contain each visual word, compared by Hamming distance.

A query descriptor votes for the images with a descriptor of the same word whose signature differs from its own in few
bits; the vote grows with fewer different bits and with rarer words. Repeated descriptors, as of a chequered pattern,
count less (burstiness): the votes of the query's descriptors of a word are averaged, and a vote is divided by the
square root of the number of the image's descriptors that it matches. Of a word, only the first descriptors of the query
vote, so that a query costs at most a few comparisons with each descriptor of the library, whatever it shows. A query
of several passes is compared pass by pass.
Sources: Jégou, Douze and Schmid 2008 (Hamming embedding) and 2009 (weights by distance, one vote per descriptor and
image, burstiness).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kindred.arrays import check_whole, top_k
from kindred.errors import LibraryDamaged, UsageError
from kindred.index.container import MetadataValue, Sink, read_container, write_container
from kindred.index.id_map import IdMap, padded_ranking
from kindred.index.segments import SegmentedIndex, View
from kindred.ranking import Ranking
from kindred.store import VisualWords, WordBatch

__all__ = ["HammingIndex"]

KIND = "words"
BITS = 64
MOST_WORDS = 1 << 16
RADIUS = 22
"""Largest Hamming distance of a match: of right ones 90 % are as close, of unrelated descriptors of a word some 7 %."""
SIGMA = 12.0
"""σ of the weight of a match, exp(−(distance / σ)²); Jégou et al. 2009 have 16."""
VOTERS = 3
"""The most descriptors of a word, of one pass over a query, that vote: the first, so the strongest keypoints."""
BLOCK = 1 << 20
"""Postings compared at a time, so that common words do not increase the memory."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Postings:
    """The descriptors of N images, sorted by word and then by image.

    starts: (K + 1,) int64, the offset of each word's descriptors. places: int32, the image of each descriptor.
    signatures: uint64. sizes: (N,) int32, the number of descriptors of each image.
    """

    starts: NDArray[np.int64]
    places: NDArray[np.int32]
    signatures: NDArray[np.uint64]
    sizes: NDArray[np.int32]

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.sizes)

    @classmethod
    def of(cls, batch: WordBatch) -> _Postings:
        """Return the postings of the words of images."""
        places = np.repeat(np.arange(len(batch.counts), dtype=np.int32), batch.counts)
        return cls._sorted(batch.words, places, batch.signatures, batch.counts.astype(np.int32))

    @classmethod
    def _sorted(
        cls,
        words: NDArray[np.uint16],
        places: NDArray[np.int32],
        signatures: NDArray[np.uint64],
        sizes: NDArray[np.int32],
    ) -> _Postings:
        """Sort descriptors, given in order of image, by word."""
        order = np.argsort(words, kind="stable")  # a radix sort, as words have 16 bits
        starts = np.concatenate(([0], np.cumsum(np.bincount(words, minlength=int(words.max(initial=0)) + 1))))
        return cls(starts, places[order], signatures[order], sizes)

    @property
    def words(self) -> NDArray[np.uint16]:
        """The word of each descriptor."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.uint16), np.diff(self.starts))

    def joined(self, other: _Postings) -> _Postings:
        """Return the descriptors of both, with the images of `other` last."""
        return _Postings._sorted(
            np.concatenate((self.words, other.words)),
            np.concatenate((self.places, other.places + np.int32(self.count))),
            np.concatenate((self.signatures, other.signatures)),
            np.concatenate((self.sizes, other.sizes)),
        )

    def alive(self, images: NDArray[np.bool_]) -> _Postings:
        """Return the descriptors of the images in the mask (N,), renumbered."""
        kept = images[self.places]
        numbers = (np.cumsum(images) - 1).astype(np.int32)
        return _Postings._sorted(
            self.words[kept], numbers[self.places[kept]], self.signatures[kept], self.sizes[images]
        )

    def frequencies(self, images: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the number of descriptors of each word (K,), of the images in the mask (N,)."""
        if images.all():
            return np.diff(self.starts)
        return np.bincount(self.words[images[self.places]], minlength=len(self.starts) - 1)

    def votes(self, query: VisualWords, weights: Floats) -> Floats:
        """Return the sum of the weighted votes of the query's descriptors for each image: (N,)."""
        words = query.words.astype(np.int64)
        known = np.minimum(words, len(self.starts) - 2)
        firsts = self.starts[known]
        lengths = np.where(words == known, self.starts[known + 1] - firsts, 0)
        votes = np.zeros(self.count)
        ends = np.cumsum(lengths)
        begin = 0
        while begin < len(words):
            end = max(begin + 1, int(np.searchsorted(ends, ends[begin] - lengths[begin] + BLOCK, side="right")))
            some = slice(begin, end)
            votes += self._block(firsts[some], lengths[some], query.signatures[some], weights[some])
            begin = end
        return votes

    def _block(
        self, firsts: NDArray[np.int64], lengths: NDArray[np.int64], signatures: NDArray[np.uint64], weights: Floats
    ) -> Floats:
        """Return the votes (N,) of some query descriptors, whose postings start at `firsts`."""
        asked = np.repeat(np.arange(len(firsts)), lengths)
        at = np.arange(len(asked)) + (firsts - (np.cumsum(lengths) - lengths))[asked]
        distances = np.bitwise_count(self.signatures[at] ^ signatures[asked])
        near = np.flatnonzero(distances <= RADIUS)
        asked, places, distances = asked[near], self.places[at[near]], distances[near]
        values = WEIGHTS[distances]
        # Only the nearest descriptor of an image counts; places ascend for each query descriptor.
        first = np.ones(len(asked), np.bool_)
        first[1:] = (asked[1:] != asked[:-1]) | (places[1:] != places[:-1])
        starts = np.flatnonzero(first)
        best = np.maximum.reduceat(values, starts) if len(values) else values
        best = best / np.sqrt(np.diff(starts, append=len(values)))
        votes = np.bincount(places[first], best * weights[asked[first]], minlength=self.count)
        return votes.astype(np.float64, copy=False)  # without any votes, bincount returns integers


WEIGHTS = np.exp(-((np.arange(BITS + 1) / SIGMA) ** 2))
"""The weight of a match by Hamming distance."""


class HammingIndex(SegmentedIndex[_Postings]):
    """Search of images by the visual words of their local features.

    Rankings and scores have a row for each of the P passes over a query. The score of an image is the sum of votes
    divided by √(n · m), for n words of the image and m of the pass: 0 to 1 if all words of an image are different.
    Memory is 12 bytes per descriptor. Equal scores are ordered by id, lower first. One thread at a time may change the
    index; searches may run at the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counted: tuple[object, NDArray[np.int64]] = None, np.zeros(0, np.int64)

    @property
    def nbytes(self) -> int:
        """Size of words and signatures in bytes, without ids."""
        return sum(each.places.nbytes + each.signatures.nbytes for each in self._segments.state.segments)

    def add(self, ids: ArrayLike, words: WordBatch) -> None:
        """Add the words of images `ids` (n,), in ascending order, all above the ids before."""
        numbers = np.asarray(ids, np.int64)
        counts, total = words.counts, len(words.words)
        if words.counts.shape != numbers.shape or words.signatures.shape != (total,) or counts.sum() != total:
            raise UsageError(
                f"got ids {numbers.shape}, counts {counts.shape} of {counts.sum()}, {total} words and "
                f"{len(words.signatures)} signatures; expected (n,), (n,) and as many words and signatures as counted"
            )
        if len(numbers):
            self._segments.add(numbers, _Postings.of(words))

    def search(self, query: VisualWords, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` images for each pass (P, k); `allowed` restricts the search to those ids (n,)."""
        check_whole(k=k)
        live, every = self._scored(query)
        places = np.flatnonzero(live.mask(allowed))
        k = min(k, live.count)
        order, best = top_k(every[:, places].astype(np.float32), max(1, k))
        return padded_ranking((live.ids[places[order]], best), k)

    def scores(self, query: VisualWords) -> NDArray[np.float32]:
        """Return the scores (P, N) of all images for each pass, in order of id."""
        live, every = self._scored(query)
        return every[:, live.alive].astype(np.float32)

    def save(self, file: Path) -> int:
        """Write the index to `file`, atomically, as one segment without removed images; return its checksum."""
        live, parts, _ = self._segments.state
        masks = np.split(live.alive, np.cumsum([each.count for each in parts])[:-1])
        whole = _Postings.of(WordBatch(np.zeros(0, np.int64), np.zeros(0, np.uint16), np.zeros(0, np.uint64)))
        for each, mask in zip(parts, masks, strict=False):
            whole = whole.joined(each if mask.all() else each.alive(mask))
        live = live.compacted()
        self._segments.state = View(live, (whole,))

        def payload(sink: Sink) -> None:
            for array in (whole.signatures.astype("<u8"), whole.starts.astype("<i8")):
                sink.write(array.data.cast("B"))
            for array in (whole.places.astype("<i4"), whole.sizes.astype("<i4")):
                sink.write(array.data.cast("B"))

        metadata: dict[str, MetadataValue] = {"kind": KIND, "words": len(whole.starts) - 1, "total": len(whole.places)}
        return write_container(file, metadata, live, payload=payload)

    @classmethod
    def load(cls, file: Path, *, checksum: int | None = None) -> Self:
        """Load a saved index; the words are memory-mapped.

        checksum: the value that `save` returned; another file is refused. Raises OSError if the file cannot be read,
        LibraryDamaged if it is truncated, changed or of another kind.
        """
        found = read_container(file, KIND)
        if checksum not in (None, found.checksum):
            raise LibraryDamaged(f"{file}: is not the saved index of this library; delete it, and it is built again")
        count = len(found.live.ids)
        words, total = found.integer("words", 1, MOST_WORDS), found.integer("total", 0, len(found.payload))
        sizes = 8 * total, 8 * (words + 1), 4 * total, 4 * count
        if sum(sizes) != len(found.payload):
            raise LibraryDamaged(
                f"{file}: has {len(found.payload)} bytes, expected {sum(sizes)}; delete it, and it is built again"
            )
        ends = np.cumsum(sizes)
        parts = [found.payload[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        kept = _Postings(parts[1].view("<i8"), parts[2].view("<i4"), parts[0].view("<u8"), parts[3].view("<i4"))
        ordered = kept.starts[0] == 0 and kept.starts[-1] == total and (np.diff(kept.starts) >= 0).all()
        within = 0 <= kept.places.min(initial=0) <= kept.places.max(initial=-1) < count if total else True
        if not ordered or not within or kept.sizes.min(initial=0) < 0:
            raise LibraryDamaged(f"{file}: is not a valid inverted file; delete it, and it is built again")
        index = cls()
        index._segments.state = View(found.live, (kept,))
        return index

    def _scored(self, query: VisualWords) -> tuple[IdMap, Floats]:
        """Return the ids of all images, including removed ones, and their scores (P, N) for each pass."""
        state = self._segments.state
        counts = self._frequencies(state)
        return state.live, np.stack([self._scores_of(part, state, counts) for part in query.parts])

    def _scores_of(self, query: VisualWords, state: View[_Postings], counts: NDArray[np.int64]) -> Floats:
        """Return the scores of all images for the words of one pass."""
        voting = first_of_each(query.words, VOTERS)
        words = query.words[voting].astype(np.int64)
        seen = np.where(words < len(counts), counts[np.minimum(words, len(counts) - 1)], 0)
        # The squared inverse frequency of each word, relative to the largest, counted over descriptors, not images.
        weights = (1 - np.log(np.maximum(seen, 1)) / np.log(max(int(counts.sum()), 2))) ** 2
        weights /= np.bincount(words, minlength=1)[words]
        voters = VisualWords(query.words[voting], query.signatures[voting])
        lengths = [np.maximum(each.sizes, 1) * max(1.0, float(len(query.words))) for each in state.segments]
        found = [
            each.votes(voters, weights) / np.sqrt(size) for each, size in zip(state.segments, lengths, strict=True)
        ]
        return np.concatenate([np.empty(0), *found])

    def _frequencies(self, state: View[_Postings]) -> NDArray[np.int64]:
        """Return the number of descriptors of live images of each word, cached for a state."""
        if self._counted[0] is state:
            return self._counted[1]
        live, parts, _ = state
        masks = np.split(live.alive, np.cumsum([each.count for each in parts])[:-1])
        found = [each.frequencies(mask) for each, mask in zip(parts, masks, strict=False)]
        counts = np.zeros(max((len(each) for each in found), default=1), np.int64)
        for each in found:
            counts[: len(each)] += each
        self._counted = state, counts
        return counts


def first_of_each(values: NDArray[np.uint16], most: int) -> NDArray[np.int64]:
    """Return the positions of the first `most` occurrences of each value (n,), ascending.

    >>> first_of_each(np.array([7, 5, 7, 7, 5], np.uint16), 2).tolist()
    [0, 1, 2, 4]
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    runs = np.searchsorted(ordered, ordered)  # where the run of each value begins
    return np.sort(order[np.arange(len(values)) - runs < most])
