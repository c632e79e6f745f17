"""Where a task keeps what its next try must know: the same behaviour in Airflow's store and in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_runway.compat import AIRFLOW, AirflowFailException, ObjectStoragePath
from airflow_provider_runway.submissions.stores import (
    MARKER,
    RETENTION,
    StateStore,
    _FileStateStore,
    state_store,
)
from tests.stores import TaskStateStore, down

IDENTITY: dict[str, Any] = {
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
    path = tmp_path / "state"
    path.mkdir()
    (path / MARKER).touch()
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", str(path))
    return path


def records(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name != MARKER]


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


def test_a_value_is_removed_in_a_store_that_cannot_remove_several_objects_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    try:
        from airflow.sdk.io import attach
    except ImportError:
        from airflow.io.store import attach  # type: ignore[import-not-found,no-redef]

    # As Google Cloud Storage through its S3 interface, and small S3 servers.
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(38, "A header or operation you provided implies functionality that is not implemented.")

    attach("memory", fs=MemoryFileSystem())
    try:
        ObjectStoragePath("memory://bucket/state")
    except TypeError as error:
        # Later releases of universal-pathlib beside Airflow 3.0.
        pytest.skip(str(error))
    monkeypatch.setattr(MemoryFileSystem, "rm", refused)
    monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", "memory://bucket/state")
    store = state_store(context_of(), may_begin=True)
    assert store
    store.set("one", {"a": 1})

    store.delete("one")
    store.delete("one")

    assert store.get("one") is None


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
    assert records(folder) == []


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
    arguments: tuple[Any, ...] = ("key", {}) if operation == "set" else ("key",)
    with pytest.raises(ConnectionError):
        getattr(store, operation)(*arguments)


def test_a_damaged_file_is_an_error_rather_than_an_empty_one(folder: Path) -> None:
    store = state_store(context_of())
    assert store is not None
    store.set("key", {"a": 1})
    (file,) = records(folder)
    file.write_text('{"a": ')
    with pytest.raises(ValueError, match="Expecting value"):
        store.get("key")


@pytest.mark.skipif("__import__('os').geteuid() == 0", reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error_rather_than_an_empty_one(folder: Path) -> None:
    store = state_store(context_of())
    assert store is not None
    store.set("key", {"a": 1})
    (file,) = records(folder)
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
    assert [path.suffix for path in records(folder)] == [".json"]


def test_a_file_says_for_a_person_whose_it_is(folder: Path) -> None:
    store = state_store(context_of())
    assert store is not None
    store.set("key", {"a": 1})
    (file,) = records(folder)
    assert IDENTITY["run_id"] in file.read_text()


class TestFolder:
    """What is not in a folder says something only where the folder is the one that it always was."""

    @pytest.fixture
    def place(self, folder: Path) -> Path:
        """The folder as it is without its mount: empty."""
        (folder / MARKER).unlink()
        return folder

    @pytest.mark.parametrize("operation", ["get", "set"])
    @pytest.mark.parametrize("may_begin", [False, True])
    def test_a_folder_that_is_not_there_is_out_of_reach(
        self, place: Path, operation: str, may_begin: bool
    ) -> None:
        place.rmdir()
        store = state_store(context_of(), may_begin=may_begin)
        assert store is not None
        arguments: tuple[Any, ...] = ("key", {}) if operation == "set" else ("key",)
        with pytest.raises(FileNotFoundError, match=f"state_path=.*create the folder.*{MARKER}"):
            getattr(store, operation)(*arguments)
        assert not place.exists()

    @pytest.mark.parametrize("operation", ["get", "set"])
    def test_a_retry_takes_an_empty_folder_for_a_missing_mount(self, place: Path, operation: str) -> None:
        store = state_store(context_of())
        assert store is not None
        arguments: tuple[Any, ...] = ("key", {}) if operation == "set" else ("key",)
        with pytest.raises(FileNotFoundError, match="missing"):
            getattr(store, operation)(*arguments)
        assert list(place.iterdir()) == []

    def test_a_first_try_begins_a_folder_that_is_there(self, place: Path) -> None:
        first = state_store(context_of(), may_begin=True)
        assert first is not None
        assert first.get("key") is None
        assert (place / MARKER).exists()
        first.set("key", {"a": 1})
        retry = state_store(context_of())
        assert retry is not None
        assert (retry.get("key") or {})["a"] == 1
        another = state_store(context_of(task_id="another"))
        assert another is not None
        assert another.get("key") is None

    def test_the_folder_of_a_release_without_a_marker_is_known_by_its_records(self, place: Path) -> None:
        (place / "0a1b.json").write_text("{}")
        store = state_store(context_of())
        assert store is not None
        assert store.get("key") is None
        assert (place / MARKER).exists()

    def test_a_missing_package_is_no_reason_to_try_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__RUNWAY__STATE_PATH", "s3://aws_default@bucket/state")

        def get_fs(*_: Any, **__: Any) -> Any:
            raise ImportError("Airflow FS S3 protocol requires the s3fs library")

        home = "airflow.sdk.io" if AIRFLOW >= (3, 1) else "airflow.io"
        monkeypatch.setattr(f"{home}.get_fs", get_fs)
        store = state_store(context_of())
        assert store is not None
        with pytest.raises(AirflowFailException, match=r"apache-airflow-providers-amazon\[s3fs\]"):
            store.get("key")


class TestUpgraded:
    """Airflow has a store of its own now, and an earlier one has left files."""

    @pytest.fixture
    def airflows(self, folder: Path) -> TaskStateStore:
        """Airflow's own store, beside a folder with a value of before."""
        left = state_store(context_of())
        assert left is not None
        left.set("key", {"of": "before"})
        return TaskStateStore()

    @staticmethod
    def open_store(airflows: TaskStateStore, **options: bool) -> StateStore:
        store = state_store(context_of(airflows), **{"with_files": True, **options})
        assert store is not None
        return store

    def test_what_is_in_a_file_alone_is_found(self, airflows: TaskStateStore) -> None:
        assert (self.open_store(airflows).get("key") or {})["of"] != "after"
        assert self.open_store(airflows).get("other") is None

    def test_what_is_in_the_store_is_newer(self, airflows: TaskStateStore) -> None:
        store = self.open_store(airflows)
        assert store.get("key") is not None
        store.set("key", {"of": "after"})
        assert store.get("key") == {"of": "after"}
        assert self.open_store(airflows).get("key") == {"of": "after"}

    @pytest.mark.parametrize("is_set_first", [False, True])
    def test_what_is_removed_does_not_come_back(self, airflows: TaskStateStore, is_set_first: bool) -> None:
        store = self.open_store(airflows)
        if is_set_first:
            store.set("key", {"of": "after"})
        store.delete("key")
        assert store.get("key") is None
        for options in ({}, {"with_files": False}, {"may_begin": True}):
            assert self.open_store(airflows, **options).get("key") is None
        self.open_store(airflows).set("key", {"of": "after"})
        assert self.open_store(airflows).get("key") == {"of": "after"}

    def test_the_files_are_left_as_they_are(self, airflows: TaskStateStore, folder: Path) -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        store = self.open_store(airflows)
        store.set("key", {"of": "after"})
        store.delete("key")
        store.set("other", {})
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_they_are_no_place_for_whoever_does_not_ask_for_them(self, airflows: TaskStateStore) -> None:
        assert self.open_store(airflows, with_files=False).get("key") is None
        # Nor for a task instance that begins: it is another one of the same name.
        assert self.open_store(airflows, may_begin=True).get("key") is None

    def test_a_file_is_read_once_however_often_it_is_asked_for(
        self, airflows: TaskStateStore, folder: Path
    ) -> None:
        store = self.open_store(airflows)
        assert store.get("key") == store.get("key")
        for path in records(folder):
            path.unlink()
        assert store.get("key") is not None

    def test_a_store_that_is_out_of_reach_is_not_answered_for_by_a_file(
        self, airflows: TaskStateStore
    ) -> None:
        airflows.breaks = down("get")
        with pytest.raises(ConnectionError):
            self.open_store(airflows).get("key")


@pytest.mark.parametrize(
    ("names", "has"),
    [(None, False), ([], False), (["readme.txt"], False), (["readme.txt", "one.json"], True)],
)
def test_only_a_folder_with_notes_is_one_of_an_earlier_release(names: list[str] | None, has: bool) -> None:
    def listed() -> Iterator[Path]:
        if names is None:
            # As object storage says it of a prefix.
            raise FileNotFoundError
        return iter(map(Path, names))

    folder: Any = SimpleNamespace(iterdir=listed)
    assert _FileStateStore._has_records(folder) is has
