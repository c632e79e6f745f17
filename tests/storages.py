"""What an Airflow can do with URIs of files."""

from __future__ import annotations

import pytest

from airflow_provider_runway.compat import ObjectStoragePath
from tests.versions import AIRFLOW


def skip_where_airflow_takes_none(path: str) -> None:
    """
    End the test if this is an Airflow 3.0 that does not get along with the installed universal_pathlib.

    :param path: The path or URI that the test uses.
    """
    try:
        ObjectStoragePath(path)
    except TypeError as error:
        if AIRFLOW[:2] != (3, 0):
            raise
        pytest.skip(f"this Airflow does not get along with the installed universal_pathlib: {error}")
