"""Reads XComs from Airflow's database as plain data, whoever wrote them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


def read(
    session: Session,
    keys: tuple[str, ...],
    *,
    dag_id: str,
    run_id: str,
    task_ids: list[str] | None = None,
    map_indexes: list[int] | None = None,
) -> list[tuple[str, int, str, Any, datetime]]:
    """
    Return XComs of a run: task ID, map index, key, value and when it was pushed.

    Airflow's own way to read them makes objects of what a DAG author wrote; here they stay plain data.

    :param session: A session of Airflow's database.
    :param keys: Which XComs.
    :param dag_id: The DAG.
    :param run_id: The run.
    :param task_ids: Of these tasks alone.
    :param map_indexes: Of these map indexes alone.
    """
    from sqlalchemy import select

    from airflow_provider_runway.compat import XComModel

    columns = (XComModel.task_id, XComModel.map_index, XComModel.key, XComModel.value, XComModel.timestamp)
    query = select(*columns).where(
        XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.key.in_(keys)
    )
    if task_ids is not None:
        query = query.where(XComModel.task_id.in_(task_ids))
    if map_indexes is not None:
        query = query.where(XComModel.map_index.in_(map_indexes))
    return [
        (task_id, map_index, key, plain(value), pushed_at)
        for task_id, map_index, key, value, pushed_at in session.execute(query)
    ]


def plain(value: Any) -> Any:
    """
    Return the plain data of an XCom's column; ``None`` for bytes that are no JSON.

    :param value: Data, as workers of Airflow 3 leave it, or JSON of it as a text, as Airflow's own model does
        (in bytes up to Airflow 2).
    """
    if not isinstance(value, str | bytes):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None if isinstance(value, bytes) else value
    # An ID of digits alone is a text and no number.
    return found if isinstance(value, bytes) or isinstance(found, str | list | dict) else value


def http_url(value: Any) -> str | None:
    """
    Return a value if a browser may be sent there: an absolute http or https URL.

    :param value: What an XCom holds.
    """
    if not isinstance(value, str) or len(value) > 4096 or not value.isprintable() or " " in value:
        return None
    try:
        parts = urlsplit(value)
        found = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        return None
    return value if found else None
