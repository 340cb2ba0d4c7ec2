"""Scenes with objects that lie on a table or hang on a wall, seen from the front or at an angle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kindred_demo.camera import Camera, Matrix, Vector, apply, turned
from kindred_demo.clutter import ClutterItem
from kindred_demo.rounding import upright
from kindred_demo.stage import Stage
from kindred_demo.studio import Shot, Studio
from kindred_demo.things import Thing

__all__ = ["Box", "Scene", "box_of", "flat_scene", "glare"]

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the upright photograph, half-open."""

RIGHT, DOWN, AWAY = (np.array(axis, dtype=np.float64) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))

FIXED_UPRIGHT = ("brick", "tiles", "wallpaper", "sky", "foliage", "plaster")
"""Surfaces that have an upper side."""


@dataclass(frozen=True)
class Scene:
    """A rendered frame and the box of its main object."""

    frame: Image.Image
    box: Box


@dataclass(frozen=True)
class Placed:
    """An object on the plane: its picture, size, depth, centre and angle (centimetres, degrees)."""

    thing: Thing
    face: Image.Image
    width: float
    height: float
    depth: float
    x: float
    y: float
    angle: float

    def axes(self) -> tuple[Vector, Vector]:
        """The edges of its face, from left to right and from top to bottom."""
        turn = turned(roll=self.angle)
        return turn @ RIGHT * self.width, turn @ DOWN * self.height

    def corners(self, *, lift: float = 0.0) -> NDArray[np.float64]:
        """The corners of its face, (4, 3), clockwise from the top left, at the given distance in front of the plane."""
        across, down = self.axes()
        middle = np.array([self.x, self.y, -lift])
        return np.stack([middle + (sx * across + sy * down) / 2 for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))])

    def holds(self, x: float, y: float, *, margin: float) -> bool:
        """Return whether a point of the plane is on it, or closer than `margin`."""
        dx, dy = turned(roll=-self.angle)[:2, :2] @ np.array([x - self.x, y - self.y])
        return bool(abs(dx) < self.width / 2 + margin and abs(dy) < self.height / 2 + margin)


def glare(face: Image.Image, gloss: float, rng: np.random.Generator) -> Image.Image:
    """Sometimes add the reflection of a window to a glossy face: a bright band with soft edges."""
    if rng.random() > 0.45 * gloss:
        return face
    y, x = np.mgrid[0:40, 0:40].astype(np.float32) / 40
    slope, offset = float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.1, 0.9))
    away = np.abs(x + slope * (y - 0.5) - offset)
    band = np.clip(1.2 - away / float(rng.uniform(0.06, 0.2)), 0, 1) * float(rng.uniform(70, 150)) * gloss
    mask = Image.fromarray(band.astype(np.uint8)).resize(face.size, Image.Resampling.BICUBIC)
    lit = face.copy()
    lit.paste((255, 252, 244), mask=mask)
    lit.putalpha(face.getchannel("A"))
    return lit


def _place(thing: Thing, rng: np.random.Generator, *, hangs: bool) -> Placed:
    face, width, height = (thing.face, thing.width, thing.height)
    if thing.form == "cloth":
        face, width, height = upright(thing, rng)
    if hangs:
        angle = float(rng.normal(0, 1.0))
    else:
        angle = float(rng.normal(0, 11)) if rng.random() < 0.88 else float(rng.uniform(-180, 180))
    return Placed(thing, glare(face, thing.gloss, rng), width, height, thing.depth, 0.0, 0.0, angle)


def _beside(first: Placed, thing: Thing, rng: np.random.Generator, *, hangs: bool) -> Placed:
    """Place a companion next to the first object, without overlap."""
    second = _place(thing, rng, hangs=hangs)
    spans = [np.ptp(each.corners(), axis=0)[:2] for each in (first, second)]
    gap = 0.08 * min(first.thing.longest, thing.longest) + 0.3
    axis = int(spans[0][0] > spans[0][1])  # below a wide object, beside a tall one
    sign = 1.0 if rng.random() < 0.5 else -1.0
    offset = np.zeros(2)
    offset[axis] = sign * ((spans[0][axis] + spans[1][axis]) / 2 + gap)
    offset[1 - axis] = float(rng.uniform(-0.3, 0.3)) * spans[0][1 - axis]
    return Placed(thing, second.face, second.width, second.height, second.depth, offset[0], offset[1], second.angle)


