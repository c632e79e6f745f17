"""Under which name a video is stored, whatever a server calls it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from airflow_provider_runway.compat import ObjectStoragePath
from airflow_provider_runway.exceptions import RunwayValidationError
from airflow_provider_runway.files import naming
from airflow_provider_runway.files.mp4 import Boxes
from tests.integration.recorder import mp4
from tests.storages import skip_where_airflow_takes_none


@pytest.mark.parametrize(
    ("task_id", "name"),
    [
        ("3f2a", "3f2a.mp4"),
        ("../../x", "_.._x.mp4"),
        ("..", "video.mp4"),
        (".hidden", "hidden.mp4"),
        ("a/b\\c\0d e", "a_b_c_d_e.mp4"),
        ("ü*?[", "____.mp4"),
        ("x" * 400, "x" * 200 + ".mp4"),
    ],
)
def test_a_task_id_never_leads_out_of_the_folder(task_id: str, name: str) -> None:
    path = naming.file_in("/data/", task_id, "https://files.example/a.mp4")
    assert path == f"/data/{name}"
    assert Path(path).resolve().parent == Path("/data")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://files.example/a/boat.mp4?signature=1", "boat.mp4"),
        ("https://files.example/a/..", "video"),
        ("https://files.example/", "video.mp4"),
        ("https://files.example/..%2f..%2fx", "_2f.._2fx"),
    ],
)
def test_without_a_task_the_url_names_the_file(url: str, name: str) -> None:
    assert naming.file_in("s3://c@bucket/", None, url) == f"s3://c@bucket/{name}"


def test_a_path_that_is_no_folder_is_the_users_own() -> None:
    assert naming.file_in("/data/my [1].mov", "3f2a", "https://files.example/") == "/data/my [1].mov"


@pytest.mark.parametrize("path", ["/v/3f2a.mp4", "/v/3f2a", "/v/ds_3f2a.mp4", "s3://b/3f2a-1.mp4"])
def test_a_name_with_the_task_id_in_it_is_named_after_the_task(path: str) -> None:
    assert naming.names(path, "3f2a")


@pytest.mark.parametrize("path", ["/3f2a/boat.mp4", "/v/03f2a.mp4", "/v/3f2ab.mp4"])
def test_another_name_is_not(path: str) -> None:
    assert not naming.names(path, "3f2a")


@pytest.mark.parametrize(
    "path",
    [
        *("", "  ", 5, None, "/data/..", "/data/../", "..", ".", "a\nb.mp4", "a\0.mp4"),
        *("https://files.example/a.mp4", "nowhere://bucket/a.mp4", "/data/what?", "/tmp", "file:///tmp"),
        *("None", b"/data/a.mp4", Path("/tmp"), "/data/\ud800.mp4"),
    ],
)
def test_a_path_that_cannot_be_is_refused(path: object) -> None:
    with pytest.raises(RunwayValidationError, match="path="):
        naming.check_path(path)


@pytest.mark.parametrize("path", ["/tmp/", "/data/a?b*[c]#d.mp4", "file:///data/a.mp4", "/data/a//"])
def test_a_path_that_can_be_is_not(path: str) -> None:
    skip_where_airflow_takes_none(path)
    assert naming.check_path(path) == path


@pytest.mark.parametrize("kind", [Path, PurePosixPath, ObjectStoragePath])
@pytest.mark.parametrize("text", ["/data/a.mp4", "file:///data/a.mp4"])
def test_a_path_object_is_taken_as_the_text_that_it_stands_for(kind: Any, text: str) -> None:
    skip_where_airflow_takes_none(text)
    path = kind(text)
    assert naming.check_path(path) == str(path)


@pytest.mark.parametrize(
    "path", ["/nowhere/{}", "/nowhere/{}/a.mp4", "/nowhere/{}/", "file:///nowhere/{}", "relative/{}"]
)
@pytest.mark.parametrize("sign", ["x", "é", "🎬"])
def test_a_name_that_no_file_can_have_is_refused_whether_or_not_its_folder_is_there(
    path: str, sign: str
) -> None:
    size = len(sign.encode())
    skip_where_airflow_takes_none(path)
    naming.check_path(path.format(sign * (255 // size)))
    too_long = sign * (255 // size + 1)
    with pytest.raises(RunwayValidationError, match=rf"path='.*{too_long}.*at most 255 bytes"):
        naming.check_path(path.format(too_long))


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("/v/boat.mp4", "/v/boat.json"),
        ("/v/boat", "/v/boat.json"),
        ("/v.d/.boat", "/v.d/.boat.json"),
        ("/v/boat.json", "/v/boat.json.json"),
    ],
)
def test_what_stands_beside_a_video(path: str, other: str) -> None:
    assert naming.beside(path, ".json") == other


def boxes(content: bytes, piece: int) -> Boxes:
    found = Boxes()
    for start in range(0, len(content), piece):
        found.feed(content[start : start + piece])
    return found


VIDEO = mp4(5000)
LARGE_BOX = b"\0\0\0\x01mdat" + (16 + 100).to_bytes(8, "big") + b"x" * 100


@pytest.mark.parametrize("piece", [1, 7, 1000, 10**6])
def test_a_file_that_ends_with_its_last_box_is_whole(piece: int) -> None:
    assert boxes(VIDEO, piece).are_whole
    assert boxes(VIDEO + LARGE_BOX, piece).are_whole
    assert boxes(VIDEO + b"\0\0\0\0mdat" + b"x" * 99, piece).are_whole, "a length of 0 means: to the end"
    assert boxes(VIDEO + b"made by nobody", piece).are_whole, "an appendix does no harm"


@pytest.mark.parametrize("piece", [1, 7, 1000, 10**6])
def test_a_file_that_ends_before_is_not(piece: int) -> None:
    assert boxes(VIDEO[:-1], piece).are_cut
    assert boxes(VIDEO[:-1], piece).are_whole is False
    assert boxes(VIDEO + LARGE_BOX[:-1], piece).are_cut
    assert not boxes(b"<html>" + VIDEO, piece).are_whole
    assert not boxes(b"", piece).are_whole
