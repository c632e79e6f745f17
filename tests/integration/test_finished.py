"""The watcher of finished videos: one event for each ID that tasks have noted, whatever restarts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.assets import finished
from airflow_provider_runway.assets.finished import RunwayFinishedTrigger, watch_task
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator import Simulator
from tests.integration.conftest import KEY, TaskInstance
from tests.integration.object_storage import bucket, keys_in, s3_server, uri
from tests.integration.recorder import Recorder, envelope
from tests.versions import AIRFLOW

__all__ = ["bucket", "s3_server"]

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2 has no watchers of assets"),
]
WHO = {"dag_id": "dag", "run_id": "run", "task_id": "task", "map_index": -1}
Watch = Callable[..., str]


@pytest.fixture(autouse=True)
def _settles_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "SETTLES_IN", 0.1)
    monkeypatch.setattr(finished, "APART", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "watched"


@pytest.fixture
def watch(folder: Path, context: dict[str, Any], runway_simulator: Simulator) -> Watch:
    """Return a function that submits a video and notes it, and returns its ID."""

    def submit(*faults: str, **how: Any) -> str:
        for fault in faults:
            runway_simulator.add_fault(fault)
        runway_task_id = RunwayHook().submit(GenerateVideo("A paper boat"))
        watch_task(runway_task_id, **{"path": f"{folder}/", "context": context, **how})
        return runway_task_id

    return submit


def trigger(path: Path | str, **how: Any) -> RunwayFinishedTrigger:
    return RunwayFinishedTrigger(f"{path}/", scan_interval=1, **how)


@asynccontextmanager
async def watching(*args: Any, **how: Any) -> AsyncIterator[Callable[..., Any]]:
    """Run a trigger as a triggerer does, and give a function that awaits its next event."""
    async with aclosing(trigger(*args, **how).run()) as events:  # type: ignore[type-var]

        async def event(within: float = 30) -> dict[str, Any]:
            found = await asyncio.wait_for(anext(events), within)
            return dict(json.loads(json.dumps(found.payload)))

        yield event


async def nothing_more(event: Callable[..., Any]) -> None:
    """See that no event comes, for longer than it takes to see a new file."""
    with pytest.raises(asyncio.TimeoutError):
        await event(within=1.6)


def test_each_video_that_ends_is_one_event_of_plain_data(folder: Path, watch: Watch) -> None:
    well, badly = watch(), watch("upstream_failure")

    async def both() -> dict[str, dict[str, Any]]:
        async with watching(folder) as event:
            found = [await event(), await event()]
            await nothing_more(event)
            return {one["runway_task_id"]: one for one in found}

    found = asyncio.run(both())
    video_url = RunwayHook().get_task(well).video_url
    assert found[well] == {
        **WHO,
        "runway_task_id": well,
        "model": "runway",
        "state": "success",
        "video_url": video_url,
        "error": None,
    }
    assert (found[badly]["state"], found[badly]["video_url"]) == ("failed", None)
    assert badly in found[badly]["error"]
    assert list(folder.iterdir()) == []


def test_what_is_noted_while_it_runs_is_seen(folder: Path, watch: Watch) -> None:
    async def later() -> str:
        async with watching(folder) as event:
            waiting = asyncio.create_task(event())
            await asyncio.sleep(0)
            noted = await asyncio.to_thread(watch)
            assert (await waiting)["runway_task_id"] == noted
            return noted

    asyncio.run(later())


def test_a_restart_goes_on_with_what_is_left_and_repeats_nothing(folder: Path, watch: Watch) -> None:
    first = watch()

    async def once(*also_awaited: str) -> list[str]:
        async with watching(folder) as event:
            found = [(await event())["runway_task_id"] for _ in also_awaited]
            await nothing_more(event)
            return found

    assert asyncio.run(once(first)) == [first]
    second = watch()
    assert asyncio.run(once(second)) == [second]
    assert asyncio.run(once()) == []


def test_an_event_that_may_not_have_been_handed_on_comes_again(
    folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands for a paid video, so none is worse than two."""
    monkeypatch.setattr(finished, "SETTLES_IN", 60)
    noted = watch()

    async def once() -> str:
        async with watching(folder) as event:
            return str((await event())["runway_task_id"])

    assert [asyncio.run(once()), asyncio.run(once())] == [noted, noted]


