"""Reads a video from where kie.ai keeps it, and goes on where a connection broke."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

import tenacity
from requests import RequestException, Response, Session
from urllib3.exceptions import HTTPError

from airflow_provider_runway.exceptions import (
    LOGS_URL,
    RunwayError,
    RunwayServerError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.files import addresses, mp4
from airflow_provider_runway.files.storage import CHUNK_SIZE
from airflow_provider_runway.waiting.backoff import backoff

log = logging.getLogger(__name__)

#: How often a download goes on after a break, as long as more of it comes each time, and without.
_MOST_BREAKS, _MOST_BREAKS_IN_A_ROW = 50, 4
_MOST_REDIRECTS = 5
#: Progress is logged at most so often, in seconds.
_PROGRESS_EVERY = 10.0

#: Pictures by how the name of their file ends, and how they begin.
_PICTURES = {
    ".jpg": re.compile(rb"\xff\xd8\xff"),
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    ".webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
_LARGEST_PICTURE = 20_000_000


class Download:
    """
    A video that is read from the network.

    :param session: A session without the key.
    :param url: The URL of the video.
    :param allowed: URLs whose hosts may have private addresses; ``None`` means that every host may.
    :param through_proxy: Whether a proxy is asked for it.
    :param options: Further arguments of each request, such as its ``timeout``.
    """

    def __init__(
        self,
        session: Session,
        url: str,
        *,
        allowed: tuple[str, ...] | None = (),
        through_proxy: bool = False,
        **options: Any,
    ) -> None:
        self.url = url
        #: Its size in bytes, once the server has said it.
        self.size: int | None = None
        self._session = session
        self._allowed = allowed
        self._through_proxy = through_proxy
        self._options = options
        self._etag = ""
        self._received = 0

    def chunks(self, check: Callable[[bytes], None] | None = None) -> Iterator[bytes]:
        """
        Yield the bytes of the file, all of them.

        :param check: Raises where a file's first bytes are none of what is wanted; by default, of an MP4.
        :raises RunwayVideoExpiredError: there is no such video (any more).
        :raises RunwayServerError: what came is no MP4, or not all of it came.
        :raises RunwayValidationError: it is on a private address.
        """
        breaks = in_a_row = 0
        progress = _Progress()
        beginning = b""
        check = check or _check_mp4
        while True:
            before = self._received
            try:
                for chunk in self._rest():
                    if len(beginning) < mp4.BEGINNING:
                        beginning += chunk[: mp4.BEGINNING]
                        if len(beginning) >= mp4.BEGINNING:
                            check(beginning)
                    self._received += len(chunk)
                    progress.say(self._received, self.size)
                    yield chunk
                break
            except _BrokenOff as broken:
                breaks += 1
                in_a_row = 1 if self._received > before else in_a_row + 1
                if not self._received or breaks > _MOST_BREAKS or in_a_row > _MOST_BREAKS_IN_A_ROW:
                    raise RunwayServerError(str(broken), retry_after=broken.retry_after) from broken
                pause = min(backoff(in_a_row, broken.retry_after), _PROGRESS_EVERY)
                log.info("%s. Going on from there in %.0f s.", broken, pause)
                tenacity.nap.sleep(pause)
        if len(beginning) < mp4.BEGINNING:
            raise RunwayServerError(f"{self._received} bytes came, which is no file that was meant")

    def _rest(self) -> Iterator[bytes]:
        """Yield what has not come yet."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self._received:
            headers["Range"] = f"bytes={self._received}-"
            # A weak one does not promise the same bytes.
            if self._etag and not self._etag.startswith("W/"):
                headers["If-Range"] = self._etag
        try:
            with self._response(headers) as response:
                skip = self._check(response)
                for chunk in response.iter_content(CHUNK_SIZE):
                    wanted = chunk[skip:] if skip else chunk
                    skip = max(0, skip - len(chunk))
                    if wanted:
                        yield wanted
        # A ValueError is what becomes of a redirect to an address that cannot be parsed.
        except (RequestException, HTTPError, ValueError) as error:
            if isinstance(error, RunwayError):
                raise
            raise _BrokenOff(f"broken off after {self._received} bytes: {error}") from error
        if self._received != (self.size if self.size is not None else self._received) or not self._received:
            raise _BrokenOff(f"broken off after {self._received} of {_or_unknown(self.size)} bytes")

    @contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[Response]:
        url = self.url
        for _ in range(_MOST_REDIRECTS + 1):
            if not addresses.is_http(url):
                raise RunwayServerError(f"redirected to {url!r}, which is no http or https URL")
            if self._allowed is not None:
                addresses.check_public(url, allowed=self._allowed, by_name_alone=self._through_proxy)
            with self._session.get(
                url, stream=True, headers=headers, allow_redirects=False, **self._options
            ) as response:
                if not response.is_redirect:
                    self._check_peer(url, response)
                    yield response
                    return
                url = urljoin(url, response.headers["Location"])
        raise RunwayServerError(f"redirected more than {_MOST_REDIRECTS} times")

    def _check_peer(self, url: str, response: Response) -> None:
        if self._allowed is None or self._through_proxy:
            return
        connection = getattr(response.raw, "connection", None) or getattr(response.raw, "_connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            addresses.check_peer(url, sock.getpeername(), allowed=self._allowed)

    def _check(self, response: Response) -> int:
        """Look at an answer's head, and return how many of its bytes have come before."""
        status, received = response.status_code, self._received
        if status in (403, 404, 410):
            raise RunwayVideoExpiredError(
                f"HTTP {status}: the video is not there (any more). kie.ai keeps it 14 days. See {LOGS_URL}"
            )
        if status == 206 and received:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != received or found[2] not in ("*", str(self.size)):
                raise RunwayServerError("the rest of it does not fit: the video has changed meanwhile")
            return 0
        if status != 200:
            kind = response.headers.get("Content-Type", "")
            raise _BrokenOff(
                f"HTTP {status} and {kind or 'no'} content: no video"
                + (f"; {received} bytes came before" if received else ""),
                retry_after=_seconds(response.headers.get("Retry-After")),
            )
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else None
        etag = response.headers.get("ETag", "")
        if received and (size, etag) != (self.size, self._etag):
            raise RunwayServerError("the video has changed meanwhile")
        self.size, self._etag = size, etag
        return received


class _BrokenOff(Exception):
    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Progress:
    """Logs how much of a large file has come."""

    def __init__(self) -> None:
        self._said_at = time.monotonic()

    def say(self, received: int, size: int | None) -> None:
        now = time.monotonic()
        if now - self._said_at < _PROGRESS_EVERY:
            return
        self._said_at = now
        share = f" ({100 * received // size} %)" if size else ""
        log.info("%.0f of %s MB%s", received / 1e6, f"{size / 1e6:.0f}" if size else "unknown", share)


def picture(download: Download) -> tuple[bytes, str]:
    """
    Return a picture, and how the name of its file ends.

    :param download: Where it is to come from.
    :raises RunwayError: it cannot be had, or is no JPEG, PNG or WebP, or a huge one.
    """
    endings: list[str] = []

    def check(beginning: bytes) -> None:
        endings.extend(ending for ending, pattern in _PICTURES.items() if pattern.match(beginning))
        if not endings:
            raise RunwayServerError(f"what came begins with {beginning[:12]!r}, which is no picture")

    content = b""
    for chunk in download.chunks(check):
        content += chunk
        if len(content) > _LARGEST_PICTURE:
            raise RunwayServerError(f"the picture has more than {_LARGEST_PICTURE} bytes")
    return content, endings[-1]


def _check_mp4(beginning: bytes) -> None:
    if not mp4.is_mp4(beginning):
        raise RunwayServerError(
            f"what came begins with {beginning[: mp4.BEGINNING]!r}: a page or something else, no MP4"
        )


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _or_unknown(size: int | None) -> str:
    return "unknown" if size is None else str(size)
