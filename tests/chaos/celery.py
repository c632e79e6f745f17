"""The chaos run on several machines, as far as one machine can be that: the CeleryExecutor and all it needs.

Two Celery workers, each with a home, a working folder and DAG files of its own, share nothing with the rest
but Redis, PostgreSQL (for Celery's results), S3 and the API servers. Of schedulers, triggerers and API
servers there are two; before the latter stands a load balancer. The videos are on S3, and so are the notes
where Airflow has no store for them (before 3.3).
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import psutil

from tests.chaos import plan
from tests.chaos.deployment import DAGS, Deployment, Service, Victim
from tests.chaos.videos import S3Videos
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_server import LocalRedis, LocalS3
from tests.harness.processes import free_port
from tests.harness.relay import Relay

CONN_ID = "aws_default"
WORKERS = ("worker-1", "worker-2")
#: Seconds for which a worker is cut off.
CUT_OFF = (60, 60)

SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "3",
    "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
    "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
    # A busy small machine can take longer than the default second to hand a task to Redis.
    "AIRFLOW__CELERY__OPERATION_TIMEOUT": "10",
    # The names that 2.11 has for these.
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
}


class CeleryDeployment(Deployment):
    """See the module."""

    FOLDERS: ClassVar[tuple[str, ...]] = (*Deployment.FOLDERS, "redis", "s3", "machines")
    KILLS = plan.CELERY_KILLS

    @property
    def log_folders(self) -> list[Path]:
        """Where the logs of tasks are written: each worker has its own, and so does the head."""
        return [*(self._home(name) / "logs" for name in WORKERS), self.airflow.log_folder]

    def victims(self, kind: str) -> list[Victim]:
        """
        Return what a kill could fall on now.

        :param kind: one of ``KILLS``
        """
        if kind == "task process":
            return [victim for name in WORKERS for victim in self._tasks(name)]
        names = {
            "worker": WORKERS,
            "triggerer": ("triggerer", "triggerer-2"),
            "simulator": ("simulator",),
            "scheduler": ("scheduler", "scheduler-2"),
            "API server": (self._front, f"{self._front}-2"),
            "PostgreSQL": ("postgres",),
            "Redis": ("redis",),
            "S3 server": ("s3",),
            "worker cut off": tuple(f"network of {name}" for name in WORKERS),
        }[kind]
        found = [self.services[name] for name in names]
        return [service.victim() for service in found if service.is_running()]

    @property
    def _front(self) -> str:
        return "api-server" if self.airflow.major >= 3 else "webserver"

    def _make_videos(self) -> S3Videos:
        self.redis = self.running.enter_context(LocalRedis(self.folder / "redis"))
        self.s3 = self.running.enter_context(LocalS3(self.folder / "s3"))
        return S3Videos(self.s3.client(), CONN_ID)

    def _public_port(self) -> int:
        self._api_ports = (free_port(), free_port())
        balancer = self.running.enter_context(Relay(self._api_ports))
        return balancer.port

    def _make_airflow(
        self, port: int, connections: dict[str, dict[str, Any]], config: dict[str, str]
    ) -> LocalAirflow:
        assert isinstance(self.videos, S3Videos)
        airflow = LocalAirflow(
            self.folder / "airflow",
            dags_folder=DAGS,
            connections={**connections, CONN_ID: self.s3.connection},
            port=port,
            own_port=self._api_ports[0],
            database_url=self.postgres.url,
            config={
                **config,
                **SETTINGS,
                "AIRFLOW__CELERY__BROKER_URL": self.redis.url,
                "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{self.postgres.url}",
                "AIRFLOW__RUNWAY__STATE_PATH": self.videos.state_path,
            },
        )
        # What a worker needs of the others besides Redis and S3: the API servers or, with 2.11, the database.
        reached = self._api_ports if airflow.major >= 3 else (self.postgres.port,)
        self._networks = {name: self.running.enter_context(Relay(reached)) for name in WORKERS}
        return airflow

    def _services(self) -> dict[str, Service]:
        away = {"triggerer": (1, 20), "scheduler": (0, 8), self._front: (0, 10)}
        services = {
            name: self._component(name, component, away.get(component, (0, 4)))
            for component in self.airflow.components
            for name in ((component,) if component == "dag-processor" else (component, f"{component}-2"))
        }
        for server, start in ((self.redis, self.redis.start), (self.s3, self.s3.start)):
            services[server.name] = Service(server.name, server.is_running, server.kill, start, (1, 10))
        postgres = self.postgres
        services["postgres"] = Service(
            "postgres", postgres.is_running, postgres.kill, postgres.revive, (1, 6)
        )
        for name in WORKERS:
            shutil.copytree(DAGS, self._home(name) / "dags", ignore=shutil.ignore_patterns("__pycache__"))
            services[name] = self._component(name, "celery worker", (1, 15))
            network = self._network(name)
            services[network.name] = network
        return services | {"simulator": self._simulator()}

    def _network(self, name: str) -> Service:
        relay = self._networks[name]
        return Service(f"network of {name}", lambda: not relay.is_cut, relay.cut, relay.heal, CUT_OFF)

    def _home(self, name: str) -> Path:
        return self.folder / "machines" / name

    def _launch(self, name: str, component: str) -> None:
        if component != "celery worker":
            config = self._ports()
            if name.endswith("-2"):
                # Beside its twin's, 2.11 would find the process ID of that, and end.
                config["AIRFLOW_HOME"] = str(self._home(name))
                self._home(name).mkdir(parents=True, exist_ok=True)
            if name == f"{self._front}-2":
                config["AIRFLOW__API__PORT"] = str(self._api_ports[1])
                config["AIRFLOW__WEBSERVER__WEB_SERVER_PORT"] = str(self._api_ports[1])
            self.airflow.launch(name, component, config)
            return
        home, port = self._home(name), self._networks[name].port
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "TMPDIR": str(home / "tmp"),
        }
        (home / "tmp").mkdir(exist_ok=True)
        if self.airflow.major >= 3:
            own["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] = f"http://127.0.0.1:{port}/execution/"
        else:
            database = self.postgres.url.replace(f":{self.postgres.port}/", f":{port}/")
            own["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database
            own["AIRFLOW__CELERY__RESULT_BACKEND"] = f"db+{database}"
        self.airflow.launch(name, component, {**self._ports(), **own}, working_folder=home)

    def _tasks(self, name: str) -> list[Victim]:
        """Return the tasks that a worker runs now: all that a process of its pool has started."""
        if not self.airflow.processes.is_running(name):
            return []
        found = []
        with suppress(psutil.Error):
            for pool_process in psutil.Process(self.airflow.processes.pid(name)).children():
                if pool_process.children():
                    found.append(Victim(name, partial(_kill_children, pool_process)))
        return found


def _kill_children(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        tasks = process.children(recursive=True)
        for task in tasks:
            task.kill()
        return bool(tasks)
    return False
