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
from airflow_provider_runway.files import addresses
from airflow_provider_runway.files.kinds import BEGINNING, kind_of
from airflow_provider_runway.files.mp4 import is_mp4
from airflow_provider_runway.files.storage import CHUNK_SIZE
from airflow_provider_runway.waiting.backoff import backoff

log = logging.getLogger(__name__)

#: How often a download goes on after a break, as long as more of it comes each time.
_MOST_BREAKS = 1000
_MOST_REDIRECTS = 5
#: Answers that say: not from this URL (any more). A signed URL can have become too old.
_REFUSED = (400, 401, 403, 404, 410, 451)
#: Progress is logged at most so often, in seconds.
_PROGRESS_EVERY = 10.0

_LARGEST_PICTURE = 20_000_000


class Download:
    """
    A video that is read from the network.

    :param session: A session without the key.
    :param url: The URL of the video.
    :param others: Gives further URLs of the same video, one each time that the last one is refused. What has
        come by then is kept.
    :param patience: Seconds for which it is tried to go on after a break without anything new.
    :param check_url: Raises where a URL, also one that is redirected to, is not to be asked for.
    :param options: Further arguments of each request, such as its ``timeout``.
    """

    def __init__(
        self,
        session: Session,
        url: str,
        *,
        others: Iterator[str] | None = None,
        patience: float = 0.0,
        check_url: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        self.url = url
        #: Its size in bytes, once the server has said it.
        self.size: int | None = None
        self._session = session
        self._others = others or iter(())
        self._patience = patience
        self._check_url = check_url or (lambda _: None)
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
        waited = 0.0
        progress = _Progress()
        beginning = b""
        check = check or _check_mp4
        while True:
            before = self._received
            try:
                for chunk in self._rest():
                    if len(beginning) < BEGINNING:
                        beginning += chunk[:BEGINNING]
                        if len(beginning) >= BEGINNING:
                            check(beginning)
                    self._received += len(chunk)
                    progress.say(self._received, self.size)
                    yield chunk
                break
            except _RefusedError as refused:
                self.url = self._another(refused)
            except _BrokenOffError as broken:
                breaks += 1
                in_a_row, waited = (1, 0.0) if self._received > before else (in_a_row + 1, waited)
                pause = backoff(in_a_row, broken.retry_after)
                waited += pause
                if not self._received or breaks > _MOST_BREAKS or waited > self._patience:
                    raise RunwayServerError(str(broken), retry_after=broken.retry_after) from broken
                log.info("%s. Going on from there in %.0f s.", broken, pause)
                tenacity.nap.sleep(pause)
        if len(beginning) < BEGINNING:
            raise RunwayServerError(f"{self._received} bytes came, which is no file that was meant")

    def _another(self, refused: _RefusedError) -> str:
        log.info("%s: %s", self.url.partition("?")[0], refused)
        url = next(self._others, None)
        if url is None:
            raise RunwayVideoExpiredError(
                f"{refused}: the video is not there (any more). kie.ai keeps it 14 days. See {LOGS_URL}"
            )
        return url

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
                for chunk in _pieces(response) if skip is not None else ():
                    wanted = chunk[skip:] if skip else chunk
                    skip = max(0, (skip or 0) - len(chunk))
                    if wanted:
                        yield wanted
        # A ValueError is what becomes of a redirect to an address that cannot be parsed.
        except (RequestException, HTTPError, ValueError) as error:
            if isinstance(error, RunwayError):
                raise
            raise _BrokenOffError(f"broken off after {self._received} bytes: {error}") from error
        if self._received != (self.size if self.size is not None else self._received) or not self._received:
            raise _BrokenOffError(f"broken off after {self._received} of {_or_unknown(self.size)} bytes")

    @contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[Response]:
        url = self.url
        for _ in range(_MOST_REDIRECTS + 1):
            if not addresses.is_http(url):
                raise RunwayServerError(f"{url.partition('?')[0][:200]!r} is no http or https URL")
            self._check_url(url)
            with self._session.get(
                url, stream=True, headers=headers, allow_redirects=False, **self._options
            ) as response:
                if not response.is_redirect:
                    yield response
                    return
                url = urljoin(url, response.headers["Location"])
        raise RunwayServerError(f"redirected more than {_MOST_REDIRECTS} times")

    def _check(self, response: Response) -> int | None:
        """
        Look at an answer's head, and return how many of its bytes have come before; ``None`` where all have.
        """
        status, received = response.status_code, self._received
        if status in _REFUSED:
            raise _RefusedError(f"HTTP {status}")
        if status == 206 and received:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != received or not self._fits(found[2]):
                raise RunwayServerError("the rest of it does not fit: the video has changed meanwhile")
            return 0
        if status == 416 and received:
            # Also the answer where nothing is left, of a video whose length was not said.
            found = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != received or not self._fits(found[1]):
                raise RunwayServerError("there is no rest of it: the video has changed meanwhile")
            return None
        if status != 200:
            kind = response.headers.get("Content-Type", "")
            raise _BrokenOffError(
                f"HTTP {status} and content of type {kind[:100]!r}: no video"
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

    def _fits(self, total: str) -> bool:
        if total == "*":
            return True
        if self.size is None:
            self.size = int(total)
        return self.size == int(total)


class _BrokenOffError(Exception):
    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _RefusedError(Exception):
    pass


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


def _pieces(response: Response) -> Iterator[bytes]:
    # Where it can give what is there, what came before a break is not lost with the rest of a chunk.
    read: Callable[..., bytes] = getattr(response.raw, "read1", response.raw.read)
    while piece := read(CHUNK_SIZE, decode_content=False):
        yield piece


def picture(download: Download) -> tuple[bytes, str]:
    """
    Return a picture, and how the name of its file ends.

    :param download: Where it is to come from.
    :raises RunwayError: it cannot be had, or is no JPEG, PNG or WebP, or a huge one.
    """
    endings: list[str] = []

    def check(beginning: bytes) -> None:
        kind = kind_of(beginning)
        if kind is None or not kind.is_picture:
            raise RunwayServerError(f"what came begins with {beginning[:BEGINNING]!r}, which is no picture")
        endings.append(kind.ending)

    content = b""
    for chunk in download.chunks(check):
        content += chunk
        if len(content) > _LARGEST_PICTURE:
            raise RunwayServerError(f"the picture has more than {_LARGEST_PICTURE} bytes")
    return content, endings[-1]


def _check_mp4(beginning: bytes) -> None:
    if not is_mp4(beginning):
        raise RunwayServerError(f"what came begins with {beginning[:BEGINNING]!r}: a page perhaps, no MP4")


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _or_unknown(size: int | None) -> str:
    return "unknown" if size is None else str(size)
