"""A file of one's own where a URL is wanted: uploaded in the same task, once, whatever dies in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_runway.compat import ObjectStoragePath
from airflow_provider_runway.exceptions import RunwayCreditsError, RunwayError, RunwayValidationError
from airflow_provider_runway.operators.runway import RunwayAlephOperator
from airflow_provider_runway.simulator.server import Simulator
from tests.integration.durable.life import CREATION, MODES, Killed, Life
from tests.integration.recorder import mp4
from tests.storages import skip_where_airflow_takes_none

UPLOAD = "/api/file-stream-upload"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture beside the folder of the records."""
    path = tmp_path / "pictures" / "a fox?.png"
    path.parent.mkdir()
    path.write_bytes(PICTURE)
    return path


def uploads(simulator: Simulator) -> int:
    """Return how many files were sent."""
    return sum(request["count"] for request in simulator.stats()["requests"] if request["path"] == UPLOAD)


def sent(simulator: Simulator) -> bytes:
    """Return the picture that the newest creation is about."""
    return requests.get(simulator.creations[-1]["body"]["imageUrl"], timeout=30).content


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_is_uploaded_in_the_same_task(
    mode: str, life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    task = life(image_url=str(picture), **MODES[mode])
    task.to_the_end()
    assert sent(runway_simulator) == PICTURE
    assert uploads(runway_simulator) == 1
    assert task.ti.xcoms["runway_request"]["image_url"] == str(picture)


@pytest.mark.parametrize(
    "form", [str, "file://{}".format, Path, lambda path: ObjectStoragePath(f"file://{path}")]
)
def test_a_file_may_be_given_in_any_form(
    form: Callable[[Path], Any], life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    if form not in (str, Path):
        skip_where_airflow_takes_none(f"file://{picture}")
    life(image_url=form(picture)).run()
    assert sent(runway_simulator) == PICTURE


@pytest.mark.parametrize("moment", ["after the record", "while waiting"])
def test_a_retry_takes_up_what_was_paid_for_and_uploads_nothing(
    moment: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    picture: Path,
    killed_at: Callable[[str], None],
) -> None:
    task = life(image_url=str(picture), wait_for_completion=True)
    killed_at(moment)
    with pytest.raises(Killed):
        task.run()
    picture.unlink()
    assert task.run() == runway_simulator.creations[0]["task_id"]
    assert len(runway_simulator.creations) == uploads(runway_simulator) == 1


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_upload_is_used_again_where_the_request_was_refused(
    deferrable: bool, life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    task = life(image_url=str(picture), deferrable=deferrable)
    runway_simulator.add_fault("body_code", CREATION, code=402)
    with pytest.raises(RunwayError):
        task.run()
    assert task.run()
    runway_simulator.add_fault("body_code", CREATION, code=429, count=3)
    task.clear()
    result = task.run()
    while result is None:
        result = task.go_on_after_pause()
    assert uploads(runway_simulator) == 1
    assert len(runway_simulator.creations) == 2


@pytest.mark.parametrize("code", [429, 455, 500])
def test_an_upload_that_is_refused_for_now_gives_the_worker_back_and_uses_up_no_retry(
    code: int,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    picture: Path,
    pauses: list[float],
) -> None:
    runway_simulator.add_fault("body_code", UPLOAD, code=code, count=None)
    task = life(image_url=str(picture), deferrable=True)
    for go_on in (task.run, task.go_on_after_pause, task.go_on_after_pause):
        pauses.clear()
        assert go_on() is None
        assert sum(pauses) < 15
    runway_simulator.clear_faults()
    assert task.go_on_after_pause() == runway_simulator.creations[0]["task_id"]
    assert sent(runway_simulator) == PICTURE
    assert task.ti.try_number == 1


@pytest.mark.parametrize("code", [429, 455])
def test_in_a_worker_that_is_not_given_back_it_is_sent_again_until_the_timeout(
    code: int,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow_provider_runway.operators.paying._FREE_PATIENCE", 0.0)
    runway_simulator.add_fault("body_code", UPLOAD, code=code, count=3)
    task = life(image_url=str(picture))
    assert task.run() == runway_simulator.creations[0]["task_id"]
    runway_simulator.add_fault("body_code", UPLOAD, code=code, count=None)
    picture.write_bytes(PICTURE + b"more")
    task.clear()
    task.arguments["timeout"] = 0.2
    with pytest.raises(RunwayError, match=str(code)):
        task.run()
    assert len(runway_simulator.creations) == 1


def test_too_few_credits_are_still_found_before_the_submission(
    life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    with pytest.raises(RunwayCreditsError):
        life(image_url=str(picture), min_credits=10**9).run()
    assert runway_simulator.creations == []


def test_an_upload_that_has_grown_old_or_is_of_another_file_is_not_used_again(
    life: Callable[..., Life], runway_simulator: Simulator, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = life(image_url=str(picture))
    task.run()
    picture.write_bytes(PICTURE + b"more")
    task.clear()
    task.run()
    assert uploads(runway_simulator) == 2
    assert sent(runway_simulator) == PICTURE + b"more"
    monkeypatch.setattr("airflow_provider_runway.submissions.journal._UPLOAD_LIVES", -1.0)
    for _ in range(2):
        picture.write_bytes(PICTURE + b"even more")
        task.clear()
        task.run()
    assert uploads(runway_simulator) == 4


def test_a_store_that_forgets_uploads_costs_an_upload_and_no_money(
    life: Callable[..., Life], runway_simulator: Simulator, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "airflow_provider_runway.submissions.journal.SubmissionJournal._uploads", lambda _: {}
    )
    task = life(image_url=str(picture))
    runway_simulator.add_fault("body_code", CREATION, code=402)
    with pytest.raises(RunwayError):
        task.run()
    task.run()
    assert (uploads(runway_simulator), len(runway_simulator.creations)) == (2, 1)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "JPEG or PNG or WebP.*empty"),
        (b"a text that calls itself a picture", "JPEG or PNG or WebP.*something else"),
        (mp4(), "JPEG or PNG or WebP.*MP4"),
        (PICTURE + bytes(10 * 1024 * 1024), "10 MB"),
    ],
)
def test_a_file_that_kie_does_not_take_is_refused_before_it_is_sent(
    content: bytes, rule: str, life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    picture.write_bytes(content)
    with pytest.raises(RunwayValidationError, match=rf"image_url='.*fox\?\.png'.*{rule}"):
        life(image_url=str(picture)).run()
    assert uploads(runway_simulator) == len(runway_simulator.creations) == 0


@pytest.mark.parametrize("value", ["fox.png", "./fox.png", "://", "picture", "www.example.com/fox.png"])
def test_what_is_neither_a_url_nor_a_file_is_refused_by_name(
    value: str, life: Callable[..., Life], runway_simulator: Simulator
) -> None:
    with pytest.raises(RunwayValidationError, match=r"image_url=.*public http or https URL, or a file"):
        life(image_url=value).run()
    assert runway_simulator.stats()["requests"] == []


def test_a_file_that_is_missing_is_named(
    life: Callable[..., Life], runway_simulator: Simulator, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        life(image_url=f"{tmp_path}/nothing.png").run()
    with pytest.raises(RunwayValidationError, match="folder"):
        life(image_url=f"{tmp_path}").run()
    assert runway_simulator.creations == []


def test_another_rule_is_broken_before_anything_is_uploaded(
    life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    with pytest.raises(RunwayValidationError, match="quality="):
        life(image_url=str(picture), quality="8k").run()
    assert runway_simulator.stats()["requests"] == []


def test_aleph_takes_a_video_and_a_picture_of_ones_own(
    runway_simulator: Simulator, picture: Path, tmp_path: Path, context: Any
) -> None:
    from tests.harness.processes import REPOSITORY

    video = REPOSITORY / "example_dags" / "media" / "hills.mp4"
    RunwayAlephOperator(
        task_id="aleph", prompt="As a drawing", video_url=str(video), reference_image=str(picture)
    ).execute(context)
    body = runway_simulator.creations[0]["body"]
    assert requests.get(body["videoUrl"], timeout=30).content == video.read_bytes()
    assert requests.get(body["referenceImage"], timeout=30).content == PICTURE
    with pytest.raises(RunwayValidationError, match=r"video_url='.*': must be MP4"):
        RunwayAlephOperator(task_id="aleph", prompt="As a drawing", video_url=str(picture)).execute(context)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("ending", "form"),
    [
        *((ending, "{}") for ending in (".jpg", ".png", ".webp")),
        (".png", "file://{}"),
        (".png", "a link"),
    ],
)
def test_a_thumbnail_that_might_replace_the_picture_it_is_made_from_is_refused_before_anything_is_paid_for(
    overwrite: bool,
    ending: str,
    form: str,
    life: Callable[..., Life],
    runway_simulator: Simulator,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    source = folder / f"fox{ending}"
    source.write_bytes(PICTURE)
    given = form.format(source)
    skip_where_airflow_takes_none(given)
    if form == "a link":
        given = f"{tmp_path}/link.png"
        Path(given).symlink_to(source)
    task = life(image_url=given, path=f"{folder}/fox.mp4", thumbnail=True, overwrite=overwrite)
    with pytest.raises(
        RunwayValidationError, match=r"path='.*fox\.mp4'.*thumbnail=True.*image_url"
    ) as caught:
        task.run()
    assert "nothing was submitted" in str(caught.value)
    assert "overwrite=True" not in str(caught.value)
    assert runway_simulator.creations == []
    assert uploads(runway_simulator) == 0
    assert source.read_bytes() == PICTURE


def test_a_thumbnail_of_another_name_leaves_the_picture_it_is_made_from(
    life: Callable[..., Life], runway_simulator: Simulator, picture: Path
) -> None:
    path = f"{picture.parent}/fox.mp4"
    life(image_url=str(picture), path=path, thumbnail=True, overwrite=True).to_the_end()
    assert picture.read_bytes() == PICTURE
    life(image_url=str(picture), path=f"{picture.parent}/", thumbnail=True).to_the_end()
    assert picture.read_bytes() == PICTURE
