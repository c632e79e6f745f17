"""Files of one's own as inputs: where a URL is wanted, a path will do, and is uploaded in the same task.

A request holds URLs. Until it is submitted, a stand-in that names the file takes the place of the upload's
URL, which is another each time: so a retry recognises its request, and uploads nothing where it has nothing
to send.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote, unquote

from airflow_provider_runway.api.requests import URL_FIELDS
from airflow_provider_runway.exceptions import RunwayValidationError

if TYPE_CHECKING:
    from airflow_provider_runway.api.requests import RunwayRequest
    from airflow_provider_runway.hooks.runway import RunwayHook
    from airflow_provider_runway.submissions.journal import SubmissionJournal

log = logging.getLogger(__name__)

Request = TypeVar("Request", bound="RunwayRequest")

# The domain is reserved: it never is a real one (RFC 6761).
_STAND_IN = "https://file-to-upload.invalid/"
_URL = re.compile(r"https?://", re.IGNORECASE)
_PATH = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://.")


def url_or_stand_in(field: str, value: Any) -> Any:
    """
    Return what a request takes for an input: a URL as it is, a stand-in for a file.

    :param field: The name of the request's field.
    :param value: A public URL; or a file: a local path, or a URI for ``ObjectStoragePath``.
    :raises RunwayValidationError: it is neither.
    """
    if value is not None and not isinstance(value, str):
        from airflow_provider_runway.compat import ObjectStoragePath

        # Not every version of the latter is one of the former.
        value = str(value) if isinstance(value, os.PathLike | ObjectStoragePath) else value
    if not isinstance(value, str) or not value.strip() or _URL.match(value):
        # The request itself has rules for these.
        return value
    if not _PATH.match(value):
        raise RunwayValidationError(
            f"{field}={value!r}: must be a public http or https URL, or a file: an absolute path, or a URI "
            "such as s3://connection@bucket/fox.jpg."
        )
    return _STAND_IN + quote(value, safe="/")


def described(description: dict[str, Any]) -> dict[str, Any]:
    """
    Return what was requested, with the files' own paths in it.

    :param description: What :func:`~airflow_provider_runway.triggers.results.description_of` returned.
    """
    return {name: _file_of(value) or value for name, value in description.items()}


def files_of(request: RunwayRequest) -> dict[str, str]:
    """
    Return the files that a request refers to, by its fields.

    :param request: With stand-ins for files.
    """
    found = {field: _file_of(getattr(request, field, None)) for field in URL_FIELDS}
    return {field: path for field, path in found.items() if path is not None}


def uploaded(request: Request, hook: RunwayHook, journal: SubmissionJournal) -> Request:
    """
    Upload the files that a request refers to, and return the request as it is to be sent. An upload of an
    earlier try is reused while it is valid.

    :param request: With stand-ins for files.
    :param hook: The hook.
    :param journal: The record of the task's submissions, which knows of earlier uploads.
    :raises RunwayValidationError: a file is of the wrong kind, or too large.
    :raises FileNotFoundError: there is no such file.
    :raises RunwayError: the upload failed; nothing was charged.
    """
    from airflow_provider_runway.files.storage import Upload

    urls = {}
    for field, path in files_of(request).items():
        with Upload(path, field) as upload:
            upload.check(pictures=field != "video_url", videos=field == "video_url")
            version = upload.version
        url = journal.upload_of(version)
        if url is None:
            url = hook.upload_file(path)
            log.info("Uploaded %s=%r", field, path)
            journal.note_upload(version, url)
        else:
            log.info("Reusing the earlier upload of %s=%r", field, path)
        urls[field] = url
    return replace(request, **cast("Any", urls)) if urls else request


def _file_of(value: Any) -> str | None:
    if not isinstance(value, str) or not value.startswith(_STAND_IN):
        return None
    return unquote(value.removeprefix(_STAND_IN))
