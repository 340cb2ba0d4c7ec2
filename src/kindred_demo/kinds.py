"""The kinds of objects, and the design of each object of a collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kindred_demo import covers, packs, papers
from kindred_demo.compositions import COMPOSITIONS
from kindred_demo.motifs import MOTIFS
from kindred_demo.palettes import PALETTES
from kindred_demo.things import Design, Thing

__all__ = ["KINDS", "Kind", "design", "draw_thing", "kind_of"]


class Kind(NamedTuple):
    """A kind of object: its drawing function, and the approximate length of its longer side in centimetres."""

    draw: Callable[[Design], Thing]
    longest: float


KINDS: dict[str, Kind] = {
    "book": Kind(covers.book, 21.0),
    "record": Kind(covers.record, 31.0),
    "poster": Kind(covers.poster, 70.0),
    "painting": Kind(covers.painting, 58.0),
    "cereal": Kind(packs.cereal, 28.0),
    "tin": Kind(packs.tin, 11.0),
    "matchbox": Kind(packs.matchbox, 5.4),
    "cassette": Kind(packs.cassette, 10.2),
    "tile": Kind(packs.tile, 15.0),
    "mug": Kind(packs.mug, 9.6),
    "stamp": Kind(papers.stamp, 4.0),
    "card": Kind(papers.card, 8.8),
    "coaster": Kind(papers.coaster, 9.5),
    "flag": Kind(papers.flag, 60.0),
    "sign": Kind(papers.sign, 84.0),
}
"""All kinds of objects, by name."""

ORDER = [
    "book",
    "record",
    "cereal",
    "stamp",
    "poster",
    "mug",
    "sign",
    "painting",
    "tin",
    "card",
    "tile",
    "flag",
    "record",
    "book",
    "matchbox",
    "painting",
    "cassette",
    "poster",
    "coaster",
    "stamp",
    "cereal",
    "sign",
    "mug",
    "book",
    "record",
    "tin",
    "painting",
    "poster",
    "stamp",
    "card",
    "flag",
    "tile",
    "book",
    "sign",
    "cereal",
    "record",
]
"""The kinds of the first objects; they repeat for later ones."""

ADJECTIVES = (
    "velvet", "quiet", "paper", "northern", "second", "last", "golden", "salt", "midnight",
    "wandering", "borrowed", "electric", "tiny", "hollow", "clockwork", "slow", "lucky", "western",
)  # fmt: skip


def kind_of(number: int) -> str:
    """Return the kind of object `number` (from 0), which is the same for every seed."""
    return ORDER[number % len(ORDER)]


def design(number: int, *, seed: int) -> Design:
    """Return motif, colours and layout of object `number` (from 0) of the collection with that seed.

    The first 36 have different motifs. Everything depends on the number and the seed only, so that a smaller collection
    is a prefix of a larger one.
    """
    shared = np.random.default_rng([seed, 1])
    nouns = [str(noun) for noun in shared.permutation(list(MOTIFS))]
    palettes = shared.permutation(len(PALETTES))
    adjectives = shared.permutation(len(ADJECTIVES))
    layouts = [str(name) for name in shared.permutation(list(COMPOSITIONS))]
    kind = kind_of(number)
    variant = sum(kind_of(earlier) == kind for earlier in range(number))
    noun = nouns[number % len(nouns)]
    rounds = number // len(PALETTES)
    return Design(
        motif=MOTIFS[noun],
        noun=noun,
        adjective=ADJECTIVES[adjectives[(number + 3 * rounds) % len(ADJECTIVES)]],
        inks=PALETTES[palettes[number % len(PALETTES)]].turned(rounds),
        composition=layouts[(variant * 3 + list(KINDS).index(kind) * 7) % len(layouts)],
        variant=variant,
        rng=np.random.default_rng([seed, 2, number]),
    )


def draw_thing(number: int, *, seed: int) -> Thing:
    """Draw object `number` of the collection with that seed."""
    return KINDS[kind_of(number)].draw(design(number, seed=seed))
