"""With `path`, one task goes from the prompt to the file, and a retry goes on where it stood."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway.compat import Asset
from airflow_provider_runway.exceptions import RunwayError, RunwayValidationError
from airflow_provider_runway.operators.runway import RunwayDownloadOperator
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import Killed, Life, OutletEvents

MODES: dict[str, dict[str, Any]] = {"in the worker": {}, "deferred": {"deferrable": True}}
both_modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder beside that of the records."""
    folder = tmp_path / "videos"
    folder.mkdir()
    return folder


def stored(folder: Path) -> list[Path]:
    """Return all files of a folder, hidden ones too."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@both_modes
def test_the_video_is_stored_in_the_same_task_and_its_path_returned(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    task = life(path=f"{folder}/new/", **MODES[mode])
    path = Path(task.to_the_end())
    runway_task_id = runway_simulator.creations[0]["task_id"]
    assert path == folder / "new" / f"{runway_task_id}.mp4"
    assert stored(folder) == [path]
    content = path.read_bytes()
    assert content[4:8] == b"ftyp"
    xcoms = task.ti.xcoms
    assert xcoms["path"] == str(path)
    assert xcoms["size"] == len(content)
    assert xcoms["sha256"] == hashlib.sha256(content).hexdigest()
    assert xcoms["runway_task_id"] == runway_task_id
    assert xcoms["video_url"].startswith("http")


@both_modes
def test_a_path_without_a_slash_at_its_end_is_the_file(
    mode: str, life: Callable[..., Life], folder: Path
) -> None:
    path = folder / "lighthouse.mp4"
    assert life(path=str(path), **MODES[mode]).to_the_end() == str(path)
    assert stored(folder) == [path]


@pytest.mark.parametrize("wait", [False, True])
def test_a_path_implies_the_wait(life: Callable[..., Life], folder: Path, wait: bool) -> None:
    task = life(path=f"{folder}/", wait_for_completion=wait)
    assert task.to_the_end().startswith(str(folder))


@pytest.mark.usefixtures("quick")
@both_modes
def test_a_retry_after_a_download_that_failed_pays_for_nothing(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    task = life(path=f"{folder}/", **MODES[mode])
    runway_simulator.add_fault("http_error", "/results", status=503, count=None)
    with pytest.raises(RunwayError):
        task.to_the_end()
    assert stored(folder) == []
    runway_simulator.clear_faults()
    path = Path(task.to_the_end())
    assert stored(folder) == [path]
    assert len(runway_simulator.creations) == 1


@both_modes
def test_a_worker_that_dies_while_it_stores_costs_nothing_and_leaves_nothing(
    mode: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = life(path=f"{folder}/", **MODES[mode])

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_runway.hooks.runway.RunwayHook.keep_video", die)
        with pytest.raises(Killed):
            task.to_the_end()
    path = Path(task.to_the_end())
    assert stored(folder) == [path]
    assert len(runway_simulator.creations) == 1


@both_modes
def test_a_worker_that_dies_after_it_has_stored_leaves_a_retry_nothing_to_do(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    path = folder / "lighthouse.mp4"
    task = life(path=str(path), **MODES[mode])
    task.to_the_end()
    before = path.stat()
    # Airflow wipes the XComs of the earlier try.
    assert task.to_the_end() == str(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert task.ti.xcoms["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(runway_simulator.creations) == 1


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_paid_for(
    life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    (folder / "notes").write_text("no folder")
    with pytest.raises(RunwayValidationError, match=r"path='.*/notes/videos/': '.*/notes' is not a writable"):
        life(path=f"{folder}/notes/videos/").run()
    assert runway_simulator.creations == []


@pytest.mark.parametrize("content", [b"", b"somebody's notes"])
def test_a_file_that_is_there_already_is_refused_before_anything_is_paid_for(
    content: bytes, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    path = folder / "notes.mp4"
    path.write_bytes(content)
    with pytest.raises(RunwayValidationError, match=r"path='.*notes\.mp4': there is already a file"):
        life(path=str(path)).run()
    assert path.read_bytes() == content
    assert runway_simulator.creations == []
    life(path=str(path), overwrite=True).to_the_end()
    assert path.read_bytes()[4:8] == b"ftyp"


def test_a_cleared_task_makes_another_file_in_a_folder(
    life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    task = life(path=f"{folder}/")
    first = task.to_the_end()
    task.clear()
    second = task.to_the_end()
    assert stored(folder) == sorted(map(Path, (first, second)))
    assert len(runway_simulator.creations) == 2


def test_a_cleared_task_is_refused_a_name_that_is_taken_before_it_pays(
    life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    task = life(path=f"{folder}/one.mp4")
    task.to_the_end()
    task.clear()
    with pytest.raises(RunwayValidationError, match="overwrite=True"):
        task.run()
    assert len(runway_simulator.creations) == 1


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("", "path=''"),
        ("   ", "path='   '"),
        (5, "path=5"),
        ("nowhere://bucket/key.mp4", "nowhere"),
        ("{folder}", "there is a folder"),
    ],
)
def test_a_path_that_cannot_be_is_refused_before_anything_is_paid_for(
    path: Any, rule: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    if isinstance(path, str):
        path = path.replace("{folder}", str(folder))
    with pytest.raises(RunwayValidationError, match=rule):
        life(path=path).run()
    assert runway_simulator.creations == []


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ({"manifest": True}, "one.json"),
        *(({"thumbnail": True}, f"one.{ending}") for ending in ("jpg", "png", "webp")),
    ],
)
@both_modes
def test_a_file_of_somebody_else_beside_the_video_is_refused_before_anything_is_paid_for(
    mode: str,
    wanted: dict[str, Any],
    name: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    folder: Path,
) -> None:
    (folder / name).write_text('{"runway_task_id": "of another video"}')
    path = f"{folder}/one.mp4"
    with pytest.raises(RunwayValidationError, match=rf"path='.*one\.mp4'.*=True.*{name}.*already a file"):
        life(path=path, **wanted, **MODES[mode]).run()
    assert runway_simulator.creations == []
    # It is in the way of nobody who does not ask for it, or who has it replaced.
    assert life(path=f"{folder}/", **wanted).to_the_end()
    assert life(path=path, overwrite=True, **wanted).to_the_end() == path


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_in_the_place_of_the_manifest_is_refused_before_anything_is_paid_for(
    overwrite: bool, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    (folder / "one.json").mkdir()
    with pytest.raises(RunwayValidationError, match=r"manifest=True.*one\.json.*a folder"):
        life(path=f"{folder}/one.mp4", manifest=True, overwrite=overwrite).run()
    assert runway_simulator.creations == []


@pytest.mark.parametrize("below", ["", "new/"])
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_paid_for(
    below: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    longest = "x" * 251 + ".mp4"
    for path in (f"{folder}/{below}x{longest}", f"{folder}/{below}{'x' * 256}/a.mp4"):
        with pytest.raises(RunwayValidationError, match=r"path='.*at most 255 bytes"):
            life(path=path).run()
    # That of the manifest is one longer.
    with pytest.raises(RunwayValidationError, match=r"path='.*at most 255 bytes"):
        life(path=f"{folder}/{below}{longest}", manifest=True).run()
    assert runway_simulator.creations == []
    assert life(path=f"{folder}/{below}{longest}").to_the_end() == f"{folder}/{below}{longest}"


@pytest.mark.parametrize("path", ["link/one.mp4", "link/new/", "link/", "file.mp4"])
def test_a_link_that_leads_nowhere_is_refused_before_anything_is_paid_for(
    path: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    (folder / "link").symlink_to(folder / "unmounted")
    (folder / "file.mp4").symlink_to(folder / "unmounted" / "file.mp4")
    with pytest.raises(RunwayValidationError, match="path="):
        life(path=f"{folder}/{path}").run()
    assert runway_simulator.creations == []


def test_a_folder_that_is_a_file_is_refused_before_anything_is_paid_for(
    life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    (folder / "notes").write_text("no folder")
    with pytest.raises(RunwayValidationError, match=r"path='.*/notes/': '.*/notes' is not a writable folder"):
        life(path=f"{folder}/notes/").run()
    assert runway_simulator.creations == []


@both_modes
def test_a_path_may_be_a_path_object(mode: str, life: Callable[..., Life], folder: Path) -> None:
    path = folder / "new" / "lighthouse.mp4"
    assert life(path=path, **MODES[mode]).to_the_end() == str(path)
    assert stored(folder) == [path]


def test_that_of_a_download_may_be_one_too(runway_simulator: Simulator, context: Any, folder: Path) -> None:
    runway_task_id = Life(None).run()
    runway_simulator.advance(600)
    path = folder / "lighthouse.mp4"
    download = RunwayDownloadOperator(task_id="download", runway_task_id=runway_task_id, path=path)
    assert download.execute(context) == str(path)
    assert stored(folder) == [path]


def test_the_manifest_beside_the_video_tells_what_was_asked_for(
    life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    task = life(path=f"{folder}/boat.mp4", prompt="A paper boat", manifest=True)
    path = Path(task.to_the_end())
    (beside,) = (file for file in stored(folder) if file != path)
    manifest = json.loads(beside.read_text())
    assert manifest["prompt"] == "A paper boat"
    assert manifest["runway_task_id"] == runway_simulator.creations[0]["task_id"]
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["size"] == path.stat().st_size


@both_modes
def test_the_events_of_its_assets_carry_the_manifest(
    mode: str, life: Callable[..., Life], folder: Path
) -> None:
    asset = Asset("s3://bucket/videos")
    event = OutletEvents()
    task = life(path=f"{folder}/", outlets=[asset], **MODES[mode])
    task.more_context = {"outlet_events": event}
    path = Path(task.to_the_end())
    assert event.extra["size"] == path.stat().st_size
    assert event.extra["prompt"] == "A lighthouse"
    json.dumps(event.extra)


class File:
    """What OpenLineage's provider takes as an outlet, and Airflow has no events of."""

    url = "s3://bucket/videos"


