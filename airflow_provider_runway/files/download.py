"""Reads a video from where kie.ai keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from requests import RequestException, Session
from urllib3.exceptions import HTTPError

from airflow_provider_runway.exceptions import LOGS_URL, RunwayServerError, RunwayVideoExpiredError
from airflow_provider_runway.files.storage import CHUNK_SIZE


def video_chunks(session: Session, video_url: str, **options: Any) -> Iterator[bytes]:
    """
    Yield the bytes of a video.

    :param session: A session without the key.
    :param video_url: The public URL of the video.
    :param options: Further arguments of the request, such as its ``timeout``.
    :raises RunwayVideoExpiredError: there is no such video (any more).
    :raises RunwayServerError: not all of it came.
    """
    size = 0
    try:
        with session.get(
            video_url,
            stream=True,
            headers={"Accept": "*/*", "Accept-Encoding": "identity"},
            **options,
        ) as response:
            if response.status_code in (403, 404, 410):
                raise RunwayVideoExpiredError(
                    f"HTTP {response.status_code}: the video is not there (any more). kie.ai keeps it 14 "
                    f"days. See {LOGS_URL}"
                )
            kind = response.headers.get("Content-Type", "")
            if response.status_code != 200 or kind.startswith(("text/", "application/json")):
                raise RunwayServerError(f"HTTP {response.status_code} and {kind or 'no'} content: no video")
            for chunk in response.iter_content(CHUNK_SIZE):
                size += len(chunk)
                yield chunk
            expected = response.headers.get("Content-Length", "")
    # A ValueError is what becomes of a redirect to an address that cannot be parsed.
    except (RequestException, HTTPError, ValueError) as error:
        raise RunwayServerError(f"broken off after {size} bytes: {error}") from error
    if not size or (expected.isdecimal() and int(expected) != size):
        raise RunwayServerError(f"broken off after {size} of {expected or 'unknown'} bytes")
