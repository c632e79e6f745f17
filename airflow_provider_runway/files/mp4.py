"""What an MP4 file looks like from outside: boxes one after the other, the first of them ``ftyp``.

Each box begins with its length (32 bits, or 64 where those say 1) and its type: ISO/IEC 14496-12, 4.2.
"""

from __future__ import annotations

from airflow_provider_runway.files.kinds import BEGINNING, kind_of

__all__ = ["BEGINNING", "Boxes", "is_mp4"]


def is_mp4(beginning: bytes) -> bool:
    """
    Return whether a file begins as an MP4 does.

    :param beginning: Its first bytes, :data:`BEGINNING` of them at least.
    """
    kind = kind_of(beginning)
    return kind is not None and not kind.is_picture


#: Types of boxes that a file is made of.
_TYPES = frozenset(
    (
        b"ftyp",
        b"styp",
        b"moov",
        b"mdat",
        b"moof",
        b"mfra",
        b"meta",
        b"free",
        b"skip",
        b"wide",
        b"uuid",
        b"sidx",
    )
)


class Boxes:
    """Follows the boxes of a file that is read in pieces, to tell whether it ends where its last box does."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self._to_the_end = False
        self._first = self._last = b""

    def feed(self, data: bytes) -> None:
        """
        Take the next piece.

        :param data: Of any length.
        """
        view = memoryview(data)
        while len(view) and not self._to_the_end:
            if self._left:
                skipped = min(self._left, len(view))
                self._left -= skipped
                view = view[skipped:]
                continue
            wanted = 16 if self._head[:4] == b"\0\0\0\1" else 8
            taken = wanted - len(self._head)
            self._head += bytes(view[:taken])
            view = view[taken:]
            if len(self._head) == wanted and not (wanted == 8 and self._head[:4] == b"\0\0\0\1"):
                self._begin_box()

    def _begin_box(self) -> None:
        head, self._head = self._head, b""
        self._last = head[4:8]
        self._first = self._first or self._last
        length = int.from_bytes(head[8:16] if len(head) == 16 else head[:4], "big")
        # A length of 0 means: to the end of the file.
        self._to_the_end = length < len(head)
        self._left = max(0, length - len(head))

    @property
    def are_whole(self) -> bool:
        """Whether it is an MP4 so far, with nothing missing of its last box."""
        return self._first == b"ftyp" and not self.are_cut

    @property
    def are_a_part(self) -> bool:
        """Whether it is an MP4 of which the rest is missing."""
        return self._first == b"ftyp" and self.are_cut

    @property
    def are_cut(self) -> bool:
        """Whether something is missing of the last box, of a type that is known: else it is some appendix."""
        return self._left > 0 and self._last in _TYPES
