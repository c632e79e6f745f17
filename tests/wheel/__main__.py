"""See whether what would be published works: ``python -m tests.wheel [--airflow 2.11 3.3]``.

Builds the wheel and the source distribution, has both checked, and installs the wheel beside each of these
Airflows into an empty environment, with what the package declares and nothing else, in the versions of the
day of Airflow's release. There all that is public is loaded, and the complete story told in a real Airflow.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import reference
from tests.harness.local_airflow import LocalAirflow
from tests.harness.local_simulator import LocalSimulator
from tests.harness.processes import REPOSITORY, HarnessError, clean_environment
from tests.harness.video import describe_video
from tests.matrix.cells import Cell, interpreter
from tests.pins.install import PYTHONS
from tests.wheel.build import build, sha256

#: What looks at the distributions; ``make venv-release`` makes it.
RELEASE_PYTHON = REPOSITORY / ".venv-release" / "bin" / "python"
STORY = "complete_story"
PAID = ["/api/v1/runway/generate", "/api/v1/runway/extend", "/api/v1/aleph/generate"]
#: A DAG that tells where a task finds the package.
WHERE = """\
import sys
try:
    from airflow.sdk import DAG, task
except ImportError:  # Airflow 2.11
    from airflow import DAG
    from airflow.decorators import task

with DAG("where", schedule=None):

    @task
    def where():
        import airflow_provider_runway
        return [airflow_provider_runway.__file__, *sys.path]

    where()
"""


class CheckError(Exception):
    """Something that would be published does not work; the text says what."""


def main() -> int:
    """Make all checks, tell of each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.wheel", description=__doc__)
    airflows = [name.removeprefix("airflow-") for name in PYTHONS if name.startswith("airflow-")]
    parser.add_argument("--airflow", nargs="+", choices=airflows, default=["2.11", "3.3"])
    parser.add_argument("--python", metavar="3.12", help="by default the lowest that there is for an Airflow")
    asked = parser.parse_args()
    # Outside of the repository, none of whose files must be found from there.
    folder = Path(tempfile.mkdtemp(prefix="runway-wheel-")).resolve()
    try:
        wheel = _check_distributions(folder)
        for airflow in asked.airflow:
            _check_beside(airflow, asked.python, wheel, folder)
    except (CheckError, HarnessError) as error:
        print(f"FAILED: {error}\nEverything is kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def _check_distributions(folder: Path) -> Path:
    tests = "tests/integration/test_distribution.py"
    _run([sys.executable, "-m", "pytest", "-q", tests], with_repository=True)
    wheel, source = build(folder)
    _run([str(RELEASE_PYTHON), "-m", "twine", "check", "--strict", str(wheel), str(source)])
    for file in (wheel, source):
        print(f"{sha256(file)}  {file.name}", flush=True)
    return wheel


def _check_beside(airflow: str, python: str | None, wheel: Path, folder: Path) -> None:
    (_, lowest), (_, limit) = PYTHONS[f"airflow-{airflow}"]
    cells = [Cell(airflow, python or f"3.{minor}", "released") for minor in range(lowest, limit)]
    cell = next((cell for cell in cells if interpreter(cell.python)), None)
    if cell is None:
        raise CheckError(f"there is no Python here that Airflow {airflow} runs on")
    print(f"\nAirflow {cell.airflow_release()} on Python {cell.python}:", flush=True)
    folder = folder / cell.name
    inside = folder / "environment" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "venv", "--quiet", "--python", str(interpreter(cell.python)), str(folder / "environment")])
    of_airflow = f"apache-airflow=={cell.airflow_release()}"
    install = [*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(inside)]
    _run([*install, "--constraint", str(cell.pins), of_airflow, str(wheel)])
    _run([*uv, "pip", "check", "--python", str(inside)])
    home = {"AIRFLOW_HOME": str(folder / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    said = _run([str(inside), "-m", "airflow", "providers", "get", "airflow-provider-runway"], variables=home)
    if "airflow-provider-runway" not in said:
        raise CheckError("Airflow does not know the provider")
    script = folder / "inside.py"
    shutil.copy(Path(__file__).parent / script.name, script)
    # The simulator can be loaded without its extra, and says at its start what is missing.
    public = [name for title in reference.PUBLIC for name in reference.public(title)]
    _run([str(inside), str(script), str(REPOSITORY), *public], variables=home)
    _tell_the_story(folder, inside)


def _tell_the_story(folder: Path, python: Path) -> None:
    dags = folder / "dags"
    dags.mkdir()
    shutil.copy(REPOSITORY / "example_dags" / f"{STORY}.py", dags)
    (dags / "where.py").write_text(WHERE)
    with LocalSimulator(folder / "simulator", options=["--speed", "4"]) as simulator:
        extra = {**simulator.connection["extra"], "speed": 4}
        connections = {"runway_default": {**simulator.connection, "extra": extra}}
        with LocalAirflow(
            folder / "airflow",
            dags_folder=dags,
            connections=connections,
            python=python,
        ) as airflow:
            _see_where(airflow, python)
            run_id = airflow.api.trigger_dag(STORY, {"folder": str(folder / "videos")})
            if airflow.api.wait_for_run(STORY, run_id, timeout=600) != "success":
                raise CheckError(f"the story failed: {airflow.api.errors(STORY, run_id)}")
            videos = [
                Path(airflow.api.xcom(STORY, run_id, f"download_{name}"))
                for name in ("generated", "extended", "restyled")
            ]
        paid = [made["path"] for made in simulator.creations()]
    for video in videos:
        print(f"{video.name}: {describe_video(video)}", flush=True)
    if paid != PAID:
        raise CheckError(f"other videos were paid for than the story's: {paid}")
    _see_no_warning(airflow.log_folder / f"dag_id={STORY}")


def _see_where(airflow: LocalAirflow, python: Path) -> None:
    run_id = airflow.api.trigger_dag("where")
    if airflow.api.wait_for_run("where", run_id, timeout=300) != "success":
        raise CheckError(f"a task of Airflow's own failed: {airflow.api.errors('where', run_id)}")
    file, *searched = airflow.api.xcom("where", run_id, "where")
    foreign = [path for path in (file, *searched) if Path(path).is_relative_to(REPOSITORY)]
    if foreign or not Path(file).is_relative_to(python.parent.parent):
        raise CheckError(f"a task has the package from {file}, and searches {searched}")


def _see_no_warning(logs: Path) -> None:
    """See that no task has used something that is to go."""
    lines = [line for file in logs.rglob("*.log") for line in file.read_text(errors="replace").splitlines()]
    if outdated := [line for line in lines if "deprecated" in line.lower()]:
        raise CheckError("the tasks' logs tell of what is deprecated:\n" + "\n".join(outdated))
    if not lines:
        raise CheckError(f"{logs} has no logs of tasks")


def _run(
    command: Sequence[str], *, with_repository: bool = False, variables: Mapping[str, str] | None = None
) -> str:
    """Run a command outside of the repository unless it needs it, print what it says, and return that."""
    environment = {**clean_environment(with_repository=with_repository), **(variables or {})}
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    ended = subprocess.run(
        command,
        cwd=REPOSITORY if with_repository else tempfile.gettempdir(),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if said := ended.stdout.strip():
        print(said, flush=True)
    if ended.returncode:
        raise CheckError(f"`{' '.join(command)[:200]}` ended with exit code {ended.returncode}")
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