def _camera(placed: list[Placed], shot: Shot, rng: np.random.Generator, *, size: tuple[int, int]) -> Camera:
    """Return a camera such that everything placed fills a given fraction of the frame."""
    ease = 0.6 if shot.careful else 1.0
    if shot.setting.pose == "hangs":
        rotation = turned(
            pitch=float(rng.uniform(-10, 14)) * ease,
            yaw=float(rng.uniform(-34, 34)) * ease,
            roll=float(rng.normal(0, 2.5)),
        )
    else:
        rotation = turned(
            pitch=-float(rng.uniform(0, 36)) * ease,
            yaw=float(rng.normal(0, 9)) * ease,
            roll=float(rng.normal(0, 4)),
        )
    corners = np.concatenate([each.corners(lift=each.depth) for each in placed])
    low, high = corners.min(axis=0), corners.max(axis=0)
    target = np.array([*((low + high) / 2)[:2], 0.0])
    focal = 1.15 * max(size)
    share = float(rng.uniform(0.66, 0.94) if shot.careful else rng.uniform(0.52, 0.94))
    rough = 4.0 * float(np.linalg.norm(high - low))
    trial = Camera(*size, focal, rotation, target, rough)
    seen = trial.project(corners)
    span = np.ptp(seen, axis=0) / size
    distance = rough * float(span.max()) / share
    slack = (np.array(size) * (1 - span / span.max() * share)) / 2 * 0.7
    shift = (float(rng.uniform(-slack[0], slack[0])), float(rng.uniform(-slack[1], slack[1])))
    return Camera(*size, focal, rotation, target, distance, shift)


def _square(camera: Camera, placed: Placed, *, lift: float, moved: tuple[float, float] = (0.0, 0.0)) -> Matrix:
    across, down = placed.axes()
    origin = placed.corners(lift=lift)[0] + np.array([moved[0], moved[1], 0.0])
    return camera.plane(origin, across, down)


def _put(stage: Stage, placed: Placed, *, shadows: bool, gap: float) -> None:
    """Paint an object with its shadow: a contact shadow all around, and one away from the light."""
    scale = stage.camera.focal / stage.camera.distance
    rise = placed.depth + gap
    outline = placed.face.getchannel("A")
    if shadows:
        near = _square(stage.camera, placed, lift=0.0, moved=(0.15 * rise, 0.2 * rise))
        soft = 2.0 + 0.35 * rise * scale
        stage.cast(outline, near, softness=soft, strength=0.6)
        far = _square(stage.camera, placed, lift=0.0, moved=(stage.light[0] * rise, stage.light[1] * rise))
        stage.cast(outline, far, softness=2.5 + 0.22 * rise * scale, strength=stage.strength)
    if placed.depth * scale > 1.5 and placed.thing.form == "slab":
        stage.edges(placed.corners(lift=rise), AWAY * placed.depth, colours=placed.thing.sides)
    stage.show(placed.face, _square(stage.camera, placed, lift=rise))


def _strew(stage: Stage, item: ClutterItem, *, at: tuple[float, float], angle: float, lift: float = 0.0) -> None:
    """Paint an item of clutter with its shadow."""
    turn = turned(roll=angle)
    across, down = turn @ RIGHT * item.width, turn @ DOWN * item.height
    origin = np.array([at[0], at[1], -lift]) - (across + down) / 2
    scale = stage.camera.focal / stage.camera.distance
    moved = np.array([stage.light[0], stage.light[1], 0.0]) * item.rise * 0.5
    shadow = stage.camera.plane(origin + moved, across, down)
    softness = 1.2 + 0.16 * item.rise * scale
    stage.cast(item.face.getchannel("A"), shadow, softness=softness, strength=0.3 + 0.7 * stage.strength)
    stage.show(item.face, stage.camera.plane(origin - AWAY * item.rise * 0.4, across, down))


