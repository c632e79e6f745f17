"""The example DAG files, and the DAGs in them."""

from __future__ import annotations

from pathlib import Path

from tests.pages import REPOSITORY
from tests.versions import AIRFLOW

EXAMPLES = REPOSITORY / "example_dags"

#: The first Airflow of a DAG file that not all can read, by its name; those of the system tests, too.
SINCE = {"approved_batch.py": (3, 1), "direct_start.py": (3, 3)}


def readable() -> list[Path]:
    """Return the DAG files that this Airflow can read."""
    return sorted(path for path in EXAMPLES.glob("*.py") if SINCE.get(path.name, (0, 0)) <= AIRFLOW)


def left_out(_folder: str, names: list[str]) -> set[str]:
    """Return what is not to be copied to this Airflow; in the form of :func:`shutil.ignore_patterns`."""
    return {name for name in names if name == "__pycache__" or SINCE.get(name, (0, 0)) > AIRFLOW}


def dag_ids_of(path: Path) -> list[str]:
    """Return the DAGs of an example: one that is called like its file, or two that tell a story together."""
    return ["submit_videos", "process_videos"] if path.stem == "submit_and_process" else [path.stem]
