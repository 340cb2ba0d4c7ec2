"""Settings: where photographs are taken, with their folders, surfaces and clutter."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["SETTINGS", "Pose", "Setting", "settings_for"]

Pose = Literal["lies", "stands", "hangs"]

INDOOR_KINDS = ("book", "record", "cereal", "matchbox", "cassette", "tile", "stamp", "card", "coaster")
SMALL_KINDS = ("book", "record", "matchbox", "cassette", "tile", "stamp", "card", "coaster")


class Setting(NamedTuple):
    """A place and a pose; `walls` are behind standing objects; `airy` means without shadows on a surface."""

    folder: str
    pose: Pose
    kinds: tuple[str, ...]
    grounds: tuple[str, ...]
    clutter: tuple[str, ...]
    walls: tuple[str, ...] = ()
    airy: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "kitchen table",
        "lies",
        INDOOR_KINDS,
        ("oak", "gingham", "marble", "linen", "terrazzo"),
        ("citrus", "apple", "walnut", "spoon", "coffee", "berry", "cork", "leaf", "cap", "glasses"),
    ),
    Setting(
        "desk",
        "lies",
        SMALL_KINDS,
        ("walnut", "felt", "plywood", "oak"),
        ("pencil", "clip", "coin", "door key", "eraser", "note", "ruler", "glasses", "coffee", "die"),
    ),
    Setting(
        "market",
        "lies",
        (*INDOOR_KINDS, "poster", "painting"),
        ("burlap", "boards", "linen", "felt", "plywood"),
        ("coin", "tag", "button", "feather", "flower", "shell", "door key", "apple", "die", "cap"),
    ),
    Setting(
        "garden",
        "lies",
        (*SMALL_KINDS, "cereal"),
        ("grass", "gravel", "paving", "boards"),
        ("leaf", "flower", "pebble", "twig", "acorn", "feather", "walnut", "cap"),
    ),
    Setting(
        "workshop",
        "lies",
        (*INDOOR_KINDS, "poster", "painting"),
        ("plywood", "concrete", "boards"),
        ("screw", "washer", "pencil", "ruler", "brush", "peg", "coin", "clip"),
    ),
    Setting(
        "holiday",
        "lies",
        ("book", "matchbox", "cassette", "stamp", "card", "coaster", "tile"),
        ("sand", "boards", "gravel"),
        ("shell", "starfish", "pebble", "feather", "twig", "coin", "glasses"),
    ),
    Setting(
        "shelf",
        "stands",
        ("book", "record", "cereal", "tin", "mug", "painting"),
        ("oak", "walnut", "boards", "plywood"),
        ("plant", "vase", "candle", "volumes", "jar", "bottle"),
        walls=("plaster", "wallpaper", "brick"),
    ),
    Setting(
        "kitchen counter",
        "stands",
        ("cereal", "tin", "mug", "book"),
        ("marble", "terrazzo", "oak", "concrete"),
        ("bottle", "jar", "bowl", "plant"),
        walls=("tiles", "plaster"),
    ),
    Setting(
        "garden",
        "stands",
        ("tin", "mug", "painting", "record"),
        ("boards", "oak", "paving"),
        ("plant", "bottle", "bowl", "candle"),
        walls=("foliage",),
        airy=True,
    ),
    Setting(
        "market",
        "stands",
        ("tin", "mug", "record", "book"),
        ("linen", "burlap", "boards"),
        ("jar", "bottle", "volumes", "vase", "bowl", "candle"),
        walls=("brick", "plaster", "boards"),
    ),
    Setting(
        "hallway",
        "hangs",
        ("poster", "painting", "flag"),
        ("plaster", "wallpaper", "brick"),
        ("hook", "switch", "notice", "plate", "sconce"),
    ),
    Setting(
        "street",
        "hangs",
        ("poster", "sign", "flag", "tile"),
        ("brick", "concrete", "plaster"),
        ("notice", "ivy"),
    ),
    Setting("garden", "hangs", ("sign", "flag"), ("foliage",), (), airy=True),
    Setting("holiday", "hangs", ("sign", "flag"), ("sky",), (), airy=True),
    Setting("garden", "hangs", ("sign", "flag", "poster"), ("boards", "brick"), ("ivy", "plate")),
)
"""All settings; several may share a folder."""


def settings_for(kind: str) -> list[Setting]:
    """Return the settings for a kind of object: at least three for every kind."""
    return [setting for setting in SETTINGS if kind in setting.kinds]