def _scatter(stage: Stage, placed: list[Placed], shot: Shot, studio: Studio, rng: np.random.Generator) -> None:
    """Paint clutter around the objects, without overlap."""
    camera = stage.camera
    view = camera.width * camera.distance / camera.focal
    to_plane = np.asarray(np.linalg.inv(camera.plane(np.zeros(3), RIGHT, DOWN)), dtype=np.float64)
    upright_only = shot.setting.pose == "hangs"
    taken: list[tuple[float, float, float]] = []
    count = int(rng.integers(2, 4 if upright_only else 9))
    for item in studio.clutter(shot.setting.clutter, rng, size=(0.045 * view, 0.5 * view), count=count):
        reach = 0.42 * max(item.width, item.height)
        for _ in range(12):
            pixel = np.array([[rng.random() * camera.width, rng.random() * camera.height]])
            x, y = (float(value) for value in apply(to_plane, pixel)[0])
            free = all(math.hypot(x - tx, y - ty) > reach + other for tx, ty, other in taken)
            if free and not any(each.holds(x, y, margin=reach) for each in placed):
                taken.append((x, y, reach))
                angle = float(rng.normal(0, 1.5)) if upright_only else float(rng.uniform(0, 360))
                _strew(stage, item, at=(x, y), angle=angle)
                break


def _lay_across(stage: Stage, placed: Placed, shot: Shot, studio: Studio, rng: np.random.Generator) -> None:
    """Paint an item of clutter over the edge of the object, hiding a small part of it."""
    size = (0.1 * placed.thing.longest, 0.75 * placed.thing.longest)
    found = studio.clutter(shot.setting.clutter, rng, size=size, count=3)
    small = [each for each in found if each.width * each.height <= 0.16 * placed.width * placed.height]
    if not small:
        return
    item = small[0]
    across, down = placed.axes()
    side = float(rng.choice([-0.46, 0.46]))
    along = float(rng.uniform(-0.4, 0.4))
    shares = (side, along) if rng.random() < 0.5 else (along, side)
    spot = np.array([placed.x, placed.y, 0.0]) + shares[0] * across + shares[1] * down
    _strew(
        stage,
        item,
        at=(float(spot[0]), float(spot[1])),
        angle=float(rng.uniform(0, 360)),
        lift=placed.depth,
    )


def flat_scene(shot: Shot, studio: Studio, rng: np.random.Generator, *, size: tuple[int, int]) -> Scene:
    """Render a shot in a setting where objects lie or hang."""
    hangs = shot.setting.pose == "hangs"
    placed = [_place(studio.things[shot.thing], rng, hangs=hangs)]
    if shot.companion is not None:
        placed.append(_beside(placed[0], studio.things[shot.companion], rng, hangs=hangs))
    camera = _camera(placed, shot, rng, size=size)
    bearing, reach = float(rng.uniform(0.2, 2.6)), float(rng.uniform(0.35, 1.1))
    light = (reach * math.cos(bearing), reach * math.sin(bearing))
    stage = Stage(camera, light=light, strength=float(rng.uniform(0.25, 0.6)))
    name, texture = studio.surface(shot.setting.grounds, rng)
    turn = (
        float(rng.normal(0, 0.02))
        if name in FIXED_UPRIGHT
        else float(rng.choice([0, 0.5, 1, 1.5])) * math.pi + float(rng.normal(0, 0.2))
    )
    stage.frame = stage.cover(
        texture,
        camera.plane(np.zeros(3), RIGHT, DOWN),
        rng=rng,
        turn=turn,
        zoom=float(rng.uniform(0.95, 1.5)),
    )
    if not shot.setting.airy:
        _scatter(stage, placed, shot, studio, rng)
    free = placed[0].thing.form in ("sign", "cloth")
    for each in reversed(placed):
        _put(stage, each, shadows=not shot.setting.airy, gap=4.0 if free and not shot.setting.airy else 0.0)
    if not hangs and rng.random() < (0.12 if shot.careful else 0.38):
        _lay_across(stage, placed[0], shot, studio, rng)
    seen = camera.project(placed[0].corners(lift=placed[0].depth))
    return Scene(stage.frame, box_of(seen, size))


def box_of(points: NDArray[np.float64], size: tuple[int, int]) -> Box:
    """Return the smallest box of whole pixels in the frame that contains the points, (N, 2)."""
    x0, y0 = np.clip(np.floor(points.min(axis=0)), 0, np.array(size) - 1).astype(int)
    x1, y1 = np.clip(np.ceil(points.max(axis=0)), 1, size).astype(int)
    return int(x0), int(y0), int(x1), int(y1)