@both_modes
def test_an_outlet_that_is_no_asset_is_left_to_whoever_it_is_for(
    mode: str, life: Callable[..., Life], folder: Path
) -> None:
    class Events(OutletEvents):
        def __getitem__(self, outlet: Any) -> OutletEvents:
            if isinstance(outlet, File):
                raise TypeError("Key should be either an asset or an asset alias")
            return self

    task = life(path=f"{folder}/", outlets=[File(), Asset("s3://bucket/videos")], **MODES[mode])
    task.more_context = {"outlet_events": (event := Events())}
    path = Path(task.to_the_end())
    assert event.extra["size"] == path.stat().st_size


@both_modes
def test_a_generation_that_fails_stores_nothing_and_says_why(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator, folder: Path
) -> None:
    task = life(path=f"{folder}/", prompt="[moderated] A lighthouse", **MODES[mode])
    with pytest.raises(RunwayError) as caught:
        task.to_the_end()
    assert stored(folder) == []
    assert task.ti.xcoms["runway_error"] == {
        "kind": type(caught.value).__name__,
        "text": str(caught.value),
    }


def test_without_a_path_the_runway_task_id_is_returned_as_ever(
    life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    task = life(wait_for_completion=True)
    assert task.to_the_end() == runway_simulator.creations[0]["task_id"]
    assert "path" not in task.ti.xcoms
