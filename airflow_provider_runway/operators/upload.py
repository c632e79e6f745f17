"""Uploads a file for kie.ai to work on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import BaseOperator
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.triggers import results

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context, XComArg


class RunwayUploadOperator(BaseOperator):
    """
    Upload a picture or a video for kie.ai to work on. Returns its public URL, which is valid for 3 days.

    If only one task needs it, pass the path to that task as ``image_url``, ``video_url`` or
    ``reference_image`` instead.

    :param path: A JPEG, PNG, WebP or MP4 of at most 10 MB: a local path, or a URI like
        ``s3://connection@bucket/key.png``. (templated)
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`. (templated)
    :raises RunwayValidationError: the file is of another type, or too large; nothing was sent.
    :raises FileNotFoundError: the file does not exist (yet): the one error that is Python's own.
    :raises RunwayError: the upload failed; the class says why.
    """

    template_fields: Sequence[str] = ("path", "runway_conn_id")
    ui_color = "#fdeed9"

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | XComArg,
        runway_conn_id: str = "runway_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path: Any = path
        self.runway_conn_id = runway_conn_id

    def execute(self, context: Context) -> str:
        """Upload the file, and return its public URL."""
        from airflow_provider_runway.hooks.runway import RunwayHook

        with results.reporting(context):
            path = str(self.path) if isinstance(self.path, os.PathLike) else self.path
            if not isinstance(path, str) or not path.strip():
                raise RunwayValidationError(f"path={path!r}: required: the file to upload.")
            return RunwayHook(self.runway_conn_id).upload_file(path)