def test_events_keep_apart(folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "APART", 0.4)
    for _ in range(3):
        watch()

    async def times() -> list[float]:
        async with watching(folder) as event:
            found = []
            for _ in range(3):
                await event()
                found.append(time.monotonic())
            return found

    found = asyncio.run(times())
    assert min(after - before for before, after in pairwise(found)) > 0.35


def test_all_look_ups_share_one_session(folder: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[aiohttp.ClientSession] = []
    original = aiohttp.ClientSession.__init__

    def noted(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        made.append(session)
        original(session, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", noted)
    ids = {watch() for _ in range(5)}

    async def all_of_them() -> set[str]:
        async with watching(folder) as event:
            return {(await event())["runway_task_id"] for _ in ids}

    assert asyncio.run(all_of_them()) == ids
    assert len(made) == 1
    assert made[0].closed


def test_removing_the_file_calls_the_watch_off(
    folder: Path, watch: Watch, runway_simulator: Simulator
) -> None:
    noted = watch("stuck")

    async def called_off() -> None:
        async with watching(folder) as event:
            await nothing_more(event)

    async def without_it() -> None:
        async with watching(folder) as event:
            waiting = asyncio.create_task(event())
            deadline = time.monotonic() + 30
            while not looked_up(runway_simulator):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            (folder / f"{noted}.json").unlink()
            other = await asyncio.to_thread(watch)
            assert (await waiting)["runway_task_id"] == other
            runway_simulator.force_task(noted, "success")
            await nothing_more(event)

    asyncio.run(without_it())
    asyncio.run(called_off())


def looked_up(simulator: Simulator) -> int:
    counts = [entry["count"] for entry in simulator.stats()["requests"] if "record-" in entry["path"]]
    return sum(counts)


def test_what_is_given_up_is_an_event_too(folder: Path, watch: Watch) -> None:
    noted = watch("stuck", timeout=0.5)

    async def given_up() -> dict[str, Any]:
        async with watching(folder) as event:
            return dict(await event())

    event = asyncio.run(given_up())
    assert (event["runway_task_id"], event["video_url"]) == (noted, None)
    assert "No video after" in event["error"]


def test_what_is_wrong_with_the_connection_is_waited_out(
    folder: Path, watch: Watch, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "_CONNECTION_PAUSE", 0.05)
    noted = watch()
    right = os.environ["AIRFLOW_CONN_RUNWAY_DEFAULT"]
    # No key is no connection to ask with.
    monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", json.dumps({**json.loads(right), "password": ""}))

    async def mended() -> dict[str, Any]:
        async with watching(folder) as event:
            await nothing_more(event)
        monkeypatch.setenv("AIRFLOW_CONN_RUNWAY_DEFAULT", right)
        async with watching(folder) as event:
            return dict(await event())

    assert asyncio.run(mended())["runway_task_id"] == noted


@pytest.mark.parametrize("trouble", ["rejected key", "no key", "misspelt", "no connection"])
def test_what_is_wrong_with_the_connection_is_not_waited_out_for_longer_than_the_video(
    folder: Path,
    context: dict[str, Any],
    connect: Callable[..., str],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.CONNECTION_GRACE", 0.1)
    recorder.answer = lambda request: envelope(None, 401, "You do not have access permissions")
    fields: dict[str, dict[str, Any]] = {
        "no key": {"password": ""},
        "misspelt": {"extra": {"api": "markt"}},
    }
    wrong = fields.get(trouble, {})
    conn_id = "nowhere" if trouble == "no connection" else connect(host=recorder.url, **wrong)
    watch_task("made", path=str(folder), context=context, timeout=1.5)
    began = time.monotonic()

    async def given_up() -> dict[str, Any]:
        async with watching(folder, runway_conn_id=conn_id) as event:
            return dict(await event())

    found = asyncio.run(given_up())
    # Not before its time: the connection may be mended.
    assert time.monotonic() - began >= 1
    assert (found["runway_task_id"], found["state"], found["video_url"]) == ("made", None, None)
    words = {"rejected key": "access permissions", "no key": "API key", "misspelt": "markt"}
    assert words.get(trouble, "nowhere") in found["error"]


def test_what_breaks_a_wait_is_an_event_at_its_deadline(
    folder: Path, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_runway.triggers.runway import RunwayTaskTrigger

    async def breaks(_: Any) -> Any:
        raise RuntimeError("out of order")

    monkeypatch.setattr(RunwayTaskTrigger, "wait", breaks)
    watch_task("made", path=str(folder), context=context, timeout=1.5)

    async def given_up() -> dict[str, Any]:
        async with watching(folder) as event:
            return dict(await event())

    assert "out of order" in asyncio.run(given_up())["error"]


@pytest.mark.parametrize("text", ["", "[]", '{"runway_task_id": "a b"}', '{"runway_task_id": "made"}'])
def test_a_file_that_is_none_of_ours_is_left_alone_and_mentioned_once(
    folder: Path, watch: Watch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(RunwayFinishedTrigger, "log", logging.getLogger("tests.watcher"), raising=False)
    noted = watch()
    (folder / "other.json").write_text(text)
    (folder / "other.txt").write_text(text)

    async def of_ours() -> None:
        async with watching(folder) as event:
            assert (await event())["runway_task_id"] == noted
            await nothing_more(event)

    asyncio.run(of_ours())
    assert {path.name for path in folder.iterdir()} == {"other.json", "other.txt"}
    warned = [record for record in caplog.records if record.name == "tests.watcher"]
    assert len(warned) == 1
    assert "other.json" in warned[0].getMessage()


def test_before_anything_was_noted_it_waits(folder: Path, connect: Callable[..., str]) -> None:
    connect()

    async def none() -> None:
        async with watching(folder) as event:
            await nothing_more(event)

    asyncio.run(none())


@pytest.mark.parametrize("key", ["watched", ""], ids=["a folder", "the bucket"])
def test_the_folder_may_be_in_an_object_store(bucket: Any, watch: Watch, key: str) -> None:
    noted = watch(path=uri(f"{key}/" if key else ""))
    assert keys_in(bucket) == [f"{key}/{noted}.json" if key else f"{noted}.json"]

    async def once() -> None:
        async with watching(uri(key).rstrip("/")) as event:
            assert (await event())["runway_task_id"] == noted
            await nothing_more(event)

    asyncio.run(once())
    assert keys_in(bucket) == []


def test_it_is_made_again_of_plain_data_without_a_secret() -> None:
    made = RunwayFinishedTrigger("s3://b/watched/", "another", poll_interval=7.5, scan_interval=30)
    path, arguments = made.serialize()
    assert path == f"{RunwayFinishedTrigger.__module__}.{RunwayFinishedTrigger.__name__}"
    assert arguments == {
        "path": "s3://b/watched/",
        "runway_conn_id": "another",
        "poll_interval": 7.5,
        "scan_interval": 30,
    }
    assert RunwayFinishedTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)


def test_airflow_takes_it_for_a_watcher() -> None:
    from airflow.sdk import Asset, AssetWatcher

    watcher = AssetWatcher(name="finished", trigger=trigger("/watched"))
    assert Asset("runway-videos://watched", watchers=[watcher]).watchers == [watcher]


@pytest.mark.parametrize(
    ("runway_task_id", "how"),
    [("", {}), ("a b", {}), ("None", {}), ("made", {"model": "other"}), ("made", {"timeout": 0})],
)
def test_what_cannot_be_watched_is_refused_at_once(
    folder: Path, context: dict[str, Any], runway_task_id: str, how: dict[str, Any]
) -> None:
    with pytest.raises(RunwayValidationError):
        watch_task(runway_task_id, path=str(folder), context=context, **how)
    assert not folder.exists()


def test_the_note_says_who_asked(folder: Path, ti: TaskInstance) -> None:
    ti.map_index = 3
    watch_task("made", path=str(folder), context={"ti": ti}, model="aleph", timeout=60)
    (file,) = folder.iterdir()
    noted = json.loads(file.read_text())
    assert file.name == "made.json"
    assert KEY not in file.read_text()
    assert noted["end_time"] - noted["started_at"] == 60
    assert {**WHO, "map_index": 3, "model": "aleph", "runway_task_id": "made"}.items() <= noted.items()
