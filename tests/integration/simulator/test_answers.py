"""The simulator answers as kie.ai was recorded to answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from urllib3.util import SKIP_HEADER

from airflow_provider_runway.simulator import Simulator
from tests.integration.simulator.conftest import MARKET_TEXT_TO_VIDEO, MINUTE, TEXT_TO_VIDEO, Client
from tests.recorded import RECORDED

SOURCE = "https://files.example.com/boat.mp4"


def assert_same_form(answer: Any, recorded: Any, where: str = "answer") -> None:
    """Compare names and types, however deep; values are each task's own."""
    assert type(answer) is type(recorded), f"{where}: {answer!r} for {recorded!r}"
    if isinstance(recorded, dict):
        assert list(answer) == list(recorded), where
        for name, value in recorded.items():
            assert_same_form(answer[name], value, f"{where}.{name}")


def assert_as_recorded(answer: Any, name: str) -> None:
    assert_same_form(answer, RECORDED[name]["response"], name)


def test_a_generation_passes_through_its_states_as_recorded(simulator: Simulator, client: Client) -> None:
    created = client.post("/api/v1/runway/generate", TEXT_TO_VIDEO)
    assert created.status_code == 200
    assert_as_recorded(created.json(), "generate_accepted")
    look = f"/api/v1/runway/record-detail?taskId={created.json()['data']['taskId']}"

    states = [client.get(look).json()["data"]["state"]]
    for _ in range(2):
        simulator.advance(MINUTE)
        states.append(client.get(look).json()["data"]["state"])
    assert states == ["wait", "queueing", "generating"]
    assert_as_recorded(client.get(look).json(), "record_detail_generating")

    simulator.advance(33)
    assert client.get(look).json()["data"]["state"] == "success"
    assert_as_recorded(client.get(look).json(), "record_detail_success")


def test_generate_time_is_the_second_of_creation_as_text(simulator: Simulator, client: Client) -> None:
    task_id = client.create()
    simulator.advance(600)
    created_at = simulator.tasks[0]["created_at"]
    assert client.detail(task_id)["generateTime"] == str(int(created_at))


def test_an_unknown_task_looks_like_success_without_data(client: Client) -> None:
    answer = client.get("/api/v1/runway/record-detail?taskId=nobody")
    assert answer.status_code == 200
    assert answer.json() == RECORDED["record_detail_unknown_task"]["response"]
    assert client.get("/api/v1/aleph/record-info?taskId=nobody").json()["data"] is None


def test_aleph_answers_with_numbers_instead_of_states(simulator: Simulator, client: Client) -> None:
    task_id = client.restyle(SOURCE, uploadCn=False)
    running = client.get(f"/api/v1/aleph/record-info?taskId={task_id}").json()
    assert_as_recorded(running, "aleph_record_info_running")
    assert running["data"]["successFlag"] == 0
    parameters = json.loads(running["data"]["paramJson"])
    assert parameters == {"videoUrl": SOURCE, "uploadCn": False, "prompt": "As a watercolour"}

    simulator.force_task(task_id, "fail")
    failed = client.get(f"/api/v1/aleph/record-info?taskId={task_id}").json()
    assert_as_recorded(failed, "aleph_record_info_failed")
    assert failed["data"]["successFlag"] == 3
    assert failed["data"]["errorCode"] == 500

    simulator.force_task(task_id, "success")
    done = client.aleph_info(task_id)
    assert done["successFlag"] == 1
    assert done["response"]["resultVideoUrl"].endswith(".mp4")


def test_a_market_task_is_unknown_for_a_moment(simulator: Simulator, client: Client) -> None:
    task_id = client.create_on_market()
    answer = client.get(f"/api/v1/jobs/recordInfo?taskId={task_id}")
    assert answer.status_code == 200
    assert answer.json() == {"code": 422, "msg": "recordInfo is null", "data": None}
    simulator.advance(MINUTE)
    assert client.record_info(task_id)["code"] == 200


