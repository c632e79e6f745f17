"""A landscape that drifts by, its kind, colours and shapes drawn from a text."""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
_LAYERS = 4
_LANDS = ("hills", "peaks", "city")


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, saturation), min(1.0, value))
    return int(red * 255), int(green * 255), int(blue * 255)


class Scene:
    """The drifting landscape of one text; the same text always gives the same one.

    :param text: decides everything.
    :param size: width and height in pixels.
    """

    def __init__(self, text: str, size: tuple[int, int]) -> None:
        self._size = size
        self._chance = random.Random(hashlib.sha256(text.encode()).digest())
        self._hue = self._chance.random()
        self._night = self._chance.random() < 0.4
        self._land = self._chance.choice(_LANDS)
        self._sky = self._draw_sky()
        self._sun = self._draw_sun()
        self._sun_at = self._chance.uniform(0.3, 0.7), self._chance.uniform(0.2, 0.36)
        self._layers = [self._draw_layer(number) for number in range(_LAYERS)]

    def frame(self, seconds: float) -> Image.Image:
        """Return the picture at a time, which may be any: an extension goes on where its parent ended."""
        width, height = self._size
        frame = self._sky.copy()
        radius = self._sun.width / 2
        x = width * (self._sun_at[0] + 0.22 * math.sin(seconds / 9)) - radius
        y = height * (self._sun_at[1] - 0.07 * math.sin(seconds / 6)) - radius
        frame.paste(self._sun, (int(x), int(y)), self._sun)
        for number, (layer, top) in enumerate(self._layers):
            # Near layers pass faster than far ones, which makes the depth.
            offset = int(seconds * width * 0.02 * (number + 1) ** 1.6) % layer.width
            for left in range(-offset, width, layer.width):
                frame.paste(layer, (left, top), layer)
        return frame

    def _draw_sky(self) -> Image.Image:
        width, height = self._size
        if self._night:
            top, bottom = _colour(self._hue, 0.75, 0.12), _colour(self._hue + 0.10, 0.60, 0.48)
        else:
            top, bottom = _colour(self._hue, 0.50, 0.62), _colour(self._hue + 0.13, 0.30, 1.0)
        strip = Image.new("RGB", (1, 2))
        strip.putpixel((0, 0), top)
        strip.putpixel((0, 1), bottom)
        # Only the middle half of the enlarged strip is a slope, its ends are flat.
        sky = strip.resize((1, height * 2), Image.Resampling.BILINEAR).crop(
            (0, height // 2, 1, height * 3 // 2)
        )
        sky = sky.resize(self._size)
        if self._night:
            draw = ImageDraw.Draw(sky)
            for _ in range(130):
                x, y = self._chance.randrange(width), self._chance.randrange(int(height * 0.6))
                glow = self._chance.randint(110, 255)
                radius = self._chance.choice((0, 0, 0, 1)) * height / 720
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(glow, glow, glow))
        return sky

    def _draw_sun(self) -> Image.Image:
        radius = int(min(self._size) * self._chance.uniform(0.07, 0.11))
        colour = _colour(self._hue + 0.13, 0.08 if self._night else 0.22, 1.0)
        box = radius * 7
        middle = box // 2
        # The glow is blurred at a quarter of the size: it has no edges to lose.
        glow = Image.new("L", (box // 4, box // 4))
        spread = radius * 1.5 / 4
        ImageDraw.Draw(glow).ellipse(
            (middle / 4 - spread, middle / 4 - spread, middle / 4 + spread, middle / 4 + spread), fill=130
        )
        alpha = glow.filter(ImageFilter.GaussianBlur(radius / 6)).resize((box, box), Image.Resampling.BICUBIC)
        disc = Image.new("L", (box * 2, box * 2))
        ImageDraw.Draw(disc).ellipse(
            ((middle - radius) * 2, (middle - radius) * 2, (middle + radius) * 2, (middle + radius) * 2),
            fill=255,
        )
        disc = disc.resize((box, box), Image.Resampling.LANCZOS)
        alpha.paste(disc, (0, 0), disc)
        sun = Image.new("RGBA", (box, box), colour)
        sun.putalpha(alpha)
        return sun

    def _draw_layer(self, number: int) -> tuple[Image.Image, int]:
        """Return a strip that joins its own beginning, and how far down it begins."""
        width, height = self._size
        depth = number / (_LAYERS - 1)
        strip = int(width * 1.5)
        base = height * (0.50 + 0.13 * number)
        swing = height * (0.15 - 0.02 * number)
        if self._night:
            colour = _colour(self._hue + 0.06 - 0.05 * depth, 0.55 + 0.2 * depth, 0.36 - 0.29 * depth)
        else:
            colour = _colour(self._hue + 0.10 - 0.10 * depth, 0.28 + 0.40 * depth, 0.84 - 0.60 * depth)
        top = int(base - swing * 1.7)
        # Drawn twice as large and made smaller, for smooth edges.
        mask = Image.new("L", (strip * 2, (height - top) * 2))
        draw = ImageDraw.Draw(mask)
        outline = getattr(self, f"_{self._land}")(strip, base - top, swing, number)
        draw.polygon([(x * 2, y * 2) for x, y in [(0, height), *outline, (strip, height)]], fill=255)
        layer = Image.new("RGBA", (strip, height - top), colour)
        layer.putalpha(mask.resize(layer.size, Image.Resampling.BOX))
        if self._land == "city":
            self._light_windows(layer, outline, number)
        return layer, top

    def _hills(self, strip: int, base: float, swing: float, number: int) -> list[tuple[float, float]]:
        waves = [
            (
                self._chance.randint(1 + order, 2 + 2 * order + number // 2),
                self._chance.uniform(0, math.tau),
                order,
            )
            for order in range(3)
        ]
        return [
            (
                x,
                base
                + sum(
                    swing * 0.6 / (1 + order) * math.sin(math.tau * n * x / strip + p)
                    for n, p, order in waves
                ),
            )
            for x in range(0, strip + 4, 4)
        ]

    def _peaks(self, strip: int, base: float, swing: float, number: int) -> list[tuple[float, float]]:
        heights = [0.0, 0.0]
        for order in range(6 + number // 2):
            between = [
                (left + right) / 2 + self._chance.uniform(-1, 1) * swing * 1.5 / 1.75**order
                for left, right in pairwise(heights)
            ]
            heights = [value for pair in zip(heights, between, strict=False) for value in pair] + [
                heights[-1]
            ]
        step = strip / (len(heights) - 1)
        return [
            (index * step, base + max(-1.6 * swing, min(1.6 * swing, value)))
            for index, value in enumerate(heights)
        ]

    def _city(self, strip: int, base: float, swing: float, number: int) -> list[tuple[float, float]]:
        outline: list[tuple[float, float]] = []
        x = 0.0
        while x < strip:
            width = min(self._size[0] * self._chance.uniform(0.03, 0.075) * (0.7 + 0.2 * number), strip - x)
            y = base - swing * self._chance.uniform(-0.6, 1.6)
            outline += [(x, y), (x + width, y)]
            x += width
        return outline

    def _light_windows(self, layer: Image.Image, outline: list[tuple[float, float]], number: int) -> None:
        draw = ImageDraw.Draw(layer)
        colour = _colour(self._hue + 0.13, 0.45, 1.0 if self._night else 0.9)
        side = max(2, int(self._size[1] * (0.004 + 0.0015 * number)))
        chance = 0.28 if self._night else 0.10
        for (left, y), (right, _) in zip(outline[::2], outline[1::2], strict=True):
            for row in range(int(y) + side * 2, layer.height - side, side * 3):
                for column in range(int(left) + side * 2, int(right) - side * 2, side * 3):
                    if self._chance.random() < chance:
                        draw.rectangle((column, row, column + side - 1, row + side), fill=colour)
