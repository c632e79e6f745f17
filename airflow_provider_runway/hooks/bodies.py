"""Reads no more of an answer than one of kie.ai can have: what is larger, packed or unpacked, is none."""

from __future__ import annotations

import zlib

from airflow_provider_runway.exceptions import RunwayUnreadableAnswerError

#: Bytes of an answer at most, unpacked. kie.ai's have some hundreds; reading megabytes would hold up
#: thousands of waits that share an event loop.
LONGEST = 1024 * 1024

#: The one packing that is asked for, since it can be unpacked in bounded steps.
ACCEPTED = "gzip"


def too_long() -> RunwayUnreadableAnswerError:
    """Return the error for an answer of which the rest is not read."""
    return RunwayUnreadableAnswerError(f"an answer of more than {LONGEST} bytes, which is none of kie.ai's")


def unpacked(body: bytes, encoding: str | None) -> bytes:
    """
    Return an answer's body as it was before it was packed.

    :param body: What came.
    :param encoding: The ``Content-Encoding`` header, if there was one.
    :raises RunwayUnreadableAnswerError: it is too long, or cannot be unpacked.
    """
    named = (encoding or "identity").strip().lower()
    if named == "gzip" and body:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            body = unpacking.decompress(body, LONGEST + 1)
        except zlib.error as error:
            raise RunwayUnreadableAnswerError(
                f"an answer that is no gzip, though it says so: {error}"
            ) from error
        if len(body) <= LONGEST and not unpacking.eof:
            raise RunwayUnreadableAnswerError("an answer whose gzip is broken off")
    elif named not in ("identity", "gzip"):
        raise RunwayUnreadableAnswerError(f"an answer packed as {encoding!r}, which was not asked for")
    if len(body) > LONGEST:
        raise too_long()
    return body