def test_a_market_task_answers_with_json_inside_json(simulator: Simulator, client: Client) -> None:
    created = client.post("/api/v1/jobs/createTask", MARKET_TEXT_TO_VIDEO).json()
    assert_as_recorded(created, "market_create_accepted")
    task_id = created["data"]["taskId"]
    simulator.force_task(task_id, "waiting")
    simulator.advance(MINUTE)
    waiting = client.record_info(task_id)
    recorded = RECORDED["market_record_info_waiting"]["response"]["data"]
    assert_same_form({name: waiting["data"][name] for name in recorded}, recorded)
    assert {"response", "successFlag", "operationType", "paramJson"} < waiting["data"].keys()
    assert waiting["data"]["response"] is None
    parameters = json.loads(client.record_info(task_id)["data"]["param"])
    assert json.loads(parameters["input"]) == MARKET_TEXT_TO_VIDEO["input"]

    simulator.force_task(task_id, "queueing")
    assert client.record_info(task_id)["data"]["state"] == "queuing"
    simulator.force_task(task_id, "success")
    done = client.record_info(task_id)["data"]
    assert json.loads(done["resultJson"])["resultUrls"][0].endswith(".mp4")
    assert done["creditsConsumed"] == 12.0
    assert done["response"] == json.loads(done["resultJson"])
    assert done["completeTime"] >= done["createTime"]


def test_a_market_task_takes_seconds_and_may_show_its_price_before_its_end(
    make_simulator: Any,
) -> None:
    simulator = make_simulator(rate_limit=0, invisible_seconds=0.0)
    client = Client(simulator.url)
    task_ids = [client.create_on_market() for _ in range(40)]
    shown = {client.record_info(task_id)["data"]["creditsConsumed"] for task_id in task_ids}
    assert shown == {0.0, 12.0}
    simulator.advance(600)
    done = client.record_info(task_ids[0])["data"]
    # Two states of a minute and 33 s of generating.
    assert (done["costTime"], done["creditsConsumed"]) == (153, 12.0)


def test_a_market_task_that_fails_at_once_has_no_times_of_its_end(
    simulator: Simulator, client: Client
) -> None:
    task_id = client.create_on_market()
    simulator.force_task(task_id, "fail", code=422, message="task id is blank")
    simulator.advance(MINUTE)
    failed = client.record_info(task_id)["data"]
    assert (failed["state"], failed["failCode"]) == ("fail", "422")
    assert (failed["costTime"], failed["completeTime"]) == (None, None)


def test_a_market_task_is_known_at_once_unless_told_otherwise() -> None:
    with Simulator(render=False) as simulator:
        client = Client(simulator.url)
        assert client.record_info(client.create_on_market())["code"] == 200


def test_a_task_above_the_limit_of_running_ones_fails_at_once(make_simulator: Any) -> None:
    simulator = make_simulator(running_limit=2)
    client = Client(simulator.url)
    task_ids = [client.create() for _ in range(3)]
    assert [client.detail(task_id)["state"] for task_id in task_ids] == ["wait", "wait", "fail"]
    refused = client.detail(task_ids[2])
    assert (refused["failCode"], refused["failMsg"]) == (
        400,
        "Reached the limit for concurrent generations.",
    )
    simulator.advance(600)
    assert client.detail(client.create())["state"] == "wait"


def test_a_hundred_tasks_run_at_once(make_simulator: Any) -> None:
    simulator = make_simulator(rate_limit=0)
    client = Client(simulator.url)
    states = [client.detail(client.create())["state"] for _ in range(101)]
    assert states == ["wait"] * 100 + ["fail"]


def test_keys_can_be_accounts_of_their_own(make_simulator: Any) -> None:
    simulator = make_simulator(separate_accounts=True, balance=40.0, rate_limit=2, running_limit=1)
    mine, other = Client(simulator.url), Client(simulator.url)
    other.session.headers["Authorization"] = "Bearer other"
    task_id = mine.create()
    assert (mine.credits(), other.credits()) == (28.0, 40.0)
    assert other.detail(task_id) is None
    assert mine.detail(task_id)["state"] == "wait"
    # Neither the limit of running tasks nor that of creations is shared.
    assert mine.detail(mine.create())["state"] == "fail"
    assert mine.post("/api/v1/runway/generate", TEXT_TO_VIDEO).status_code == 429
    assert other.detail(other.create())["state"] == "wait"
    simulator.advance(600)
    extension = other.extend(task_id)
    simulator.advance(600)
    assert other.detail(extension)["failMsg"] == "The parent task does not exist."
    assert len(simulator.creations) == 4
    assert simulator.balance == 80 - 3 * 12 - 12


def test_accounts_of_their_own_keep_their_balance_across_a_restart(
    make_simulator: Any, tmp_path: Any
) -> None:
    settings = {"separate_accounts": True, "state_file": tmp_path / "tasks.sqlite"}
    before = make_simulator(**settings)
    task_id = Client(before.url).create()
    before.close()
    client = Client(make_simulator(**settings).url)
    assert client.credits() == 5916.25 - 12
    assert client.detail(task_id)["state"] == "wait"


