"""Where links lead in Airflow's UI."""

from __future__ import annotations

import pytest

from airflow_provider_runway.links.addresses import below_base, task_instance


@pytest.mark.parametrize(
    ("map_index", "tab", "path"),
    [
        (-1, None, "dags/my%20dag/runs/manual__1%3A00/tasks/group.task"),
        (-1, "runway-video", "dags/my%20dag/runs/manual__1%3A00/tasks/group.task/plugin/runway-video"),
        (0, None, "dags/my%20dag/runs/manual__1%3A00/tasks/group.task/mapped/0"),
        (
            7,
            "runway-video",
            "dags/my%20dag/runs/manual__1%3A00/tasks/group.task/mapped/7/plugin/runway-video",
        ),
    ],
)
def test_the_page_of_a_task_instance(map_index: int, tab: str | None, path: str) -> None:
    assert task_instance("my dag", "manual__1:00", "group.task", map_index, tab=tab) == path


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/dags/d"),
        ("http://localhost:8080", "/dags/d"),
        ("https://example.com/team/airflow/", "/team/airflow/dags/d"),
    ],
)
def test_a_path_is_below_airflows_base_url(base: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base)
    assert below_base("dags/d") == path
