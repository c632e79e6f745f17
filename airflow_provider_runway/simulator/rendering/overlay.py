"""What is written into the picture: the prompt, what made the video, and the time."""

from __future__ import annotations

import bisect
import contextlib
import re
import unicodedata

from PIL import Image, ImageDraw, ImageFont

from airflow_provider_runway.simulator.plans import Plan, Segment

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_FADE = 0.5
_WHITE = (255, 255, 255)
_ACCENT = (255, 196, 84)
_EAST_ASIAN_FONTS = ("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc")
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "arial.ttf")
_DASHES = re.compile("[\u2010-\u2015]")
_MARGIN, _PADDING = 32, 30
_NOTE = "simulated by airflow-provider-runway"


def font_for(text: str, size: int) -> tuple[Font, str]:
    """Return a font for a text, and the text as that font can write it.

    Pillow's own font knows hardly more than ASCII. Where no other is installed, accents are dropped and
    letters of other scripts become question marks.

    :param size: pixels.
    """
    if _is_plain(text):
        return ImageFont.load_default(size), text
    for name in _EAST_ASIAN_FONTS * any(letter >= "\u2e80" for letter in text) + _FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, size), text
    bare = "".join(
        letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)
    )
    written = (_DASHES.sub("-", letter) if not _is_plain(letter) else letter for letter in bare)
    return ImageFont.load_default(size), "".join(letter if _is_plain(letter) else "?" for letter in written)


def _is_plain(text: str) -> bool:
    return all(letter.isascii() or letter in "\u2018\u2019\u201c\u201d…·" for letter in text)


def wrap(text: str, font: Font, width: float, lines: int) -> list[str]:
    """Break a text into lines no wider than ``width`` pixels, the last ending in an ellipsis if need be.

    :param lines: how many there may be.
    """
    done: list[str] = []
    line = ""
    words = text.split()
    while words:
        word = words.pop(0)
        candidate = f"{line} {word}".strip()
        if font.getlength(candidate) <= width:
            line = candidate
            continue
        if not line:
            fitting = bisect.bisect_right(
                range(1, len(word) + 1), width, key=lambda n: font.getlength(word[:n])
            )
            cut = max(1, fitting)
            line, word = word[:cut], word[cut:]
        done.append(line)
        line = ""
        if word:
            words.insert(0, word)
        if len(done) == lines and words:
            last = done[-1]
            while last and font.getlength(last + "…") > width:
                last = last[:-1]
            return [*done[:-1], last.rstrip() + "…"]
    return [*done, line] if line else done


class Overlay:
    """Writes on the frames of one video.

    :param size: width and height of the frames in pixels.
    """

    def __init__(self, plan: Plan, size: tuple[int, int]) -> None:
        self._size = size
        self._seconds = plan.seconds
        self._unit = min(size) / 720
        self._small, _ = font_for("", self._pixels(20))
        self._at_top = plan.text_at_top
        self._watermark = plan.watermark
        self._panels: list[tuple[float, Image.Image]] = []
        start = 0.0
        for segment in plan.segments:
            self._panels.append((start, self._draw_panel(segment)))
            start += segment.seconds

    def _pixels(self, points: float) -> int:
        """Return a length that is given for a short side of 720 pixels."""
        return round(points * self._unit)

    def draw(self, frame: Image.Image, seconds: float) -> None:
        """Write on the frame that is shown at a time."""
        start, panel = next(item for item in reversed(self._panels) if item[0] <= seconds)
        margin, padding = self._pixels(_MARGIN), self._pixels(_PADDING)
        y = margin if self._at_top else self._size[1] - margin - panel.height
        alpha = panel.getchannel("A")
        shown = (seconds - start) / _FADE + 0.25
        if shown < 1:
            alpha = alpha.point([int(value * shown) for value in range(256)])
        frame.paste(panel, (margin, y), alpha)
        draw = ImageDraw.Draw(frame)
        clock = f"{seconds:.1f} / {self._seconds:.0f} s"
        right = self._size[0] - margin - padding
        draw.text((right, y + self._pixels(20)), clock, _WHITE, self._small, anchor="ra")
        self._draw_progress(draw, seconds)
        if self._watermark:
            font, text = font_for(self._watermark[:60], self._pixels(26))
            below = y + panel.height + margin if self._at_top else margin
            at = (self._size[0] - margin, below)
            draw.text(
                at, text, _WHITE, font, anchor="ra", stroke_width=self._pixels(2), stroke_fill=(0, 0, 0)
            )

    def _draw_progress(self, draw: ImageDraw.ImageDraw, seconds: float) -> None:
        width, height = self._size
        thick = self._pixels(6)
        draw.rectangle((0, height - thick, width, height), fill=(20, 20, 28))
        draw.rectangle((0, height - thick, width * (seconds + 1 / 24) / self._seconds, height), fill=_ACCENT)
        for start, _ in self._panels[1:]:
            x = width * start / self._seconds
            draw.rectangle((x - thick / 2, height - thick * 2, x + thick / 2, height), fill=_WHITE)

    def _draw_panel(self, segment: Segment) -> Image.Image:
        padding = self._pixels(_PADDING)
        width = self._size[0] - 2 * self._pixels(_MARGIN)
        # Short prompts in large letters, long ones in smaller letters and on more lines.
        for points, limit in ((46, 2), (36, 3), (28, 5)):
            font, prompt = font_for(segment.prompt, self._pixels(points))
            lines = wrap(prompt, font, width - 2 * padding, limit)
            if not lines[-1].endswith("…"):
                break
        step, head = self._pixels(points * 1.3), self._pixels(54)
        panel = Image.new("RGBA", (width, head + step * len(lines) + self._pixels(20)))
        draw = ImageDraw.Draw(panel)
        corner = (panel.width - 1, panel.height - 1)
        draw.rounded_rectangle((0, 0, *corner), self._pixels(18), fill=(12, 12, 20, 190))
        draw.text((padding, self._pixels(20)), segment.label, (*_ACCENT, 255), self._small)
        after_label = padding + self._small.getlength(segment.label) + self._pixels(18)
        room_for_clock = self._pixels(150)
        if after_label + self._small.getlength(_NOTE) + room_for_clock < width:
            draw.text((after_label, self._pixels(20)), _NOTE, (255, 255, 255, 140), self._small)
        for number, line in enumerate(lines):
            draw.text((padding, head + number * step), line, (*_WHITE, 255), font)
        return panel