def test_an_answer_is_compressed_where_the_client_takes_it(client: Client) -> None:
    for accepted, encoding in (("gzip, deflate", "gzip"), ("identity", None)):
        answer = client.get("/api/v1/chat/credit", headers={"Accept-Encoding": accepted})
        assert answer.headers.get("Content-Encoding") == encoding
        assert answer.json() == RECORDED["credit"]["response"]


def test_a_large_answer_to_a_look_up_is_compressed_too(simulator: Simulator, client: Client) -> None:
    simulator.add_fault("http_error", "/api/v1/runway/record-detail", status=200, body=" " * 2_600_000)
    answer = client.get("/api/v1/runway/record-detail?taskId=x", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(answer.content) == 2_600_000


def test_a_task_belongs_to_the_generation_of_the_api_that_made_it(
    simulator: Simulator, client: Client
) -> None:
    dedicated, market = client.create(), client.create_on_market()
    aleph = client.restyle(SOURCE)
    simulator.advance(600)
    assert client.detail(market) is None
    assert client.aleph_info(dedicated) is None
    assert client.detail(aleph) is None
    assert client.record_info(dedicated)["code"] == 422


def test_credits_are_the_balance(client: Client) -> None:
    assert client.get("/api/v1/chat/credit").json() == RECORDED["credit"]["response"]


@pytest.mark.parametrize(
    ("path", "body", "price"),
    [
        ("/api/v1/runway/generate", TEXT_TO_VIDEO, 12),
        ("/api/v1/runway/generate", {**TEXT_TO_VIDEO, "duration": 10}, 30),
        ("/api/v1/runway/generate", {**TEXT_TO_VIDEO, "quality": "1080p"}, 30),
        ("/api/v1/aleph/generate", {"prompt": "Ink", "videoUrl": SOURCE}, 110),
        ("/api/v1/jobs/createTask", MARKET_TEXT_TO_VIDEO, 12),
    ],
)
def test_an_accepted_request_costs_its_price(client: Client, path: str, body: Any, price: float) -> None:
    client.create(path, body)
    assert client.credits() == 5916.25 - price


def test_an_empty_account_is_told_so(make_simulator: Any) -> None:
    simulator = make_simulator(balance=30.0)
    client = Client(simulator.url)
    for _ in range(2):
        client.create()
    refused = client.post("/api/v1/runway/generate", TEXT_TO_VIDEO)
    assert refused.status_code == 200
    assert refused.json() == {
        "code": 402,
        "msg": "Credits insufficient : Your current balance isn't enough to run this request."
        " Please top up to continue.",
    }
    assert client.credits() == 6.0
    assert len(simulator.creations) == 2


def test_the_twenty_first_creation_in_ten_seconds_is_refused(simulator: Simulator, client: Client) -> None:
    answers = [client.post("/api/v1/runway/generate", TEXT_TO_VIDEO) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert answers[-1].json()["code"] == 429
    simulator.advance(10)
    assert client.post("/api/v1/runway/generate", TEXT_TO_VIDEO).status_code == 200
    assert len(simulator.creations) == 21


def test_the_limit_can_be_switched_off(make_simulator: Any) -> None:
    client = Client(make_simulator(rate_limit=0).url)
    assert len({client.create() for _ in range(30)}) == 30


@pytest.mark.parametrize("user_agent", ["", "Python-urllib/3.11", SKIP_HEADER])
def test_an_odd_or_missing_user_agent_does_not_pass_the_edge(client: Client, user_agent: str) -> None:
    client.session.headers["User-Agent"] = user_agent
    answer = client.get("/api/v1/chat/credit")
    assert (answer.status_code, answer.text) == (403, "error code: 1010")


@pytest.mark.parametrize("header", [None, "", "Bearer ", "Basic a2V5", "key", "Bearer other"])
def test_a_missing_or_wrong_key_is_refused_with_http_200(make_simulator: Any, header: str | None) -> None:
    client = Client(make_simulator(api_keys=frozenset({"key"})).url)
    client.session.headers["Authorization"] = header  # type: ignore[assignment]
    answer = client.post("/api/v1/runway/generate", TEXT_TO_VIDEO)
    assert answer.status_code == 200
    assert answer.json().keys() == {"code", "msg"}
    assert answer.json()["code"] == 401
    assert answer.json()["msg"].startswith("Unauthorized - Authentication failed")


def test_a_wrong_path_is_answered_by_the_framework_behind_it(client: Client) -> None:
    answer = client.get("/api/v1/runway/list")
    assert answer.status_code == 404
    assert list(answer.json()) == ["timestamp", "status", "error", "path"]
    assert answer.json()["path"] == "/api/v1/runway/list"
