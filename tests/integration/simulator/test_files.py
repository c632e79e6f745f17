"""Uploads, download URLs and result files as a client meets them."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import Client
from tests.integration.simulator.test_answers import assert_as_recorded

UPLOAD = "/api/file-stream-upload"


@pytest.fixture
def video_url(simulator: Simulator, client: Client) -> str:
    task_id = client.create()
    simulator.advance(600)
    return str(client.detail(task_id)["videoInfo"]["videoUrl"])


def test_an_upload_is_answered_as_recorded_and_served_back(simulator: Simulator, client: Client) -> None:
    answer = client.session.post(
        simulator.url + UPLOAD,
        files={"file": ("picture.png", b"some bytes")},
        data={"uploadPath": "images/tests", "fileName": "boat.png"},
        timeout=30,
    ).json()
    assert_as_recorded(answer, "upload_stream")
    assert answer["data"]["fileName"] == "boat.png"
    assert answer["data"]["filePath"].endswith("/images/tests/boat.png")
    assert answer["data"]["fileSize"] == 10
    assert requests.get(answer["data"]["downloadUrl"], timeout=30).content == b"some bytes"


def test_an_upload_under_the_same_name_overwrites(client: Client) -> None:
    url = client.upload("1.txt", b"first", fileName="a.txt")
    assert client.upload("2.txt", b"second", fileName="a.txt") == url
    assert requests.get(url, timeout=30).content == b"second"


@pytest.mark.parametrize("name", ["a.txt", "dir/a.txt", "a" * 300 + ".txt"])
def test_an_upload_without_a_name_gets_a_random_one_with_its_ending(client: Client, name: str) -> None:
    urls = [client.upload(name, content) for content in (b"first", b"second")]
    assert [requests.get(url, timeout=30).content for url in urls] == [b"first", b"second"]
    assert all(url.endswith(".txt") and not url.endswith(("/a.txt", "/" + name)) for url in urls)


def test_an_upload_is_deleted_after_three_days(simulator: Simulator, client: Client) -> None:
    url = client.upload("a.txt", b"text")
    simulator.advance(3 * 86400)
    assert requests.get(url, timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("fields", "named"),
    [({}, "uploadPath"), ({"uploadPath": "a", "path": "b"}, "path"), ({"uploadPath": "../.."}, "..")],
)
def test_an_upload_outside_the_rules_is_refused(client: Client, fields: dict[str, str], named: str) -> None:
    answer = client.session.post(
        client.url + UPLOAD, files={"file": ("a.txt", b"text")}, data=fields, timeout=30
    ).json()
    assert (answer["success"], answer["code"]) == (False, 400)
    assert named in answer["msg"]
    assert "data" not in answer


def test_an_upload_without_its_folder_is_refused_in_the_seen_words(client: Client) -> None:
    answer = client.session.post(client.url + UPLOAD, files={"file": ("a.txt", b"text")}, timeout=30).json()
    assert answer == {"success": False, "code": 400, "msg": "Missing required parameter: uploadPath"}


PART = b'--b\r\nContent-Disposition: form-data; name="uploadPath"\r\n%s\r\n%s\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", PART % (b"", b"images")),
        ("multipart/form-data; boundary=" + "b" * 71, PART % (b"", b"images")),
        ("multipart/form-data; boundary=other", PART % (b"", b"images")),
        ("multipart/form-data; boundary=b", b"no parts"),
        ("multipart/form-data; boundary=b", b"--b\r\nno header\r\n\r\nimages\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", PART % (b"", b"\xff\xfe")),
        ("multipart/form-data; boundary=b", PART % (b"Content-Type: text/plain; charset=none\r\n", b"a")),
        ("multipart/form-data; boundary=b", PART % (b"Content-Transfer-Encoding: none\r\n", b"a")),
    ],
    ids=["no boundary", "long boundary", "other", "no parts", "no header", "no text", "charset", "encoding"],
)
def test_an_upload_that_is_no_form_is_refused(client: Client, content_type: str, body: bytes) -> None:
    answer = client.session.post(
        client.url + UPLOAD, data=body, headers={"Content-Type": content_type}, timeout=30
    ).json()
    assert (answer["success"], answer["code"]) == (False, 400)
    assert "multipart/form-data" in answer["msg"]


@pytest.mark.parametrize(("name", "folder"), [("a" * 256, "images"), ("a.png", "a" * 256)])
def test_an_upload_with_a_name_that_no_file_can_have_is_refused(
    client: Client, name: str, folder: str
) -> None:
    answer = client.session.post(
        client.url + UPLOAD,
        files={"file": ("a.png", b"text")},
        data={"uploadPath": folder, "fileName": name},
        timeout=30,
    ).json()
    assert (answer["success"], answer["code"]) == (False, 400)


def test_an_upload_wants_a_file(client: Client) -> None:
    answer = client.session.post(client.url + UPLOAD, files={"uploadPath": (None, "a")}, timeout=30).json()
    assert (answer["success"], answer["code"]) == (False, 400)


def test_files_above_the_folder_of_uploads_cannot_be_read(simulator: Simulator) -> None:
    answer = requests.get(f"{simulator.url}/files/%2e%2e/%2e%2e/%2e%2e/etc/passwd", timeout=30)
    assert answer.status_code == 404


def test_a_result_is_served_whole_and_in_parts(video_url: str) -> None:
    whole = requests.get(video_url, timeout=30)
    assert whole.headers["Content-Type"] == "video/mp4"
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = requests.get(video_url, headers={"Range": "bytes=4-7"}, timeout=30)
    assert part.status_code == 206
    assert part.content == whole.content[4:8] == b"ftyp"
    assert part.headers["Content-Range"] == f"bytes 4-7/{len(whole.content)}"


def test_a_result_has_a_thumbnail(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    simulator.advance(600)
    answer = requests.get(client.detail(task_id)["videoInfo"]["imageUrl"], timeout=30)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


def test_a_result_is_not_there_before_the_task_has_ended(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    assert requests.get(f"{simulator.url}/results/{task_id}_1_1_1.mp4", timeout=30).status_code == 404


def test_a_download_url_is_good_for_twenty_minutes(
    simulator: Simulator, client: Client, video_url: str
) -> None:
    answer = client.post("/api/v1/common/download-url", {"url": video_url}).json()
    assert answer["code"] == 200
    assert requests.get(answer["data"], timeout=30).content == requests.get(video_url, timeout=30).content
    for forged in ("0", "%C3%A9", "%FF"):
        assert requests.get(answer["data"] + forged, timeout=30).status_code == 403
    simulator.advance(20 * 60)
    assert requests.get(answer["data"], timeout=30).status_code == 403


@pytest.mark.parametrize(
    "body", [{"url": "https://cdn.kie.ai/files/sample-test-file.mp4"}, {"url": "http://["}, {"url": 5}, {}]
)
def test_a_foreign_download_url_is_wrong(client: Client, body: dict[str, object]) -> None:
    answer = client.post("/api/v1/common/download-url", body)
    assert (answer.status_code, answer.json()["code"]) == (200, 422)


def upload_as_json(client: Client, kind: str, **fields: object) -> dict[str, Any]:
    answer = client.session.post(f"{client.url}/api/file-{kind}-upload", json=fields, timeout=30)
    return dict(answer.json())


def test_a_file_is_uploaded_from_an_address_of_the_simulators_own(client: Client, video_url: str) -> None:
    answer = upload_as_json(client, "url", fileUrl=video_url, uploadPath="videos", fileName="boat.mp4")
    assert_as_recorded(answer, "upload_stream")
    assert answer["data"]["mimeType"] == "video/mp4"
    stored = requests.get(answer["data"]["downloadUrl"], timeout=30).content
    assert stored == requests.get(video_url, timeout=30).content
    copies = [
        upload_as_json(client, "url", fileUrl=answer["data"]["downloadUrl"], uploadPath="copies")["data"]
        for _ in range(2)
    ]
    assert len({copy["fileName"] for copy in copies} | {"boat.mp4"}) == 3
    for copy in copies:
        assert copy["fileName"].endswith(".mp4")
        assert requests.get(copy["downloadUrl"], timeout=30).content == stored


@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
def test_a_file_is_uploaded_as_base64(client: Client, head: str) -> None:
    answer = upload_as_json(client, "base64", base64Data=f"{head}c29tZSBieXRlcw==", uploadPath="images")
    assert_as_recorded(answer, "upload_stream")
    again = upload_as_json(client, "base64", base64Data=f"{head}c29tZQ==", uploadPath="images")
    assert again["data"]["fileName"] != answer["data"]["fileName"]
    assert answer["data"]["fileName"].endswith(".png" if head else "")
    assert requests.get(answer["data"]["downloadUrl"], timeout=30).content == b"some bytes"


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        ("url", {"uploadPath": "a"}, "Missing required parameter: fileUrl"),
        ("url", {"fileUrl": "https://files.example.com/a.png"}, "Missing required parameter: uploadPath"),
        ("url", {"fileUrl": "https://files.example.com/a.png", "uploadPath": "a"}, "Failed to download"),
        ("base64", {"uploadPath": "a"}, "Missing required parameter: base64Data"),
        ("base64", {"base64Data": "no base64!", "uploadPath": "a"}, "base64Data"),
        ("base64", {"base64Data": "AAAA", "uploadPath": "../.."}, ".."),
        ("base64", {"base64Data": "AAAA", "uploadPath": "a", "fileName": 5}, "fileName"),
    ],
)
def test_an_upload_as_json_outside_the_rules_is_refused_without_data(
    client: Client, kind: str, fields: dict[str, object], named: str
) -> None:
    answer = upload_as_json(client, kind, **fields)
    assert (answer["success"], answer["code"]) == (False, 400)
    assert named in answer["msg"]
    assert "data" not in answer
