"""Where a task keeps what its next try must know: the same behaviour in Airflow's store and in files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.submissions.stores import RETENTION, StateStore, state_store
from tests.stores import TaskStateStore, down

IDENTITY = {
    "dag_id": "dag",
    "run_id": "manual__2026-01-01T00:00:00+00:00",
    "task_id": "task",
    "map_index": -1,
}


def context_of(store: TaskStateStore | None = None, **identity: Any) -> Any:
    ti = SimpleNamespace(**{**IDENTITY, **identity})
    return {"ti": ti, **({"task_state_store": store} if store is not None else {})}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(params=["task_state_store", "state_path"])
def new_store(request: pytest.FixtureRequest) -> Callable[[], StateStore]:
    """Return a function that opens the store of one task instance, as each of its tries does."""
    if request.param == "state_path":
        request.getfixturevalue("folder")
        airflows = None
    else:
        airflows = TaskStateStore()

    def open_store() -> StateStore:
        store = state_store(context_of(airflows))
        assert store is not None
        return store

    return open_store


def test_a_value_is_there_for_the_next_try(new_store: Callable[[], StateStore]) -> None:
    new_store().set("key", {"a": 1.5, "ü": None})
    value = new_store().get("key")
    assert value is not None
    assert (value["a"], value["ü"]) == (1.5, None)


def test_a_value_that_was_never_set_is_none(new_store: Callable[[], StateStore]) -> None:
    assert new_store().get("key") is None


def test_a_value_can_be_replaced(new_store: Callable[[], StateStore]) -> None:
    new_store().set("key", {"a": 1})
    new_store().set("key", {"a": 2})
    assert (new_store().get("key") or {})["a"] == 2


def test_a_value_can_be_removed_and_removed_again(new_store: Callable[[], StateStore]) -> None:
    store = new_store()
    store.set("key", {"a": 1})
    store.delete("key")
    store.delete("key")
    assert new_store().get("key") is None


def test_keys_do_not_touch_each_other(new_store: Callable[[], StateStore]) -> None:
    store = new_store()
    store.set("key", {"a": 1})
    store.set("other", {"a": 2})
    store.delete("other")
    assert (store.get("key") or {})["a"] == 1


def test_airflows_own_store_comes_first(folder: Path) -> None:
    store = state_store(context_of(TaskStateStore()))
    assert store is not None
    store.set("key", {"a": 1})
    assert not folder.exists()


def test_airflow_is_told_to_keep_a_value_longer_than_kie_ai_keeps_the_video() -> None:
    airflows = TaskStateStore()
    store = state_store(context_of(airflows))
    assert store is not None
    store.set("key", {})
    assert airflows.retentions == [RETENTION]
    assert timedelta(days=14) < RETENTION


def test_there_is_no_store_where_airflow_has_none_and_no_path_is_set() -> None:
    assert state_store(context_of()) is None


@pytest.mark.parametrize("operation", ["get", "set", "delete"])
def test_a_store_out_of_reach_is_an_error_rather_than_an_empty_one(operation: str) -> None:
    airflows = TaskStateStore()
    airflows.breaks = down(operation)
    store = state_store(context_of(airflows))
    assert store is not None
    arguments = ("key", {}) if operation == "set" else ("key",)
    with pytest.raises(ConnectionError):
        getattr(store, operation)(*arguments)


def test_a_damaged_file_is_an_error_rather_than_an_empty_one(folder: Path) -> None:
    store = state_store(context_of())
    assert store is not None
    store.set("key", {"a": 1})
    (file,) = folder.iterdir()
    file.write_text('{"a": ')
    with pytest.raises(ValueError, match="Expecting value"):
        store.get("key")


@pytest.mark.skipif("__import__('os').geteuid() == 0", reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error_rather_than_an_empty_one(folder: Path) -> None:
    store = state_store(context_of())
    assert store is not None
    store.set("key", {"a": 1})
    (file,) = folder.iterdir()
    file.chmod(0)
    with pytest.raises(PermissionError):
        store.get("key")


@pytest.mark.parametrize(
    "other",
    [
        {"dag_id": "dag2"},
        {"run_id": "another"},
        {"task_id": "task2"},
        {"map_index": 0},
        {"map_index": 1},
        # Joined by anything printable, these would be the same.
        {"dag_id": "dag_" + IDENTITY["run_id"], "run_id": ""},
    ],
)
def test_task_instances_do_not_share_files(folder: Path, other: dict[str, Any]) -> None:
    one, another = state_store(context_of()), state_store(context_of(**other))
    assert one is not None
    assert another is not None
    one.set("key", {"a": 1})
    assert another.get("key") is None


def test_ids_of_any_characters_make_a_file_in_the_folder(folder: Path) -> None:
    store = state_store(context_of(run_id="../../../etc/x\n☃", task_id="group.task"))
    assert store is not None
    store.set("key", {"a": 1})
    assert (store.get("key") or {})["a"] == 1
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_a_file_says_for_a_person_whose_it_is(folder: Path) -> None:
    store = state_store(context_of())
    assert store is not None
    store.set("key", {"a": 1})
    (file,) = folder.iterdir()
    assert IDENTITY["run_id"] in file.read_text()
