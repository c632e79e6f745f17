"""Which kind a file is of, by its first bytes: names and media types can be wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Bytes that show it.
BEGINNING = 12


@dataclass(frozen=True)
class Kind:
    """
    A kind of file that goes to kie.ai or comes from it.

    :param name: What people call it.
    :param ending: How the name of such a file ends.
    :param media_type: Its media type.
    :param pattern: What its first :data:`BEGINNING` bytes match.
    :param is_picture: Whether it is a picture, and no video.
    """

    name: str
    ending: str
    media_type: str
    pattern: re.Pattern[bytes]
    is_picture: bool = True


KINDS = (
    Kind("JPEG", ".jpg", "image/jpeg", re.compile(rb"\xff\xd8\xff")),
    Kind("PNG", ".png", "image/png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    Kind("WebP", ".webp", "image/webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    Kind("MP4", ".mp4", "video/mp4", re.compile(rb"....ftyp", re.DOTALL), is_picture=False),
)

#: How the name of a picture can end that stands beside a video.
PICTURE_ENDINGS = tuple(kind.ending for kind in KINDS if kind.is_picture)


def kind_of(beginning: bytes) -> Kind | None:
    """
    Return the kind of a file, ``None`` for one that is not known here.

    :param beginning: Its first bytes, :data:`BEGINNING` of them where it has so many.
    """
    return next((kind for kind in KINDS if kind.pattern.match(beginning)), None)
