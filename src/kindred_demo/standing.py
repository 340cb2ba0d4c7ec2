"""Scenes with objects that stand on a shelf, a counter or a table in front of a wall."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kindred_demo.camera import Camera, Vector, turned
from kindred_demo.flat import AWAY, DOWN, FIXED_UPRIGHT, RIGHT, Scene, box_of, glare
from kindred_demo.palettes import Colour
from kindred_demo.rounding import upright
from kindred_demo.stage import Stage
from kindred_demo.studio import Shot, Studio
from kindred_demo.things import Thing

__all__ = ["standing_scene"]


@dataclass(frozen=True)
class Upright:
    """A standing object, the centre of its base at (x, 0, z), rotated by `yaw` (centimetres, degrees)."""

    face: Image.Image
    width: float
    height: float
    depth: float
    x: float
    z: float
    yaw: float
    sides: tuple[Colour, Colour, Colour, Colour] | None = None

    @property
    def across(self) -> Vector:
        """Its lower edge from left to right."""
        return np.asarray(turned(yaw=self.yaw) @ RIGHT * self.width, dtype=np.float64)

    @property
    def origin(self) -> Vector:
        """The top left corner of its face."""
        return np.array([self.x, -self.height, self.z]) - self.across / 2

    @property
    def behind(self) -> Vector:
        """The vector from its face to its back."""
        return np.asarray(turned(yaw=self.yaw) @ AWAY * self.depth, dtype=np.float64)

    def corners(self) -> NDArray[np.float64]:
        """The corners of its face, (4, 3), clockwise from the top left."""
        right, down = self.across, DOWN * self.height
        return np.stack([self.origin, self.origin + right, self.origin + right + down, self.origin + down])

    def foot(self) -> NDArray[np.float64]:
        """The outline of its base on the ground, (N, 3)."""
        if self.sides is not None:
            left = self.origin + DOWN * self.height
            return np.stack([left, left + self.across, left + self.across + self.behind, left + self.behind])
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
        radius = (self.width * 0.46, max(1.0, self.depth * 0.5))
        return np.stack(
            [self.x + radius[0] * np.cos(angles), np.zeros(24), self.z + radius[1] * (0.8 + np.sin(angles))],
            axis=1,
        )


def _stand(thing: Thing, rng: np.random.Generator, *, x: float, z: float) -> Upright:
    if thing.form == "slab":
        face = glare(thing.face, thing.gloss, rng)
        yaw = float(np.clip(rng.normal(0, 15), -34, 34))
        return Upright(face, thing.width, thing.height, thing.depth, x, z, yaw, thing.sides)
    face, width, height = upright(thing, rng)
    return Upright(face, width, height, thing.width * 0.8, x, z, 0.0)


def _furnish(
    shot: Shot,
    studio: Studio,
    rng: np.random.Generator,
    *,
    span: tuple[float, float],
    tallest: float,
    wall: float,
) -> list[Upright]:
    """Return clutter on the shelf: beside `span`, mostly further back."""
    found: list[Upright] = []
    edges = {-1: span[0], 1: span[1]}
    clutter = studio.clutter(shot.setting.clutter, rng, size=(0.35 * tallest, 2.2 * tallest), count=4)
    for side, item in zip((-1, 1, -1, 1), clutter, strict=False):
        if rng.random() < 0.35:
            continue
        x = edges[side] + side * (item.width * float(rng.uniform(0.5, 0.62)) + 0.4)
        edges[side] = x + side * item.width / 2
        z = float(rng.uniform(0.1, 1.0)) * max(0.5, wall - item.rise)
        found.append(Upright(item.face, item.width, item.height, item.rise, x, z, 0.0))
    return found


def _camera(stood: list[Upright], shot: Shot, rng: np.random.Generator, *, size: tuple[int, int]) -> Camera:
    ease = 0.6 if shot.careful else 1.0
    rotation = turned(
        pitch=float(rng.uniform(7, 14)),
        yaw=float(rng.normal(0, 5)) * ease,
        roll=float(rng.normal(0, 1.6)) * ease,
    )
    corners = np.concatenate([each.corners() for each in stood])
    low, high = corners.min(axis=0), corners.max(axis=0)
    target = (low + high) / 2
    focal = 1.25 * max(size)
    share = float(rng.uniform(0.64, 0.86) if shot.careful else rng.uniform(0.5, 0.86))
    rough = 4.0 * float(np.linalg.norm(high - low))
    span = np.ptp(Camera(*size, focal, rotation, target, rough).project(corners), axis=0) / size
    slack = np.array(size) * (1 - span / span.max() * share) / 2 * 0.7
    # Vertical shifts are smaller, so that the floor stays in the picture.
    shift = (float(rng.uniform(-slack[0], slack[0])), float(rng.uniform(-0.1, 0.5)) * float(slack[1]))
    return Camera(*size, focal, rotation, target, rough * float(span.max()) / share, shift)


def _backdrop(stage: Stage, shot: Shot, studio: Studio, rng: np.random.Generator, *, wall: float) -> Image.Image:
    """Paint wall and floor; return the mask of the floor, as large as the frame."""
    camera, (width, height) = stage.camera, stage.size
    ends = camera.project(np.array([[-200.0, 0, wall], [200.0, 0, wall]]))
    slope = (ends[1, 1] - ends[0, 1]) / (ends[1, 0] - ends[0, 0])
    left = float(ends[0, 1] - slope * ends[0, 0])
    right = left + float(slope) * width
    floor = np.array([[0, left], [width, right], [width, height], [0, height]], dtype=np.float64)
    floor[2:, 1] = max(height, left + 4, right + 4)
    large = Image.new("L", (width * 2, height * 2))
    ImageDraw.Draw(large).polygon((floor * 2).ravel().tolist(), fill=255)
    mask = large.reduce(2)
    name, texture = studio.surface(shot.setting.walls, rng)
    tilt = 0.0 if name in FIXED_UPRIGHT else 0.5 * math.pi
    zoom = float(rng.uniform(0.9, 1.4))
    back = stage.cover(texture, camera.plane(AWAY * wall, RIGHT, DOWN), rng=rng, turn=tilt, zoom=zoom, reduced=2)
    # The wall is out of focus; half its resolution costs a quarter of the time.
    blur = ImageFilter.GaussianBlur((float(rng.uniform(0.6, 2.2)) + 0.05 * wall) / 2)
    stage.frame = back.filter(blur).resize(stage.size, Image.Resampling.BICUBIC)
    _, texture = studio.surface(shot.setting.grounds, rng)
    plane = camera.plane(np.zeros(3), RIGHT, AWAY)
    ground = stage.cover(texture, plane, rng=rng, turn=float(rng.normal(0, 0.02)), zoom=zoom, region=floor)
    stage.frame.paste(ground, mask=mask)
    seam = np.array([[0, left - 5], [width, right - 5], [width, right + 9], [0, left + 9]], dtype=np.float64)
    if not shot.setting.airy:
        stage.blot(seam, softness=7.0, strength=0.5)
    return mask


def _put(stage: Stage, item: Upright, *, floor: Image.Image, wall: float, airy: bool) -> None:
    """Paint a standing object, with its shadows on the floor and on the wall."""
    camera = stage.camera
    scale = camera.focal / camera.distance
    outline = item.face.getchannel("A")
    down = DOWN * item.height
    # The shadow on the floor extends away from the light, as far as the object is high.
    fall = np.array([stage.light[0], 0.0, 0.75]) * item.height
    foot = item.origin + down
    stage.cast(
        outline,
        camera.plane(foot + fall, item.across, -fall),
        softness=3.0 + 0.1 * item.height * scale,
        strength=stage.strength,
        within=floor,
    )
    if not airy:
        deep = max(0.5, wall - item.z)
        moved = item.origin + np.array([stage.light[0] * deep, 0.3 * deep, deep])
        upper = ImageChops.invert(floor)
        stage.cast(
            outline,
            camera.plane(moved, item.across, down),
            softness=3.0 + 0.25 * deep * scale,
            strength=0.8 * stage.strength,
            within=upper,
        )
    outline_px = camera.project(item.foot())
    stage.blot(outline_px, softness=2.0, strength=0.75)
    stage.blot(
        outline_px + np.array([0.0, 0.03 * item.height * scale]),
        softness=0.07 * item.height * scale,
        strength=0.45,
    )
    if item.sides is not None:
        stage.edges(item.corners(), item.behind, colours=item.sides)
    stage.show(item.face, camera.plane(item.origin, item.across, down))


def standing_scene(shot: Shot, studio: Studio, rng: np.random.Generator, *, size: tuple[int, int]) -> Scene:
    """Render a shot in a setting where objects stand."""
    main = _stand(studio.things[shot.thing], rng, x=0.0, z=0.0)
    stood = [main]
    if shot.companion is not None:
        other = _stand(studio.things[shot.companion], rng, x=0.0, z=float(rng.uniform(0, 4)))
        side = 1.0 if rng.random() < 0.5 else -1.0
        x = side * ((main.width + other.width) / 2 + float(rng.uniform(0.5, 3.0)))
        stood.append(replace(other, x=x))
    tallest = max(each.height for each in stood)
    wall = max(each.z + each.depth for each in stood) + float(rng.uniform(0.12, 0.8)) * tallest
    if shot.setting.airy:
        wall += 3 * tallest
    camera = _camera(stood, shot, rng, size=size)
    light = (float(rng.choice([-1, 1]) * rng.uniform(0.2, 0.8)), 0.5)
    stage = Stage(camera, light=light, strength=float(rng.uniform(0.25, 0.5)))
    floor = _backdrop(stage, shot, studio, rng, wall=wall)
    xs = np.concatenate([each.corners()[:, 0] for each in stood])
    others = _furnish(
        shot, studio, rng, span=(float(xs.min()), float(xs.max())), tallest=tallest, wall=min(wall, tallest)
    )
    for item in sorted([*stood, *others], key=lambda item: -item.z):
        _put(stage, item, floor=floor, wall=wall, airy=shot.setting.airy)
    seen = camera.project(np.concatenate([main.corners()]))
    return Scene(stage.frame, box_of(seen, size))
