"""A photograph being rendered: surfaces, soft shadows and objects, painted from far to near."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from kindred_demo.camera import UNIT_SQUARE, Camera, Matrix, Vector, apply, warp
from kindred_demo.palettes import Colour, mix

__all__ = ["Stage"]

COARSE = 4
"""Shadows are soft, so they are computed at this fraction of the resolution."""

SHADOW: Colour = (22, 17, 26)


class Stage:
    """The frame of one camera. `light` is how far a shadow moves, per centimetre of height, along x and y."""

    def __init__(self, camera: Camera, *, light: tuple[float, float], strength: float) -> None:
        self.camera = camera
        self.light = light
        self.strength = strength
        self.size = (camera.width, camera.height)
        self.frame = Image.new("RGB", self.size)

    def cover(
        self,
        texture: Image.Image,
        plane: Matrix,
        *,
        rng: np.random.Generator,
        turn: float,
        zoom: float,
        region: NDArray[np.float64] | None = None,
        reduced: int = 1,
    ) -> Image.Image:
        """Return a texture spread over a whole plane, as large as the frame, or `reduced` times smaller.

        `plane` maps centimetres to pixels; `zoom`: texture pixels per frame pixel; `region`: the corners, in frame
        pixels, that the texture must cover (default: those of the frame).
        """
        width, height = self.size
        corners = UNIT_SQUARE * (width, height) if region is None else region
        spin = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        reached = apply(spin @ np.linalg.inv(plane), corners)
        low, extent = reached.min(axis=0), np.ptp(reached, axis=0)
        across = float(np.linalg.norm(extent)) / np.hypot(width, height)
        scale = min(zoom / across, (texture.width - 4) / extent.max())
        room = texture.width - 2 - extent * scale
        offset = np.array([rng.uniform(1, max(1.1, free)) for free in room]) - low * scale
        to_texture = np.array([[scale, 0, offset[0]], [0, scale, offset[1]], [0, 0, 1]]) @ spin
        inverse = to_texture @ np.linalg.inv(plane) @ np.diag([reduced, reduced, 1.0])
        coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
        size = (width // reduced, height // reduced)
        return texture.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)

    def shade(
        self,
        mask: Image.Image,
        corner: tuple[int, int],
        *,
        softness: float,
        strength: float,
        within: Image.Image | None,
    ) -> None:
        """Darken the frame through a coarse mask (L) with its corner at `corner`, in coarse pixels.

        The mask is blurred by the given number of frame pixels; only `within` a full-size mask, if one is given.
        """
        radius = max(0.5, softness / COARSE)
        pad = math.ceil(2.5 * radius) + 1
        wide = Image.new("L", (mask.width + 2 * pad, mask.height + 2 * pad))
        wide.paste(mask.point([round(level * strength) for level in range(256)]), (pad, pad))
        wide = wide.filter(ImageFilter.GaussianBlur(radius))
        soft = wide.resize((wide.width * COARSE, wide.height * COARSE), Image.Resampling.BILINEAR)
        at = ((corner[0] - pad) * COARSE, (corner[1] - pad) * COARSE)
        if within is not None:
            soft = ImageChops.multiply(soft, within.crop((*at, at[0] + soft.width, at[1] + soft.height)))
        self.frame.paste(SHADOW, at, soft)

    def cast(
        self,
        outline: Image.Image,
        square: Matrix,
        *,
        softness: float,
        strength: float,
        within: Image.Image | None = None,
    ) -> None:
        """Paint the shadow of a shape (L) on the unit square; `softness` in frame pixels."""
        small = outline.resize((min(96, outline.width), min(96, outline.height)), Image.Resampling.BOX)
        shrink = np.diag([1 / COARSE, 1 / COARSE, 1.0])
        seen = warp(small, shrink @ square, frame=(self.size[0] // COARSE + 1, self.size[1] // COARSE + 1))
        if seen is not None:
            self.shade(*seen, softness=softness, strength=strength, within=within)

    def blot(self, outline: NDArray[np.float64], *, softness: float, strength: float) -> None:
        """Darken a polygon, (N, 2) frame pixels, with soft edges: a contact shadow."""
        coarse = outline / COARSE
        low = np.floor(np.clip(coarse.min(axis=0), -40, np.array(self.size) / COARSE + 40))
        high = np.ceil(np.clip(coarse.max(axis=0), -40, np.array(self.size) / COARSE + 40))
        mask = Image.new("L", (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1))
        ImageDraw.Draw(mask).polygon((coarse - low).ravel().tolist(), fill=255)
        self.shade(mask, (int(low[0]), int(low[1])), softness=softness, strength=strength, within=None)

    def polygon(self, outline: NDArray[np.float64], colour: Colour) -> None:
        """Fill a polygon, (N, 2) frame pixels, with smooth edges."""
        low = np.maximum(np.floor(outline.min(axis=0)) - 1, 0).astype(int)
        high = np.minimum(np.ceil(outline.max(axis=0)) + 1, self.size).astype(int)
        size = high - low
        if size.min() < 1:
            return
        mask = Image.new("L", (int(size[0]) * 4, int(size[1]) * 4))
        ImageDraw.Draw(mask).polygon(((outline - low) * 4).ravel().tolist(), fill=255)
        self.frame.paste(colour, (int(low[0]), int(low[1])), mask.reduce(4))

    def show(self, picture: Image.Image, square: Matrix) -> None:
        """Paint a picture (RGBA) on the unit square."""
        seen = warp(picture, square, frame=self.size)
        if seen is not None:
            patch, corner = seen
            self.frame.paste(patch, corner, patch)

    def edges(
        self, corners: NDArray[np.float64], behind: Vector, *, colours: tuple[Colour, Colour, Colour, Colour]
    ) -> None:
        """Paint the visible ones of the four edges of a slab.

        `corners`: its front face in space, (4, 3), clockwise from the top left; `behind`: from front to back;
        `colours`: top, right, bottom, left.
        """
        front, back = self.camera.project(corners), self.camera.project(corners + behind)
        middle = front.mean(axis=0)
        for index in range(4):
            after = (index + 1) % 4
            quad = np.stack([back[index], back[after], front[after], front[index]])
            x, y = quad.T
            if float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) <= 0:
                continue  # facing away
            outward = quad.mean(axis=0) - middle
            outward /= np.linalg.norm(outward) + 1e-9
            # Shadows point away from the light: edges that face it are bright, the others dark.
            glow = -float(outward @ np.asarray(self.light)) / (float(np.hypot(*self.light)) + 1e-9)
            tone = mix(colours[index], (255, 255, 255), share=0.12 * glow) if glow > 0 else colours[index]
            self.polygon(quad, mix(tone, (0, 0, 0), share=0.24 - 0.24 * glow))
