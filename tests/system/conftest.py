"""One Airflow for all system tests of a process, the simulated kie.ai, and runs of DAGs in them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.examples import EXAMPLES, left_out
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator

HERE = Path(__file__).parent


#: What no file and no log may hold.
API_KEY = "sk-durable-71c0ffee42d00d99"
WEBHOOK_KEY = "whsec-durable-5ca1ab1e0ddba11"

#: The asset of the example that is scheduled by it.
CALLBACK_ASSET = "runway-videos://finished"


@dataclass(frozen=True)
class Simulators:
    """The simulated kie.ai of most tests, and one with keys of its own, for those that kill workers."""

    quick: LocalSimulator
    with_keys: LocalSimulator


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    """One ten times as fast as the real one, and one that takes its time, so that it can be interrupted.

    The videos of both are all the same small clip.
    """
    keys = ["--speed", "4", "--no-render", "--api-key", API_KEY, "--webhook-key", WEBHOOK_KEY]
    with (
        LocalSimulator(tmp_path_factory.mktemp("quick"), options=["--speed", "10", "--no-render"]) as quick,
        LocalSimulator(tmp_path_factory.mktemp("with-keys"), options=keys) as with_keys,
    ):
        yield Simulators(quick, with_keys)


@pytest.fixture(scope="session")
def simulator(simulators: Simulators) -> LocalSimulator:
    """The simulated kie.ai behind ``runway_default``."""
    return simulators.quick


@pytest.fixture(scope="session")
def airflow(simulators: Simulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """The running Airflow of all files: it knows the DAGs of each, and notices soon that a worker is dead.

    It knows the complete story once more as ``quick_story``, which differs in its ``poke_interval`` alone: by
    default no look comes before the real service could have a video ready, which is long after this simulator
    has.
    """
    dags = tmp_path_factory.mktemp("dags")
    own = ("durable_dags", "direct_start_dags", "callback_dags", "event_dags")
    for folder in (EXAMPLES, *(HERE / name for name in own)):
        shutil.copytree(folder, dags / folder.name, ignore=left_out)
    story = (EXAMPLES / "complete_story.py").read_text()
    quick = story.replace('dag_id="complete_story"', 'dag_id="quick_story"').replace(
        "deferrable=True", "deferrable=True, poke_interval=2"
    )
    assert quick.count("quick_story") == 1
    assert quick.count("poke_interval=2") == 3
    (dags / "example_dags" / "quick_story.py").write_text(quick)
    _store_in(dags / "example_dags" / "submit_and_process.py", tmp_path_factory.mktemp("finished"))
    keys = simulators.with_keys.connection
    keys |= {"password": API_KEY, "extra": {**keys["extra"], "webhook_hmac_key": WEBHOOK_KEY}}
    with LocalAirflow(
        tmp_path_factory.mktemp("airflow"),
        dags_folder=dags,
        connections={
            "runway_default": simulators.quick.connection,
            "runway_with_keys": keys,
            "runway_called": {**keys, "extra": {**keys["extra"], "speed": 4}},
            "runway_called_in_trigger": {
                **keys,
                "extra": {**keys["extra"], "speed": 4, "callback_wake": "trigger"},
            },
        },
        config={
            "AIRFLOW__RUNWAY__CALLBACK_ASSET": CALLBACK_ASSET,
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        },
    ) as airflow:
        yield airflow


def _store_in(file: Path, folder: Path) -> None:
    """Let a DAG that an event starts, which gets no params, store its videos elsewhere."""
    source, default = file.read_text(), "file:///tmp/runway-videos/finished/"
    assert source.count(default) == source.count(CALLBACK_ASSET) == 1
    file.write_text(source.replace(default, f"{folder}/"))


@dataclass
class Run:
    """A run of a DAG."""

    airflow: LocalAirflow
    dag_id: str
    run_id: str

    def wait_for_task(self, task_id: str, state: str, *, timeout: float = 300) -> None:
        """Wait until a task is in a state; an end of the run without that is an error at once."""
        api = self.airflow.api

        def look() -> bool | None:
            if self.states().get(task_id) == state:
                return True
            if api.dag_run_state(self.dag_id, self.run_id) in {"success", "failed"}:
                pytest.fail(f"the run ended without {task_id} having been seen {state}: {self.report()}")
            return None

        api.wait_until(f"{task_id} being {state}", look, timeout=timeout)

    def assert_success(self, *, timeout: float = 600) -> None:
        """Wait for the run's end and see that all of its tasks succeeded."""
        state = self.airflow.api.wait_for_run(self.dag_id, self.run_id, timeout=timeout)
        assert state == "success", self.report()
        assert set(self.states().values()) == {"success"}, self.report()

    def states(self) -> dict[str, str]:
        """Return the states of its tasks."""
        return self.airflow.api.task_states(self.dag_id, self.run_id)

    def xcoms(self, task_id: str) -> dict[str, Any]:
        """Return all XComs of a task."""
        return self.airflow.api.xcoms(self.dag_id, self.run_id, task_id)

    def log_lines(self) -> list[str]:
        """Return all lines of its tasks' logs."""
        folder = self.airflow.log_folder / f"dag_id={self.dag_id}" / f"run_id={self.run_id}"
        logs = [path for path in folder.rglob("*") if path.is_file()]
        return [line for path in logs for line in path.read_text(errors="replace").splitlines()]

    def report(self) -> str:
        """Return what a person needs to know about a run that went wrong."""
        errors = self.airflow.api.errors(self.dag_id, self.run_id)
        return f"{self.states()}\nerrors: {errors}\nlogs: {self.airflow.folder}"


