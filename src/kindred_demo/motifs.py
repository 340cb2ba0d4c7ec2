"""The motifs of covers, labels, stamps and tiles.

A motif is a function of a pen and a palette. It draws inside the square from -1 to 1 (x to the right, y down) with
simple shapes, so that it is recognisable at any size.
"""

from __future__ import annotations

from collections.abc import Callable

from kindred_demo import emblems, fauna, flora
from kindred_demo.canvas import Pen
from kindred_demo.palettes import Palette

__all__ = ["MOTIFS", "Motif"]

Motif = Callable[[Pen, Palette], None]

MOTIFS: dict[str, Motif] = {
    "sun": flora.sun,
    "moon": flora.moon,
    "mountain": flora.mountain,
    "fish": fauna.fish,
    "bird": fauna.bird,
    "whale": fauna.whale,
    "cat": fauna.cat,
    "owl": fauna.owl,
    "snail": fauna.snail,
    "butterfly": fauna.butterfly,
    "bee": fauna.bee,
    "fern": flora.fern,
    "tulip": flora.tulip,
    "daisy": flora.daisy,
    "cactus": flora.cactus,
    "mushroom": flora.mushroom,
    "tree": flora.tree,
    "pear": flora.pear,
    "lemon": flora.lemon,
    "cherries": flora.cherries,
    "sailboat": emblems.sailboat,
    "lighthouse": emblems.lighthouse,
    "cup": emblems.cup,
    "teapot": emblems.teapot,
    "house": emblems.house,
    "balloon": emblems.balloon,
    "bicycle": emblems.bicycle,
    "rocket": emblems.rocket,
    "guitar": emblems.guitar,
    "key": emblems.key,
    "eye": emblems.eye,
    "umbrella": emblems.umbrella,
    "anchor": emblems.anchor,
    "crown": emblems.crown,
    "lantern": emblems.lantern,
    "camera": emblems.camera,
}
"""All motifs, by the names that are used in titles."""
