"""Troubles on demand, in process and through the control endpoint."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_runway.simulator import Fault, Simulator
from airflow_provider_runway.simulator.faults import TASK_KINDS
from tests.integration.simulator.conftest import TEXT_TO_VIDEO, Client, MakeSimulator

CREDIT, GENERATE = "/api/v1/chat/credit", "/api/v1/runway/generate"


def test_a_fault_hits_as_often_as_it_was_told(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("http_error", CREDIT, status=503, count=2, after=1, headers={"Retry-After": "3"})
    answers = [client.get(CREDIT) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "3"
    assert answers[1].json()["code"] == 503


def test_a_fault_hits_its_path_and_method_only(simulator: Simulator, client: Client) -> None:
    simulator.add_fault(
        "body_code", "/api/v1/*/record-*", method="get", code=455, msg="maintenance", count=None
    )
    assert client.get(CREDIT).json()["code"] == 200
    assert client.post(GENERATE, TEXT_TO_VIDEO).json()["code"] == 200
    answer = client.get("/api/v1/runway/record-detail?taskId=x")
    assert (answer.status_code, answer.json()) == (200, {"code": 455, "msg": "maintenance", "data": None})
    simulator.clear_faults()
    assert client.get("/api/v1/runway/record-detail?taskId=x").json()["code"] == 200


def test_a_gateway_answers_with_a_page(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("html", CREDIT, status=504)
    answer = client.get(CREDIT)
    assert answer.status_code == 504
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<html>" in answer.text


def test_garbage_is_no_json(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("garbage", CREDIT)
    answer = client.get(CREDIT)
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()


@pytest.mark.parametrize(("kind", "created"), [("drop_before", 0), ("drop_after", 1)])
def test_a_connection_is_cut_before_or_after_the_work(
    simulator: Simulator, client: Client, kind: str, created: int
) -> None:
    simulator.add_fault(kind, GENERATE)
    with pytest.raises(requests.ConnectionError):
        client.post(GENERATE, TEXT_TO_VIDEO)
    assert len(simulator.creations) == created
    assert simulator.balance == 5916.25 - 12 * created
    assert client.post(GENERATE, TEXT_TO_VIDEO).json()["code"] == 200


@pytest.mark.parametrize("kind", ["http_error", "html", "garbage", "body_code"])
def test_a_creation_can_be_carried_out_behind_a_bad_answer(
    simulator: Simulator, client: Client, kind: str
) -> None:
    simulator.add_fault(kind, GENERATE, carried_out=True)
    client.post(GENERATE, TEXT_TO_VIDEO)
    assert len(simulator.creations) == 1


def test_a_slow_answer_comes_after_the_work(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("slow", GENERATE, seconds=20)
    with pytest.raises(requests.ReadTimeout):
        client.session.post(client.url + GENERATE, json=TEXT_TO_VIDEO, timeout=0.5)
    # On a busy machine the client may give up before the simulator has come to it.
    deadline = time.monotonic() + 15
    while not simulator.creations and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(simulator.creations) == 1


@pytest.mark.parametrize(("kind", "code"), [("moderation", 400), ("upstream_failure", 500)])
def test_a_task_is_made_to_fail(simulator: Simulator, client: Client, kind: str, code: int) -> None:
    simulator.add_fault(kind)
    task_id = client.create()
    simulator.advance(600)
    assert client.detail(task_id)["state"] == "fail"
    assert client.detail(task_id)["failCode"] == code
    other = client.create()
    simulator.advance(600)
    assert client.detail(other)["state"] == "success"


def refused_for_want_of_a_key(client: Client) -> requests.Response:
    return client.session.post(client.url + GENERATE, json=TEXT_TO_VIDEO, headers={"Authorization": None})


REFUSED: dict[int, Callable[[Client], requests.Response]] = {
    401: refused_for_want_of_a_key,
    402: lambda client: client.post(GENERATE, {**TEXT_TO_VIDEO, "quality": "1080p"}),
    422: lambda client: client.post(GENERATE, {**TEXT_TO_VIDEO, "duration": 7}),
    429: lambda client: client.post(GENERATE, TEXT_TO_VIDEO),
}


@pytest.mark.parametrize("kind", sorted(TASK_KINDS))
@pytest.mark.parametrize("code", REFUSED)
def test_a_fault_of_a_task_waits_for_a_creation_that_is_accepted(
    make_simulator: MakeSimulator, kind: str, code: int
) -> None:
    # 24 credits are enough for two videos in 720p, and for none in 1080p.
    simulator = make_simulator(balance=24.0, rate_limit=1 if code == 429 else 20)
    client = Client(simulator.url)
    client.create()
    simulator.add_fault(kind)
    assert REFUSED[code](client).json()["code"] == code
    assert simulator.stats()["faults"][0]["used"] == 0
    simulator.advance(10)
    client.create()
    assert simulator.stats()["faults"][0]["used"] == 1


def test_a_creation_can_meet_a_tasks_fault_beside_one_of_its_answer(
    simulator: Simulator, client: Client
) -> None:
    simulator.add_fault("drop_after", GENERATE)
    simulator.add_fault("upstream_failure", GENERATE)
    with pytest.raises(requests.ConnectionError):
        client.post(GENERATE, TEXT_TO_VIDEO)
    simulator.advance(600)
    assert [task["state"] for task in simulator.tasks] == ["fail"]


def test_a_stuck_task_never_ends(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("stuck")
    task_id = client.create()
    simulator.advance(10 * 86400)
    assert client.detail(task_id)["state"] == "generating"


def test_a_success_can_be_without_a_video(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("success_without_url")
    task_id = client.create()
    simulator.advance(600)
    detail = client.detail(task_id)
    assert (detail["state"], detail["videoInfo"]["videoUrl"]) == ("success", None)


def test_a_success_can_be_expired_at_once(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("expired")
    task_id = client.create()
    simulator.advance(600)
    detail = client.detail(task_id)
    assert (detail["state"], detail["expireFlag"]) == ("success", 1)
    answer = requests.get(detail["videoInfo"]["videoUrl"], timeout=30)
    assert answer.status_code == 404


def test_a_download_is_cut_in_the_middle_and_can_be_taken_up(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    simulator.advance(600)
    url = client.detail(task_id)["videoInfo"]["videoUrl"]
    whole = requests.get(url, timeout=30).content
    simulator.add_fault("truncated_download", "/results/", count=2)

    def read(**headers: str) -> bytes:
        received = b""
        with requests.get(url, headers=headers, timeout=30, stream=True) as answer:
            length = int(answer.headers["Content-Length"])
            assert length <= len(whole)
            chunks = answer.iter_content(4096)
            # Before urllib3 2, a body that is too short is no error.
            with contextlib.suppress(requests.exceptions.ChunkedEncodingError):
                for chunk in chunks:
                    received += chunk
        assert len(received) < length, "the download was not cut"
        return received

    first = read()
    assert 0 < len(first) < len(whole)
    second = read(Range=f"bytes={len(first)}-")
    assert whole.startswith(first + second)
    rest = requests.get(url, headers={"Range": f"bytes={len(first + second)}-"}, timeout=30)
    assert rest.status_code == 206
    assert first + second + rest.content == whole


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=100-199", "bytes=1000-", "bytes=-100", "bytes=0-0"])
def test_a_cut_download_names_the_same_range_as_a_whole_one(
    simulator: Simulator, client: Client, asked: str
) -> None:
    task_id = client.create()
    simulator.advance(600)
    url = client.detail(task_id)["videoInfo"]["videoUrl"]

    def head(answer: requests.Response) -> tuple[int, str, str]:
        return answer.status_code, answer.headers["Content-Range"], answer.headers["Content-Length"]

    with requests.get(url, headers={"Range": asked}, timeout=30) as whole:
        expected = head(whole)
    simulator.add_fault("truncated_download")
    with requests.get(url, headers={"Range": asked}, timeout=30, stream=True) as cut:
        assert head(cut) == expected


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=9-5", "bytes=all"])
def test_a_cut_download_refuses_a_range_that_makes_no_sense(
    simulator: Simulator, client: Client, asked: str
) -> None:
    task_id = client.create()
    simulator.advance(600)
    url = client.detail(task_id)["videoInfo"]["videoUrl"]
    simulator.add_fault("truncated_download")
    assert requests.get(url, headers={"Range": asked}, timeout=30).status_code == 416


def test_the_control_endpoint_takes_faults_and_shows_them(client: Client) -> None:
    added = client.control("POST", "faults", json={"kind": "http_error", "path": CREDIT, "status": 500})
    assert added.json()["faults"][0]["used"] == 0
    assert client.get(CREDIT).status_code == 500
    assert client.control("GET", "faults").json()["faults"][0]["used"] == 1
    assert client.control("DELETE", "faults").json() == {"faults": []}


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "/"},
        {"kind": "fire"},
        {"kind": "slow", "second": 3},
        {"kind": "slow", "seconds": "3"},
        {"kind": "html", "count": 0},
        {"kind": "html", "path": "api"},
        {"kind": "html", "method": 5},
        {"kind": "html", "status": True},
        {"kind": "html", "status": 100},
        {"kind": "html", "status": 1000},
        {"kind": "html", "headers": {"Retry-After": None}},
        {"kind": "html", "headers": {"Retry-After": True}},
        {"kind": "html", "headers": {"Retry-After": ["3"]}},
        {"kind": "html", "headers": {"Retry-After": "3\r\nConnection: close"}},
        {"kind": "html", "headers": {"Retry After": "3"}},
        {"kind": "html", "headers": ["Retry-After"]},
        {"kind": "http_error", "body": 5},
        {"kind": "http_error", "carried_out": "no"},
        {"kind": "moderation", "msg": 5},
        {"kind": "slow", "seconds": -1},
        {"kind": "slow", "seconds": float("nan")},
        ["slow"],
        "slow",
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(client: Client, fault: Any) -> None:
    answer = client.control("POST", "faults", data=json.dumps(fault))
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert client.control("GET", "faults").json() == {"faults": []}


@pytest.mark.parametrize(("number", "sent"), [(3, "3"), (2.5, "2.5")])
def test_a_number_as_a_header_is_sent_as_text(client: Client, number: float, sent: str) -> None:
    fault = {"kind": "http_error", "path": CREDIT, "status": 429, "headers": {"Retry-After": number}}
    assert client.control("POST", "faults", json=fault).status_code == 200
    answer = client.get(CREDIT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, sent)


@pytest.mark.parametrize("body", [{"code": 501, "msg": "told so", "data": None}, [1, 2]])
def test_a_body_that_is_no_text_is_sent_as_json(client: Client, body: Any) -> None:
    fault = {"kind": "http_error", "path": CREDIT, "body": body, "count": 2}
    assert client.control("POST", "faults", json=fault).status_code == 200
    answer = client.get(CREDIT)
    assert (answer.status_code, answer.json()) == (502, body)
    assert answer.headers["Content-Type"].startswith("application/json")


def test_a_body_of_text_is_sent_as_it_is(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("http_error", CREDIT, body="a,b", headers={"content-type": "text/csv"})
    answer = client.get(CREDIT)
    assert (answer.text, answer.headers["Content-Type"].partition(";")[0]) == ("a,b", "text/csv")


def test_a_fault_nested_too_deeply_is_refused(client: Client) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    for fault in (nested, f'{{"kind": "http_error", "body": {nested}}}'):
        assert client.control("POST", "faults", data=fault).status_code == 400
    assert client.control("GET", "faults").json() == {"faults": []}


def test_a_fault_of_an_unknown_kind_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="kind must be one of"):
        Fault(kind="fire")


def test_faults_leave_the_control_endpoint_alone(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("drop_before", "*", count=None)
    assert client.control("GET", "stats").status_code == 200


def test_an_outage_ends_with_all_tasks_known(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    simulator.stop()
    with pytest.raises(requests.ConnectionError):
        client.detail(task_id)
    simulator.start()
    assert client.detail(task_id)["taskId"] == task_id


@pytest.mark.timeout(60)
def test_stopping_does_not_wait_for_slow_answers(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("slow", GENERATE, seconds=600)
    with pytest.raises(requests.ReadTimeout):
        client.session.post(client.url + GENERATE, json=TEXT_TO_VIDEO, timeout=0.5)
    simulator.stop()
