"""Hands a file in for kie.ai to work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_runway.compat import BaseOperator
from airflow_provider_runway.exceptions import RunwayValidationError

if TYPE_CHECKING:
    from airflow_provider_runway.compat import Context


class RunwayUploadOperator(BaseOperator):
    """
    Upload a picture or a video for kie.ai to work on. Returns its public URL, which is good for 3 days.

    :param path: A local path, or a URI like ``s3://connection@bucket/key.png``. (templated)
    :param runway_conn_id: The :ref:`connection <howto/connection:runway>`. (templated)
    """

    template_fields: Sequence[str] = ("path", "runway_conn_id")
    ui_color = "#fdeed9"

    def __init__(self, *, path: str, runway_conn_id: str = "runway_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.runway_conn_id = runway_conn_id

    def execute(self, context: Context) -> str:
        """Upload, and return the public URL."""
        from airflow_provider_runway.hooks.runway import RunwayHook

        if not isinstance(self.path, str) or not self.path.strip():
            raise RunwayValidationError(f"path={self.path!r}: required: the file to upload.")
        return RunwayHook(self.runway_conn_id).upload_file(self.path)
