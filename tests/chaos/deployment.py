"""What the chaos run runs, and what of it can be killed: Airflow with the LocalExecutor, and kie.ai."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import psutil

from tests.chaos import plan
from tests.chaos.options import Options
from tests.chaos.videos import LocalVideos, Videos
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_postgres import LocalPostgres
from tests.harness.local_simulator import LocalSimulator
from tests.harness.processes import free_port, renew_folder

API_KEY = "sk-chaos-5f3e9d0c7b1a4826"
WEBHOOK_KEY = "whsec-chaos-90b2d4e6f8a1c3"
DAGS = Path(__file__).with_name("dags")
#: How many times as fast as kie.ai the simulator is.
SPEED = 2.5

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
    # A dead worker is noticed after so many seconds, and a dead scheduler's tasks are taken over.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    # A short absence of the API server is for the task's processes to sit out.
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "10",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_SIZE": "10",
}


@dataclass(frozen=True)
class Victim:
    """
    What a kill can fall on.

    :param name: what the run says of it
    :param kill: kills it, and tells whether there was something to kill
    :param service: the service that has to be started again; ``None`` where nothing has to
    """

    name: str
    kill: Callable[[], bool]
    service: Service | None = None


@dataclass(frozen=True)
class Service:
    """
    A process that a service manager would start again.

    :param name: its name
    :param is_running: tells whether it runs
    :param kill: ends it with SIGKILL
    :param start: starts it
    :param away: seconds from a kill to the restart: at the least, at the most
    """

    name: str
    is_running: Callable[[], bool]
    kill: Callable[[], None]
    start: Callable[[], None]
    away: tuple[float, float]

    def victim(self) -> Victim:
        """Return it as what a kill can fall on."""
        return Victim(self.name, self._killed, self)

    def _killed(self) -> bool:
        self.kill()
        return True


class Deployment:
    """
    Airflow on PostgreSQL with the LocalExecutor and two triggerers, and a simulated kie.ai.

    :param options: those of the run
    :param running: stops at the end what was started
    """

    #: What an earlier run may have left in the run's folder.
    FOLDERS: ClassVar[tuple[str, ...]] = ("airflow/components", "simulator", "postgres")
    KILLS = plan.KILLS

    def __init__(self, options: Options, running: ExitStack) -> None:
        self.folder = options.folder
        self.running = running
        self.postgres = running.enter_context(LocalPostgres(self.folder / "postgres"))
        self.simulator = running.enter_context(
            LocalSimulator(
                self.folder / "simulator",
                options=[
                    *("--speed", str(SPEED), "--no-render", "--balance", "1000000"),
                    *("--running-limit", "0", "--api-key", API_KEY, "--webhook-key", WEBHOOK_KEY),
                ],
            )
        )
        self.videos = self._make_videos()
        port = self._public_port()
        connection: dict[str, Any] = {**self.simulator.connection, "password": API_KEY}
        if options.callbacks:
            called = {"callback_base_url": f"http://127.0.0.1:{port}", "webhook_hmac_key": WEBHOOK_KEY}
            connection["extra"] = {**connection["extra"], **called, "speed": SPEED}
        self.airflow = running.enter_context(
            self._make_airflow(
                port,
                {"runway_default": connection},
                {
                    **SETTINGS,
                    "CHAOS_FOLDER": self.videos.root,
                    "CHAOS_TASKS": str(options.tasks),
                    "CHAOS_DURABLE": str(int(options.notes == "with")),
                },
            )
        )
        self.services = self._services()
        for service in self.services.values():
            if not service.is_running():
                service.start()

    def _make_videos(self) -> Videos:
        renew_folder(self.folder / "videos")
        # Beside the file by which the next run knows the folder as its own.
        return LocalVideos(self.folder / "videos" / "kept")

    def _public_port(self) -> int:
        return free_port()

    def _make_airflow(
        self, port: int, connections: dict[str, dict[str, Any]], config: dict[str, str]
    ) -> LocalAirflow:
        return LocalAirflow(
            self.folder / "airflow",
            dags_folder=DAGS,
            connections=connections,
            port=port,
            database_url=self.postgres.url,
            config=config,
        )

    @property
    def log_folders(self) -> list[Path]:
        """Where the logs of tasks are written."""
        return [self.airflow.log_folder]

    def victims(self, kind: str) -> list[Victim]:
        """
        Return what a kill could fall on now.

        :param kind: one of ``KILLS``
        """
        if kind in ("task process", "worker"):
            return [
                Victim(_title(worker), partial(_kill_tasks, worker, itself=kind == "worker"))
                for worker in self.airflow.busy_workers()
            ]
        if kind == "scheduler alone":
            scheduler = self.services["scheduler"]
            alone = Victim("scheduler", lambda: self._kill_alone("scheduler"), scheduler)
            return [alone] if scheduler.is_running() else []
        names = {
            "triggerer": ("triggerer", "triggerer-2"),
            "simulator": ("simulator",),
            "scheduler with its workers": ("scheduler",),
            "API server": ("api-server",),
        }[kind]
        found = [self.services[name] for name in names]
        return [service.victim() for service in found if service.is_running()]

    def _services(self) -> dict[str, Service]:
        # Some triggerers stay away long enough for the other to take over.
        away = {"triggerer": (1, 20), "triggerer-2": (1, 20), "api-server": (0, 2)}
        components = {name: name for name in self.airflow.components} | {"triggerer-2": "triggerer"}
        services = {
            name: self._component(name, component, away.get(name, (0, 4)))
            for name, component in components.items()
        }
        return services | {"simulator": self._simulator()}

    def _simulator(self) -> Service:
        return Service(
            "simulator",
            lambda: self.simulator.processes.is_running("simulator"),
            self.simulator.kill,
            self.simulator.start,
            (0, 8),
        )

    def _component(self, name: str, component: str, away: tuple[float, float]) -> Service:
        processes = self.airflow.processes
        return Service(
            name,
            lambda: processes.is_running(name),
            lambda: processes.kill(name),
            lambda: self._launch(name, component),
            away,
        )

    def _launch(self, name: str, component: str) -> None:
        self.airflow.launch(name, component, self._ports())

    def _ports(self) -> dict[str, str]:
        ports = ("AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT")
        return {port: str(free_port()) for port in ports}

    def _kill_alone(self, name: str) -> bool:
        self.airflow.processes.kill(name, alone=True)
        return True


def _title(worker: psutil.Process) -> str:
    with suppress(psutil.Error):
        title: str = worker.cmdline()[0]
        return title.rpartition("LocalExecutor:")[2].strip()
    return ""


def _kill_tasks(worker: psutil.Process, *, itself: bool) -> bool:
    with suppress(psutil.NoSuchProcess):
        tasks = worker.children(recursive=True)
        if not tasks:
            return False
        for victim in (worker, *tasks) if itself else tasks:
            victim.kill()
        return True
    return False
