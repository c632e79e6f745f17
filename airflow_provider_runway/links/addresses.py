"""Where things are in Airflow's UI."""

from __future__ import annotations

import logging
from urllib.parse import quote, urlsplit

log = logging.getLogger(__name__)

#: The last part of the address of the tab of a task instance.
VIDEO_TAB = "runway-video"
#: The last part of the address of the tab of a run.
GALLERY_TAB = "runway-videos"

#: Options of which it was said that they have no truth value.
_SAID: set[str] = set()


def task_instance(dag_id: str, run_id: str, task_id: str, map_index: int, *, tab: str | None = None) -> str:
    """
    Return the path of a task instance's page, relative to Airflow's base URL.

    :param dag_id: The DAG.
    :param run_id: The run.
    :param task_id: The task.
    :param map_index: The index of a mapped task instance, otherwise -1.
    :param tab: The plugin's tab to open.
    """
    parts = ["dags", dag_id, "runs", run_id, "tasks", task_id]
    if map_index >= 0:
        parts += ["mapped", str(map_index)]
    if tab:
        parts += ["plugin", tab]
    return "/".join(quote(part, safe="") for part in parts)


def has_tab(option: str) -> bool:
    """
    Return whether a tab is to be there; where its option is no truth value, it is.

    :param option: ``video_tab`` or ``gallery_tab`` of ``[runway]``.
    """
    from airflow_provider_runway.compat import conf

    try:
        return bool(conf.getboolean("runway", option, fallback=True))
    # Each Airflow has an error of its own for it, and a typing error must not cost all that a plugin brings.
    except Exception as error:
        if option not in _SAID:
            _SAID.add(option)
            log.warning("[runway] %s: must be True or False, so it is taken for True: %s", option, error)
        return True


def below_base(path: str) -> str:
    """
    Return a path of Airflow's UI for a link, on whichever host a person has reached Airflow.

    :param path: The path, relative to Airflow's base URL.
    """
    from airflow_provider_runway.compat import conf

    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path
    return f"{base.rstrip('/')}/{path}"
