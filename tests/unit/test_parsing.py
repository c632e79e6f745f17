"""Reading a DAG file asks nobody: neither the network, nor for a connection or a Variable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples import readable
from tests.pages import REPOSITORY

#: Reads DAG files in a process of its own, writes them down as the DAG processor does, and prints what was
#: asked for meanwhile: of the network, of the secrets backends, and by this package of the configuration.
SCRIPT = """
import json, socket, sys
asked = []

def refuse(*of, **more):
    asked.append(f"the network: {of[1:]}")
    raise OSError("no connection may be opened")

class Noting:
    def get_connection(self, conn_id, *of, **more):
        asked.append(f"connection {conn_id}")
    get_conn_value = get_connection
    def get_variable(self, key, *of, **more):
        asked.append(f"Variable {key}")
    def _set_connection_class(self, *of):
        pass
    def get_config(self, *of, **more):
        pass

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import runpy
from airflow.configuration import conf
configurations = {type(conf)}
try:
    from airflow.sdk.configuration import conf
    configurations.add(type(conf))
except ImportError:
    pass
try:
    from airflow.serialization.serialized_objects import DagSerialization as Serialization
except ImportError:
    from airflow.serialization.serialized_objects import SerializedDAG as Serialization

def noting(original):
    def get(self, section, key, *of, **more):
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if caller.startswith("airflow_provider_runway.") or caller == "dag_file":
            asked.append(f"[{section}] {key}")
        return original(self, section, key, *of, **more)
    return get

for kind in configurations:
    for name in ("get", "getboolean", "getint", "getfloat"):
        setattr(kind, name, noting(getattr(kind, name)))
import airflow_provider_runway.operators.runway, airflow_provider_runway.sensors.runway
import airflow_provider_runway.assets.finished
told = {"the import": [1, sorted(set(asked))]}
import airflow_provider_runway.plugins.runway  # as each process of Airflow does
from tests.versions import DAG
for path in sys.argv[1:]:
    asked.clear()
    names = runpy.run_path(path, run_name="dag_file")
    dags = [value for value in names.values() if isinstance(value, DAG)]
    for dag in dags:
        Serialization.to_dict(dag)
    told[path] = [len(dags), sorted(set(asked))]
print("TOLD" + json.dumps(told))
"""

EVERYTHING = """
from datetime import datetime
from tests.versions import DAG
from airflow_provider_runway.operators.runway import *
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
paid = {
    "runway_conn_id": "account",
    "wait_for_completion": True,
    "deferrable": True,
    "poll_interval": 5,
    "timeout": 60,
    "callback_url": "auto",
    "path": "s3://bucket/videos/",
    "resubmissions": 2,
    "min_credits": 10,
    "retries": 2,
}
with DAG("everything", schedule=None, start_date=datetime(2024, 1, 1)) as dag:
    upload = RunwayUploadOperator(task_id="upload", path="s3://bucket/one.png", runway_conn_id="account")
    generate = RunwayGenerateOperator(task_id="generate", prompt="A cat", image_url=upload.output, **paid)
    extend = RunwayExtendOperator(task_id="extend", prompt="A", parent_task_id=generate.output, **paid)
    aleph = RunwayAlephOperator(
        task_id="aleph", prompt="A", video_url="https://example.com/v.mp4", reference_image="/a.png", **paid
    )
    wait = RunwayTaskSensor(task_id="wait", runway_task_id=generate.output, deferrable=True)
    RunwayTaskSensor(task_id="looks", runway_task_id="one", deferrable=False, mode="reschedule")
    RunwayDownloadOperator(task_id="download", path="gs://bucket/", video_url=wait.output, manifest=True)
    RunwayGenerateOperator.partial(task_id="mapped", **paid).expand(prompt=["a", "b"])
    RunwayTaskSensor.partial(task_id="waits", deferrable=True).expand(runway_task_id=["a", "b"])
"""
LOOKING_UP = """
import socket
from airflow_provider_runway.compat import BaseHook, Variable, conf
for look in (
    lambda: BaseHook.get_connection("runway_default"),
    lambda: Variable.get("speed"),
    lambda: conf.get("runway", "video_roots"),
    lambda: socket.create_connection(("127.0.0.1", 9)),
):
    try:
        look()
    except Exception:
        pass
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[str]]]:
    """How many DAGs each file has, and what was asked for while it was read."""
    folder = tmp_path_factory.mktemp("dags")
    for name, source in {"everything": EVERYTHING, "looking_up": LOOKING_UP}.items():
        (folder / f"{name}.py").write_text(source)
    backend = {
        "AIRFLOW__SECRETS__BACKEND": "__main__.Noting",
        "AIRFLOW__WORKERS__SECRETS_BACKEND": "__main__.Noting",
    }
    paths = [*readable(), *sorted(folder.glob("*.py"))]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, paths)],
        env={**os.environ, **backend, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.partition("TOLD")[2])
    return {Path(path).stem: (count, asked) for path, (count, asked) in found.items()}


@pytest.mark.parametrize("name", ["the import", *(path.stem for path in readable()), "everything"])
def test_a_dag_file_is_read_and_written_down_without_asking_anybody(
    name: str, told: dict[str, tuple[int, list[str]]]
) -> None:
    count, asked = told[name]
    assert count > 0
    # In memory since Airflow started: what Airflow's own operators read, and whether a sensor may start in
    # the triggerer.
    assert set(asked) <= {"[operators] default_deferrable", "[triggerer] queues_enabled"}


def test_whoever_asks_while_a_dag_file_is_read_would_be_found(told: dict[str, tuple[int, list[str]]]) -> None:
    _, asked = told["looking_up"]
    assert {"[runway] video_roots", "connection runway_default", "Variable speed"} <= set(asked)
    assert [one for one in asked if one.startswith("the network")]
