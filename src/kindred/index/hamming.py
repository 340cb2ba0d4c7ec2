"""Inverted file with signatures: for each visual word the images that have it, compared by Hamming distance.

A descriptor of the query votes for the images that have a descriptor of the same word whose signature differs from its
own in few bits; the fewer, the more, and the rarer the word, the more. Sources: Jégou, Douze and Schmid 2008 (Hamming
embedding) and 2009 (weights by distance, and one vote for an image by a descriptor).
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
from kindred.index.segments import Segments, View
from kindred.ranking import Ranking
from kindred.store import VisualWords, WordBatch

__all__ = ["HammingIndex"]

KIND = "words"
BITS = 64
MOST_WORDS = 1 << 16
RADIUS = 24
"""Signatures that differ in more bits do not match: of unrelated descriptors of one word, 3 % differ in fewer."""
SIGMA = 16.0
"""A match counts as exp(−(distance / σ)²); the value of Jégou et al. 2009."""
BLOCK = 1 << 20
"""Postings compared at a time, so that a common word does not decide how much memory is taken."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Postings:
    """The descriptors of N images, word by word and then image by image.

    starts: (K + 1,) int64, where those of each word begin. places: int32, the image of each. signatures: uint64.
    sizes: (N,) int32, the number of descriptors of each image.
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
        """Sort the words of images."""
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
        """Sort descriptors, whose images ascend, by their words."""
        order = np.argsort(words, kind="stable")  # by radix: words have 16 bits
        starts = np.concatenate(([0], np.cumsum(np.bincount(words, minlength=int(words.max(initial=0)) + 1))))
        return cls(starts, places[order], signatures[order], sizes)

    @property
    def words(self) -> NDArray[np.uint16]:
        """The word of each descriptor."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.uint16), np.diff(self.starts))

    def joined(self, other: _Postings) -> _Postings:
        """Return the descriptors of both, the images of `other` after these."""
        return _Postings._sorted(
            np.concatenate((self.words, other.words)),
            np.concatenate((self.places, other.places + np.int32(self.count))),
            np.concatenate((self.signatures, other.signatures)),
            np.concatenate((self.sizes, other.sizes)),
        )

    def alive(self, images: NDArray[np.bool_]) -> _Postings:
        """Return the descriptors of some images, a mask (N,), which are numbered anew."""
        kept = images[self.places]
        numbers = (np.cumsum(images) - 1).astype(np.int32)
        return _Postings._sorted(
            self.words[kept], numbers[self.places[kept]], self.signatures[kept], self.sizes[images]
        )

    def frequencies(self, images: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many descriptors of some images, a mask (N,), have each word: (K,)."""
        if images.all():
            return np.diff(self.starts)
        return np.bincount(self.words[images[self.places]], minlength=len(self.starts) - 1)

    def votes(self, query: VisualWords, weights: Floats) -> Floats:
        """Return the sum of the votes of the query's descriptors, of these weights, for each image: (N,)."""
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
        """Return the votes (N,) of some descriptors, whose postings begin at `firsts`."""
        asked = np.repeat(np.arange(len(firsts)), lengths)
        at = np.arange(len(asked)) + (firsts - (np.cumsum(lengths) - lengths))[asked]
        distances = np.bitwise_count(self.signatures[at] ^ signatures[asked])
        near = np.flatnonzero(distances <= RADIUS)
        asked, places, distances = asked[near], self.places[at[near]], distances[near]
        values = WEIGHTS[distances]
        # Of several descriptors of an image one votes, the nearest: places ascend for each descriptor of the query.
        first = np.ones(len(asked), np.bool_)
        first[1:] = (asked[1:] != asked[:-1]) | (places[1:] != places[:-1])
        best = np.maximum.reduceat(values, np.flatnonzero(first)) if len(values) else values
        votes = np.bincount(places[first], best * weights[asked[first]], minlength=self.count)
        return votes.astype(np.float64, copy=False)  # of no vote at all they would be whole numbers


WEIGHTS = np.exp(-((np.arange(BITS + 1) / SIGMA) ** 2))
"""What a match counts, by the Hamming distance of signatures."""


class HammingIndex:
    """The visual words of images under ids, searched by those of a query.

    The score of an image is the sum of the votes of the query's words over √(n · m), for n words of the image and m of
    the query: 0 to 1 where each has its own word. It takes 12 bytes for each descriptor.
    Equal scores are ordered by id, lower first. One thread at a time may change the index; searches may run beside
    that.
    """

    def __init__(self) -> None:
        self._segments: Segments[_Postings] = Segments()
        self._counted: tuple[object, NDArray[np.int64]] = None, np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Return the number of images that can be found."""
        return self._segments.state.live.count

    @property
    def live(self) -> IdMap:
        """The ids of the images."""
        return self._segments.state.live

    @property
    def nbytes(self) -> int:
        """The bytes that words and signatures take."""
        return sum(each.places.nbytes + each.signatures.nbytes for each in self._segments.state.segments)

    def add(self, ids: ArrayLike, words: WordBatch) -> None:
        """Add the words of images `ids` (n,), which must ascend and lie above all ids before."""
        numbers = np.asarray(ids, np.int64)
        counts, total = words.counts, len(words.words)
        if words.counts.shape != numbers.shape or words.signatures.shape != (total,) or counts.sum() != total:
            raise UsageError(
                f"got ids {numbers.shape}, counts {counts.shape} of {counts.sum()}, {total} words and "
                f"{len(words.signatures)} signatures; expected (n,), (n,) and as many words and signatures as counted"
            )
        if len(numbers):
            self._segments.add(numbers, _Postings.of(words))

    def remove(self, ids: ArrayLike) -> int:
        """Make images impossible to find; ids that are not here are passed over. Return how many were."""
        return self._segments.remove(ids)

    def search(self, query: VisualWords, k: int, *, allowed: NDArray[np.int64] | None = None) -> Ranking:
        """Return the best `k` images for the words of one query, of those in `allowed` only if that is given."""
        check_whole(k=k)
        live, every = self._scored(query)
        places = np.flatnonzero(live.mask(allowed))
        k = min(k, live.count)
        order, best = top_k(every[None, places].astype(np.float32), max(1, k))
        return padded_ranking((live.ids[places[order]], best), k)

    def scores(self, query: VisualWords) -> NDArray[np.float32]:
        """Return the scores (1, N) of all images that can be found, in order of id."""
        live, every = self._scored(query)
        return every[None, live.alive].astype(np.float32)

    def save(self, file: Path) -> int:
        """Write the index to `file`, which appears there complete or not at all; return its checksum.

        It comes to be one part, without the images that cannot be found.
        """
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
        """Read what `save` wrote; the words stay in the file, where the system reads them as needed.

        checksum: what `save` returned, to take no other file. Raises OSError where it cannot be read, LibraryDamaged
        where it is cut off, changed or of another kind.
        """
        found = read_container(file, KIND)
        if checksum not in (None, found.checksum):
            raise LibraryDamaged(f"{file}: is from another time; delete it, it is made again")
        count = len(found.live.ids)
        words, total = found.integer("words", 1, MOST_WORDS), found.integer("total", 0, len(found.payload))
        sizes = 8 * total, 8 * (words + 1), 4 * total, 4 * count
        if sum(sizes) != len(found.payload):
            raise LibraryDamaged(f"{file}: holds {len(found.payload)} bytes, not {sum(sizes)}; delete it")
        ends = np.cumsum(sizes)
        parts = [found.payload[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        kept = _Postings(parts[1].view("<i8"), parts[2].view("<i4"), parts[0].view("<u8"), parts[3].view("<i4"))
        ordered = kept.starts[0] == 0 and kept.starts[-1] == total and (np.diff(kept.starts) >= 0).all()
        within = 0 <= kept.places.min(initial=0) <= kept.places.max(initial=-1) < count if total else True
        if not ordered or not within or kept.sizes.min(initial=0) < 0:
            raise LibraryDamaged(f"{file}: holds no sound inverted file; delete it, it is made again")
        index = cls()
        index._segments.state = View(found.live, (kept,))
        return index

    def _scored(self, query: VisualWords) -> tuple[IdMap, Floats]:
        """Return the ids, and the score of each image, those that cannot be found included."""
        state = self._segments.state
        counts = self._frequencies(state)
        words = query.words.astype(np.int64)
        seen = np.where(words < len(counts), counts[np.minimum(words, len(counts) - 1)], 0)
        # The square of the inverse document frequency, as a share of the largest; by descriptors, as those are at hand.
        weights = (1 - np.log(np.maximum(seen, 1)) / np.log(max(int(counts.sum()), 2))) ** 2
        lengths = [np.maximum(each.sizes, 1) * max(1.0, float(len(words))) for each in state.segments]
        found = [each.votes(query, weights) / np.sqrt(size) for each, size in zip(state.segments, lengths, strict=True)]
        return state.live, np.concatenate([np.empty(0), *found])

    def _frequencies(self, state: View[_Postings]) -> NDArray[np.int64]:
        """Return how many descriptors of images that can be found have each word; counted once for a state."""
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
