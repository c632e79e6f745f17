"""Where things are in Airflow's UI."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

#: The last part of the address of the tab of a task instance.
VIDEO_TAB = "runway-video"
#: The last part of the address of the tab of a run.
GALLERY_TAB = "runway-videos"


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


def below_base(path: str) -> str:
    """
    Return a path of Airflow's UI for a link, on whichever host a person has reached Airflow.

    :param path: The path, relative to Airflow's base URL.
    """
    from airflow_provider_runway.compat import conf

    base = urlsplit(conf.get("api", "base_url", fallback="") or "").path
    return f"{base.rstrip('/')}/{path}"
