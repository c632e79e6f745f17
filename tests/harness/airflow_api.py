"""Talk to a local Airflow as a user's program would: through its public REST API.

Airflow 3 answers under ``/api/v2`` and wants a token; 2.11 answers under ``/api/v1`` and is configured by
:class:`~tests.harness.local_airflow.LocalAirflow` to want none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import requests

from tests.harness.processes import HarnessError

T = TypeVar("T")
FINAL_RUN_STATES = frozenset({"success", "failed"})


class AirflowApi:
    """A client for the REST API of one Airflow.

    :param url: the address of the API server (3.x) or the web server (2.11)
    :param major: Airflow's major version, 2 or 3
    :param check: called at each look while waiting; raises when waiting on makes no sense
    :param login: user name and password, where Airflow 3 wants some
    """

    def __init__(
        self,
        url: str,
        *,
        major: int,
        check: Callable[[], None] = lambda: None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.url = url
        self._major = major
        self._check = check
        self._login = login
        self._base = f"{url}/api/v{major - 1}"
        self._session = requests.Session()
        # A proxy of the user's machine knows nothing of this machine's loopback.
        self._session.trust_env = False

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """Make a request and return the decoded answer (``None`` where there is no body, text as it is).

        :param path: the path after ``/api/v2``, beginning with a slash
        :raises requests.HTTPError: when the answer is an error
        """
        if self._major >= 3 and "Authorization" not in self._session.headers:
            self._log_in()
        response = self._session.request(method, self._base + path, timeout=60, **kwargs)
        if response.status_code == 401 and self._major >= 3:
            self._log_in()
            response = self._session.request(method, self._base + path, timeout=60, **kwargs)
        if not response.ok:
            raise requests.HTTPError(
                f"{method} {path}: HTTP {response.status_code} {response.text[:1000]}", response=response
            )
        if response.headers.get("Content-Type", "").startswith("text/plain"):
            return response.text
        return response.json() if response.content else None

    def _log_in(self) -> None:
        url = f"{self.url}/auth/token"
        if self._login:
            body = dict(zip(("username", "password"), self._login, strict=True))
            response = self._session.post(url, json=body, timeout=60)
        else:
            response = self._session.get(url, timeout=60)
        response.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"

    def health(self) -> dict[str, Any]:
        """Return what Airflow says about its components, empty while it cannot answer."""
        path = "/api/v2/monitor/health" if self._major >= 3 else "/health"
        try:
            response = self._session.get(self.url + path, timeout=10)
            return dict(response.json()) if response.ok else {}
        except (requests.RequestException, ValueError):
            return {}

    def wait_until(self, what: str, look: Callable[[], T | None], *, timeout: float) -> T:
        """Look again and again until there is something to return.

        :param what: what is waited for, for the error's text
        :param look: returns ``None`` while it is not there yet
        :param timeout: seconds
        :raises HarnessError: when it is not there in time
        """
        deadline = time.monotonic() + timeout
        while True:
            if (found := look()) is not None:
                return found
            self._check()
            if time.monotonic() > deadline:
                raise HarnessError(f"waited {timeout:.0f} s in vain for {what}")
            time.sleep(0.5)

    def wait_for_dag(self, dag_id: str, *, timeout: float = 120) -> None:
        """Wait until Airflow has read a DAG from its file.

        :raises HarnessError: when a DAG file has import errors, or the DAG does not appear in time
        """

        def look() -> bool | None:
            if self._knows(f"/dags/{dag_id}"):
                return True
            if errors := self.import_errors():
                raise HarnessError("DAG files with import errors:\n" + "\n".join(errors.values()))
            return None

        self.wait_until(f"DAG {dag_id}", look, timeout=timeout)

    def _knows(self, path: str) -> bool:
        try:
            self.request("GET", path)
        except requests.HTTPError as error:
            if error.response is None or error.response.status_code != 404:
                raise
            return False
        return True

    def import_errors(self) -> dict[str, str]:
        """Return the import errors of DAG files: file name to traceback."""
        found = self.request("GET", "/importErrors")["import_errors"]
        return {error["filename"]: f"{error['filename']}:\n{error['stack_trace']}" for error in found}

    def trigger_dag(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, *, run_id: str | None = None
    ) -> str:
        """Start a run of a DAG, once Airflow has read it, and return its run ID.

        :param conf: values for the DAG's params
        :param run_id: the run ID to give it; ``None`` leaves that to Airflow
        """
        self.wait_for_dag(dag_id)
        body: dict[str, Any] = {"conf": dict(conf or {})}
        if run_id:
            body["dag_run_id"] = run_id
        if self._major >= 3:
            body["logical_date"] = None
        begun = str(self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])
        # With a newer FastAPI than it knows, Airflow 3.0 answers before it commits.
        path = f"/dags/{dag_id}/dagRuns/{begun}"
        self.wait_until(f"run {begun}", lambda: self._knows(path) or None, timeout=30)
        return begun

    def dag_run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self.request("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances as Airflow describes them."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            page = self.request("GET", path, params={"limit": 100, "offset": len(found)})
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the states of a run's tasks by task ID (``id[3]`` for a mapped one), ``none`` before any."""
        return {
            ti["task_id"] + (f"[{ti['map_index']}]" if ti["map_index"] >= 0 else ""): ti["state"] or "none"
            for ti in self.task_instances(dag_id, run_id)
        }

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float) -> str:
        """Wait until a run has ended and return its state, ``success`` or ``failed``.

        :param timeout: seconds
        """

        def look() -> str | None:
            state = self.dag_run_state(dag_id, run_id)
            return state if state in FINAL_RUN_STATES else None

        return self.wait_until(f"the end of {dag_id} {run_id}", look, timeout=timeout)

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: Collection[str], *, timeout: float
    ) -> str:
        """Wait until a task is in one of the states and return which.

        :param timeout: seconds
        """

        def look() -> str | None:
            state = self.task_states(dag_id, run_id).get(task_id)
            return state if state in states else None

        return self.wait_until(f"{task_id} being {' or '.join(states)}", look, timeout=timeout)

    def xcoms(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Return all XComs of a task by key."""
        base = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        entries = self.request("GET", base, params={"map_index": map_index})["xcom_entries"]
        return {
            entry["key"]: self.xcom(dag_id, run_id, task_id, entry["key"], map_index=map_index)
            for entry in entries
        }

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", *, map_index: int = -1
    ) -> Any:
        """Return one XCom's value."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.request("GET", path, params={"map_index": map_index, "stringify": "false"})["value"]

    def clear(self, dag_id: str, run_id: str, task_ids: Collection[str]) -> None:
        """Clear tasks of a run, so that they run again."""
        self.request(
            "POST",
            f"/dags/{dag_id}/clearTaskInstances",
            json={
                "dry_run": False,
                "dag_run_id": run_id,
                "task_ids": list(task_ids),
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as a person does in the UI.

        :param state: ``success``, ``failed`` or ``skipped``
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        body = {"new_state": state} if self._major >= 3 else {"new_state": state, "dry_run": False}
        self.request("PATCH", path, json=body)

    def errors(self, dag_id: str, run_id: str) -> dict[str, list[str]]:
        """Return what the failed tasks of a run logged as errors in their last try, by task ID."""
        found = {}
        for instance in self.task_instances(dag_id, run_id):
            if instance["state"] == "failed":
                log = self.task_log(
                    dag_id,
                    run_id,
                    instance["task_id"],
                    try_number=instance["try_number"],
                    map_index=instance["map_index"],
                )
                found[instance["task_id"]] = _errors_in(log) if self._major >= 3 else [log]
        return found

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1
    ) -> str:
        """Return the log of a task's try as text, with Airflow 3 a JSON object a line."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.request("GET", path, params={"map_index": map_index, "full_content": "true"})
        # 2.11 sends plain text to who asks for nothing in particular.
        content = answer if isinstance(answer, str) else answer["content"]
        return content if isinstance(content, str) else "\n".join(json.dumps(line) for line in content)


def _errors_in(log: str) -> list[str]:
    found = []
    for line in log.splitlines():
        entry = json.loads(line)
        if entry.get("level") in {"error", "critical"}:
            causes = entry.get("error_detail") or []
            found += [f"{cause['exc_type']}: {cause['exc_value']}" for cause in causes[:1]] or [
                entry["event"]
            ]
    return found
