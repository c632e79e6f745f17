"""What came of it: how each task ended, what was charged and stored, and where the key turned up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from tests.chaos import plan
from tests.chaos.deployment import API_KEY, WEBHOOK_KEY, Deployment
from tests.chaos.verdict import Charge, Ending, Verdict, judge
from tests.chaos.videos import is_whole, rests

RUN_ID = "chaos"


class Evidence:
    """
    All of it, collected when the run has ended.

    :param deployment: what ran
    :param tasks: how many videos were asked for
    """

    def __init__(self, deployment: Deployment, tasks: int) -> None:
        self._deployment = deployment
        self._api = deployment.airflow.api
        self._api.wait_until("the API server", lambda: self._api.health() or None, timeout=120)
        self.verdict = self._judge(plan.prompts(tasks))
        self.rests = rests(deployment.videos)
        #: Where the API key or the key of the callbacks turned up.
        self.leaks: list[str] = []
        #: Whether the search for them finds what is surely there.
        self.marker_found = False
        self._search()

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return self.verdict.passed and not self.leaks and not self.rests

    def _judge(self, asked: dict[str, list[str]]) -> Verdict:
        watched: dict[str, bool] = {}
        endings = list(self._endings(asked, watched))
        stats = self._deployment.simulator.stats()
        failed = {task["task_id"] for task in stats["tasks"] if task["state"] == "fail"}
        charges = [
            Charge(made["body"]["prompt"], made["task_id"], made["task_id"] in failed)
            for made in stats["creations"]
        ]
        called = {call["task_id"] for call in stats["callbacks"] if call["status"] == 200}
        return judge(charges, endings, watched, called)

    def _endings(self, asked: dict[str, list[str]], watched: dict[str, bool]) -> Iterator[Ending]:
        for ti in self._api.task_instances(plan.DAG_ID, RUN_ID):
            name, index, state = ti["task_id"], ti["map_index"], ti["state"]
            if name == "watched":
                if index >= 0 and (runway_task_id := self._watched_task(index)):
                    watched[runway_task_id] = state == "success"
                continue
            returned = stored = None
            if state == "success":
                returned = self._xcom(name, index, "return_value")
                if name in plan.STORING:
                    # Not the XCom with the ID: a try that goes on after Airflow 2 has given it up can end
                    # the task after the next one has removed what was pushed before the wait.
                    returned, stored = PurePosixPath(str(returned)).stem, self._is_stored(name, index)
            error = None if state == "success" else self._error(name, index, ti["try_number"])
            yield Ending(asked[name][index], state, returned, error, stored)

    def _xcom(self, name: str, index: int, key: str) -> Any:
        return self._api.xcom(plan.DAG_ID, RUN_ID, name, key=key, map_index=index)

    def _is_stored(self, name: str, index: int) -> bool:
        path, size, sha256 = (self._xcom(name, index, key) for key in ("path", "size", "sha256"))
        return bool(path) and is_whole(self._deployment.videos.content(str(path)), size, sha256)

    def _watched_task(self, index: int) -> str | None:
        path = f"/dags/{plan.DAG_ID}/dagRuns/{RUN_ID}/taskInstances/watched/{index}"
        fields = self._api.request("GET", path)["rendered_fields"]
        return str(fields["runway_task_id"]) if "runway_task_id" in fields else None

    def _error(self, task_id: str, index: int, try_number: int) -> str:
        place = f"dag_id={plan.DAG_ID}/run_id={RUN_ID}/task_id={task_id}/map_index={index}"
        for folder in self._deployment.log_folders:
            log = folder / place / f"attempt={try_number}.log"
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            for line in reversed(lines):
                # The last exception of the last try is what ended the task; its causes follow it.
                if error := _error_of_3(line) if self._deployment.airflow.major >= 3 else _error_of_2(line):
                    return error
        return "no exception"

    def _search(self) -> None:
        """Search database and logs for the keys."""
        markers = 0
        files = [path for path in self._deployment.folder.rglob("*.log") if path.is_file()]
        for name, text in [
            ("the database", self._deployment.postgres.dump()),
            *((str(path), path.read_text(errors="replace")) for path in files),
        ]:
            markers += plan.DAG_ID in text
            if API_KEY in text or WEBHOOK_KEY in text:
                self.leaks.append(name)
        if self._deployment.simulator.stats()["violations"]:
            self.leaks.append("requests to result hosts")
        self.marker_found = markers >= 2


def _error_of_3(line: str) -> str | None:
    with suppress(ValueError):
        if causes := json.loads(line).get("error_detail"):
            return str(causes[0]["exc_type"])
    return None


def _error_of_2(line: str) -> str | None:
    # A traceback's last line stands at the margin.
    found = re.match(r"(?:[a-z_]+\.)*([A-Z]\w*(?:Error|Exception|Timeout)): ", line)
    return found and found[1]