@dataclass
class Story(Run):
    """A run of the complete story, whose prompts carry a mark by which its creations are known."""

    simulator: LocalSimulator
    mark: str

    def creations(self) -> list[dict[str, Any]]:
        """Return the tasks that the simulator made and charged for this run."""
        return [made for made in self.simulator.creations() if self.mark in made["body"]["prompt"]]

    def assert_paid_once_each(self) -> None:
        """See that each of the three videos was asked for exactly once."""
        assert [creation["path"] for creation in self.creations()] == [
            "/api/v1/runway/generate",
            "/api/v1/runway/extend",
            "/api/v1/aleph/generate",
        ]

    def finish_video(self) -> None:
        """Let the video that was submitted last be ready."""
        self.simulator.finish(self.creations()[-1]["task_id"])

    def look_ups(self, status: int) -> int:
        """Return how many look-ups the simulator has answered with this HTTP status since it was started."""
        return sum(
            entry["count"]
            for entry in self.simulator.stats()["requests"]
            if entry["status"] == status and "record-" in entry["path"]
        )


@pytest.fixture
def start_story(
    airflow: LocalAirflow, simulator: LocalSimulator, tmp_path: Path
) -> Iterator[Callable[[], Story]]:
    """A function that begins the complete story; afterwards the simulator is up and free of faults."""

    def start() -> Story:
        mark = uuid4().hex
        prompts = dict.fromkeys(("prompt", "extension_prompt", "style_prompt"), f"A boat {mark}")
        run_id = airflow.api.trigger_dag("quick_story", {"folder": str(tmp_path), **prompts})
        return Story(airflow, "quick_story", run_id, simulator, mark)

    yield start
    if not simulator.processes.is_running("simulator"):
        simulator.start()
    simulator.clear_faults()


@pytest.fixture
def held_story(start_story: Callable[[], Story], simulator: LocalSimulator) -> Story:
    """The complete story, just begun, whose videos are not ready until the test says so."""
    simulator.add_fault(kind="stuck", path="/api/v1/", count=3)
    return start_story()


def outlast(seconds: float, airflow: LocalAirflow) -> None:
    """Let an outage last, while Airflow must stay up."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        airflow.processes.check()
        time.sleep(0.5)
