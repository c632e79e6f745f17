"""The example DAG files, and the DAGs in them."""

from __future__ import annotations

from pathlib import Path

from tests.pages import REPOSITORY

EXAMPLES = REPOSITORY / "example_dags"


def dag_ids_of(path: Path) -> list[str]:
    """Return the DAGs of an example: one that is called like its file, or two that tell a story together."""
    return ["submit_videos", "process_videos"] if path.stem == "submit_and_process" else [path.stem]
