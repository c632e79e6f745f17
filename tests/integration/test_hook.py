"""The hook of the workers: which requests are repeated, and what each failure becomes.

The simulator's count of accepted creations is the witness: each of them would be charged.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import LocationParseError

from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.api.tasks import TaskState
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayCreditsError,
    RunwayError,
    RunwayMaintenanceError,
    RunwayNotConnectedError,
    RunwayRateLimitError,
    RunwayRequestError,
    RunwayServerError,
    RunwaySubmissionUnknownError,
    RunwayTaskFailedError,
    RunwayTaskNotFoundError,
    RunwayTaskRejectedError,
    RunwayTimeoutError,
    RunwayValidationError,
    RunwayVideoExpiredError,
)
from airflow_provider_runway.hooks.runway import RunwayHook
from airflow_provider_runway.simulator import Simulator
from tests.integration.recorder import DROP, Answer, Recorder, Request, envelope

REQUEST = GenerateVideo("A paper boat on a rainy street")
CREATE = "/api/v1/runway/generate"
LOOK = "/api/v1/runway/record-detail"


def fails_with(error: BaseException) -> Callable[..., Any]:
    """Return a function that raises, whatever it is given."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def posts(simulator: Simulator) -> int:
    """Return how many POST requests arrived, taken or not."""
    return sum(r["count"] for r in simulator.stats()["requests"] if r["method"] == "POST")


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_each_request_is_accepted_and_its_task_read_back(
    runway_simulator: Simulator, connect: Callable[..., str], quick: list[float], api: str
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    hook = RunwayHook()
    parent = hook.wait_for_task(hook.submit(REQUEST))
    assert parent.state is TaskState.SUCCESS
    requests: list[RunwayRequest] = [
        ExtendVideo(parent.task_id, "It sails on"),
        GenerateAlephVideo("As a watercolour", parent.video_url or "", aspect_ratio="16:9", seed=7),
    ]
    for request in requests:
        task = hook.wait_for_task(hook.submit(request), model=request.model)
        assert (task.state, task.model) == (TaskState.SUCCESS, request.model)
        assert task.video_url
    assert len(runway_simulator.creations) == 3
    assert [task["state"] for task in runway_simulator.tasks] == ["success"] * 3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 429},
        {"kind": "body_code", "code": 429},
        {"kind": "body_code", "code": 455},
        {"kind": "http_error", "status": 455},
    ],
    ids=str,
)
def test_a_creation_that_surely_was_not_taken_is_repeated(
    runway_simulator: Simulator, pauses: list[float], fault: dict[str, Any]
) -> None:
    runway_simulator.add_fault(path=CREATE, count=2, **fault)
    task_id = RunwayHook().submit(REQUEST)
    assert [creation["task_id"] for creation in runway_simulator.creations] == [task_id]
    assert posts(runway_simulator) == 3
    assert len(pauses) == 2
    assert all(pause > 0.5 for pause in pauses)


def test_a_creation_that_never_was_connected_is_repeated(
    runway_simulator: Simulator, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runway_simulator.stop()
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: runway_simulator.start()))
    task_id = RunwayHook().submit(REQUEST)
    assert [creation["task_id"] for creation in runway_simulator.creations] == [task_id]


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://nobody.invalid"])
def test_a_creation_that_never_was_connected_is_not_unknown(
    connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    connect(host=host)
    resolve = socket.getaddrinfo

    def resolve_nobody(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "nobody.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(name, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_nobody)
    with pytest.raises(RunwayNotConnectedError, match="Nothing was charged"):
        RunwayHook(patience=0).submit(REQUEST)


def test_an_answer_that_is_lost_behind_a_proxy_makes_the_creation_unknown(
    recorder: Recorder, connect: Callable[..., str], pauses: list[float]
) -> None:
    connect(host="http://api.test", extra={"proxies": {"http": recorder.url}})
    recorder.answer = lambda request: DROP
    with pytest.raises(RunwaySubmissionUnknownError):
        RunwayHook().submit(REQUEST)
    assert [request.path for request in recorder.requests] == [f"http://api.test{CREATE}"]
    assert pauses == []


@pytest.mark.parametrize("location", ["http://[", "http://127.0.0.1:port/", "gopher://127.0.0.1/", "/%zz"])
def test_a_redirect_to_nowhere_makes_the_creation_unknown(
    recorder: Recorder, connect: Callable[..., str], pauses: list[float], location: str
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: Answer(b"", 302, {"Location": location})
    with pytest.raises(RunwaySubmissionUnknownError):
        RunwayHook().submit(REQUEST)
    assert len(recorder.requests) == 1
    assert pauses == []


@pytest.mark.parametrize("proxy", ["refuses the tunnel", "is not there"])
def test_a_proxy_that_lets_nothing_through_makes_no_creation_unknown(
    recorder: Recorder, connect: Callable[..., str], proxy: str
) -> None:
    # The recorder knows no CONNECT and answers 501 to it.
    url = recorder.url if proxy == "refuses the tunnel" else "http://127.0.0.1:9"
    connect(host="https://api.test", extra={"proxies": {"https": url}})
    with pytest.raises(RunwayNotConnectedError, match="Nothing was charged"):
        RunwayHook(patience=0).submit(REQUEST)
    assert recorder.requests == []


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"verify": "/nowhere/authority.pem"}, "extra 'verify': '/nowhere/authority.pem'"),
        ({"verify": __file__}, "extra 'verify'"),
        ({"cert": "/nowhere/client.pem"}, "extra 'cert': '/nowhere/client.pem'"),
        ({"proxies": {"http": "gopher://127.0.0.1:9"}}, "extra 'proxies': 'gopher://127.0.0.1:9'"),
    ],
)
def test_what_makes_every_request_impossible_is_refused_before_it_is_sent(
    recorder: Recorder, connect: Callable[..., str], extra: dict[str, Any], named: str
) -> None:
    connect(host=recorder.url, extra=extra)
    with pytest.raises(RunwayValidationError, match=named):
        RunwayHook(patience=0).submit(REQUEST)
    assert recorder.requests == []


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("requests.Session.prepare_request", TypeError("unhashable type: 'list'")),
        ("requests.Session.merge_environment_settings", OSError("no such file")),
        ("requests.adapters.HTTPAdapter.send", LocationParseError("'api..kie.ai', label empty or too long")),
    ],
    ids=["building", "reading the environment", "the address"],
)
def test_a_request_that_cannot_be_built_was_not_sent_and_is_said_so(
    connect: Callable[..., str],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: Exception,
) -> None:
    connect(host=recorder.url)
    monkeypatch.setattr(step, fails_with(error))
    with pytest.raises(RunwayValidationError, match="Nothing was sent") as caught:
        RunwayHook(patience=0).submit(REQUEST)
    assert str(error) in str(caught.value)
    with pytest.raises(RunwayValidationError):
        RunwayHook(patience=0).get_task("task-1")
    assert recorder.requests == []


@pytest.mark.parametrize("error", [TypeError("of a library"), OSError("no file"), AttributeError("raw")])
def test_whatever_a_library_raises_while_it_sends_makes_the_creation_unknown_at_once(
    connect: Callable[..., str], recorder: Recorder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """An operator's retry would have to find out else, without a word of what has happened."""
    connect(host=recorder.url)
    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", fails_with(error))
    with pytest.raises(RunwaySubmissionUnknownError, match=str(error)):
        RunwayHook(patience=0).submit(REQUEST)
    with pytest.raises(RunwayServerError, match=str(error)):
        RunwayHook(patience=0).get_task("task-1")


def test_a_worker_that_is_told_to_end_while_it_sends_ends(
    connect: Callable[..., str], recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=recorder.url)
    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", fails_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        RunwayHook(patience=0).submit(REQUEST)


def test_an_environments_file_of_authorities_that_is_not_there_is_named(
    recorder: Recorder, connect: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(host=recorder.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/authority.pem")
    with pytest.raises(RunwayValidationError, match=r"REQUESTS_CA_BUNDLE: '/nowhere/authority.pem'"):
        RunwayHook(patience=0).submit(REQUEST)


def test_a_wait_in_the_worker_goes_on_with_a_new_key(
    recorder: Recorder, connect: Callable[..., str], quick: list[float]
) -> None:
    connect(host=recorder.url, password="the-old-key-of-the-account")

    def script(request: Request) -> Answer:
        if "the-new-key" not in request.headers["authorization"]:
            connect(host=recorder.url, password="the-new-key-of-the-account")
            return envelope(None, 401, "You do not have access permissions")
        return envelope({"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}})

    recorder.answer = script
    assert RunwayHook().wait_for_task("1").video_url == "https://files.test/v.mp4"
    assert len(recorder.requests) == 2


def test_a_wait_in_the_worker_goes_on_with_a_connection_that_was_mended(
    recorder: Recorder, connect: Callable[..., str], quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_runway.hooks.runway.READ_AGAIN_AFTER", 0.05)
    recorder.answer = lambda request: envelope(
        {"state": "success", "videoInfo": {"videoUrl": "https://files.test/v.mp4"}}
    )
    with Recorder() as wrong:

        def script(request: Request) -> Answer:
            if len(wrong.requests) == 3:
                connect(host=recorder.url)
            return Answer(b"<html>This is another service</html>")

        wrong.answer = script
        connect(host=wrong.url)
        assert RunwayHook().wait_for_task("1").video_url == "https://files.test/v.mp4"
        assert len(wrong.requests) >= 3


def test_a_wait_in_the_worker_reads_its_connection_again_once_a_minute_at_most_and_keeps_its_key(
    recorder: Recorder, connect: Callable[..., str], quick: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new key may be another account's, which does not know the task; this one is not rejected."""
    from airflow_provider_runway.hooks import runway

    connect(host=recorder.url, password="the-key-of-the-account")
    read: list[str] = []
    original = runway.load_settings

    def noted(conn_id: str) -> Any:
        read.append(conn_id)
        return original(conn_id)

    monkeypatch.setattr(runway, "load_settings", noted)

    def script(request: Request) -> Answer:
        connect(host=recorder.url, password="the-key-of-another-account")
        state = "fail" if len(recorder.requests) > 100 else "generating"
        return envelope({"state": state}) if state == "fail" else Answer(b"", 503)

    recorder.answer = script
    with pytest.raises(RunwayTaskFailedError):
        RunwayHook().wait_for_task("1")
    assert len({request.headers["authorization"] for request in recorder.requests}) == 1
    # For the hook, for its session, and then once while polls failed.
    assert len(read) == 3


@pytest.mark.parametrize(
    ("runway_task_id", "model"), [("", "runway"), ("None", "runway"), ("task-1", "gen4")]
)
def test_a_wait_for_what_cannot_be_a_task_is_refused_at_once(
    recorder: Recorder,
    connect: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    runway_task_id: str,
    model: str,
) -> None:
    connect(host=recorder.url)
    monkeypatch.setattr("time.sleep", fails_with(AssertionError("it waited")))
    with pytest.raises(RunwayValidationError):
        RunwayHook().wait_for_task(runway_task_id, model=model, kind="generate-5s-720p")
    assert recorder.requests == []


def test_a_wait_in_the_worker_ends_with_a_key_that_is_still_rejected(
    recorder: Recorder, connect: Callable[..., str], quick: list[float]
) -> None:
    connect(host=recorder.url)
    recorder.answer = lambda request: envelope(None, 401, "You do not have access permissions")
    with pytest.raises(RunwayAuthenticationError):
        RunwayHook().wait_for_task("1")
    assert len(recorder.requests) == 1


def test_a_certificate_that_is_refused_is_no_unknown_creation(connect: Callable[..., str]) -> None:
    """The request is sent only over a connection whose certificate is good."""
    import ssl
    import threading

    from tests.integration.certificates import self_signed

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with self_signed() as files:
        context.load_cert_chain(*files)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                client, _ = server.accept()
                context.wrap_socket(client, server_side=True).close()
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        connect(host=f"https://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(RunwayNotConnectedError, match=r"(?i)certificate"):
            RunwayHook(patience=0).submit(REQUEST)


UNKNOWN = [
    {"kind": "drop_before"},
    {"kind": "drop_after"},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 504, "carried_out": True},
    {"kind": "html", "status": 200},
    {"kind": "http_error", "status": 503, "body": "upstream connect error"},
    {"kind": "http_error", "status": 408, "body": ""},
    {"kind": "body_code", "code": 408},
    {"kind": "http_error", "status": 504, "body": '{"code": 504, "message": "upstream timeout"}'},
    {"kind": "garbage"},
    {"kind": "garbage", "carried_out": True},
]


@pytest.mark.parametrize("fault", UNKNOWN, ids=str)
def test_a_creation_without_a_readable_answer_is_sent_once_and_called_unknown(
    runway_simulator: Simulator, pauses: list[float], fault: dict[str, Any]
) -> None:
    runway_simulator.add_fault(path=CREATE, count=None, **fault)
    with pytest.raises(RunwaySubmissionUnknownError) as caught:
        RunwayHook().submit(REQUEST)
    taken = fault["kind"] == "drop_after" or fault.get("carried_out", False)
    assert len(runway_simulator.creations) == int(taken)
    assert posts(runway_simulator) == 1
    assert pauses == []
    text = str(caught.value)
    assert all(part in text for part in ("A paper boat on a rainy street", "https://kie.ai/logs", "UTC"))


def test_a_creation_whose_answer_is_late_is_sent_once_and_called_unknown(
    runway_simulator: Simulator, connect: Callable[..., str], pauses: list[float]
) -> None:
    runway_simulator.add_fault("slow", path=CREATE, seconds=30)
    connect(host=runway_simulator.url, extra={"timeout": 0.2})
    with pytest.raises(RunwaySubmissionUnknownError, match=r"(?i)timed out"):
        RunwayHook().submit(REQUEST)
    assert len(runway_simulator.creations) == 1
    assert pauses == []


def test_a_success_that_names_no_task_is_called_unknown(
    recorder: Recorder, connect: Callable[..., str], pauses: list[float]
) -> None:
    recorder.answer = lambda request: envelope({})
    connect(host=recorder.url)
    with pytest.raises(RunwaySubmissionUnknownError, match="names no task ID"):
        RunwayHook().submit(REQUEST)
    assert len(recorder.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RunwayRequestError),
        (402, RunwayCreditsError),
        (422, RunwayRequestError),
        (433, RunwayCreditsError),
        (451, RunwayRequestError),
        (500, RunwayServerError),
        (505, RunwayRequestError),
    ],
)
@pytest.mark.parametrize("as_http", [False, True])
def test_a_refusal_in_an_envelope_is_not_repeated_and_says_that_nothing_was_charged(
    runway_simulator: Simulator, pauses: list[float], code: int, kind: type[RunwayError], as_http: bool
) -> None:
    kind_of_fault, field = ("http_error", "status") if as_http else ("body_code", "code")
    runway_simulator.add_fault(kind_of_fault, CREATE, count=None, msg="kie's own words", **{field: code})
    with pytest.raises(kind, match="kie's own words") as caught:
        RunwayHook().submit(REQUEST)
    assert not isinstance(caught.value, RunwaySubmissionUnknownError)
    assert "A paper boat" in str(caught.value)
    assert runway_simulator.creations == []
    assert posts(runway_simulator) == 1
    assert pauses == []


@pytest.mark.parametrize("code", [408, 502, 503, 504, 520, 524])
def test_a_creation_for_which_a_gateway_answered_in_an_envelope_is_unknown_and_not_repeated(
    runway_simulator: Simulator, pauses: list[float], code: int
) -> None:
    runway_simulator.add_fault("body_code", path=CREATE, count=None, code=code, msg="upstream is gone")
    with pytest.raises(RunwaySubmissionUnknownError, match=r"upstream is gone.*A paper boat") as caught:
        RunwayHook().submit(REQUEST)
    assert caught.value.code == code
    assert posts(runway_simulator) == 1
    assert pauses == []


@pytest.mark.parametrize(
    ("code", "msg", "kind"),
    [
        (500, "Credits insufficient : Your current balance isn't enough.", RunwayCreditsError),
        (500, "This field is required", RunwayRequestError),
    ],
)
def test_a_refusal_is_read_by_its_words_and_its_reason_stands_first(
    runway_simulator: Simulator, code: int, msg: str, kind: type[RunwayError]
) -> None:
    runway_simulator.add_fault("body_code", path=CREATE, count=None, code=code, msg=msg)
    with pytest.raises(kind, match="Nothing was charged") as caught:
        RunwayHook().submit(REQUEST)
    assert str(caught.value).startswith(f"code {code}: ")
    assert str(caught.value).index(msg) < str(caught.value).index("Creating a Runway video ('A paper boat")


def test_an_aleph_video_has_its_article(runway_simulator: Simulator) -> None:
    runway_simulator.add_fault("body_code", count=None, code=400)
    with pytest.raises(RunwayRequestError, match="Creating an Aleph video"):
        RunwayHook().submit(
            GenerateAlephVideo(prompt="As watercolour", video_url="https://example.com/v.mp4")
        )


@pytest.mark.parametrize(("code", "kind"), [(429, RunwayRateLimitError), (455, RunwayMaintenanceError)])
def test_patience_with_a_creation_ends(
    runway_simulator: Simulator, code: int, kind: type[RunwayError]
) -> None:
    runway_simulator.add_fault("body_code", path=CREATE, count=None, code=code)
    with pytest.raises(kind, match="Nothing was charged"):
        RunwayHook(patience=0).submit(REQUEST)
    assert posts(runway_simulator) == 1


def test_the_rate_limit_is_waited_out(runway_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda _: runway_simulator.advance(5.0)))
    for _ in range(21):
        RunwayHook().submit(REQUEST)
    assert len(runway_simulator.creations) == 21
    assert posts(runway_simulator) > 21


def test_a_creation_never_reuses_a_connection_which_the_server_may_be_closing(
    recorder: Recorder, connect: Callable[..., str]
) -> None:
    connect(host=recorder.url)
    hook = RunwayHook(patience=0)
    hook.get_credits()
    recorder.answer = lambda request: envelope({"taskId": "task-1"})
    hook.submit(REQUEST)
    hook.submit(REQUEST)
    recorder.answer = lambda request: envelope(100.0)
    hook.get_credits()
    first, created, created_again, last = [request.connection for request in recorder.requests]
    assert len({first, created, created_again}) == 3
    assert last == first


BROKEN: list[dict[str, Any]] = [
    {"kind": "http_error", "status": 429},
    {"kind": "body_code", "code": 429},
    {"kind": "body_code", "code": 500},
    {"kind": "body_code", "code": 455},
    {"kind": "http_error", "status": 503},
    {"kind": "http_error", "status": 504, "body": ""},
    {"kind": "html", "status": 502},
    {"kind": "html", "status": 200},
    {"kind": "garbage"},
    {"kind": "drop_before"},
    {"kind": "drop_after"},
]


@pytest.mark.parametrize("fault", BROKEN, ids=str)
def test_a_look_up_is_repeated(
    runway_simulator: Simulator, pauses: list[float], fault: dict[str, Any]
) -> None:
    hook = RunwayHook()
    task_id = hook.submit(REQUEST)
    runway_simulator.add_fault(path=LOOK, count=3, **fault)
    assert hook.get_task(task_id).task_id == task_id
    assert len(pauses) == 3
    assert pauses[0] < pauses[2]


@pytest.mark.parametrize("header", ["11", "date"])
def test_a_look_up_is_not_repeated_before_the_servers_retry_after(
    runway_simulator: Simulator, pauses: list[float], header: str
) -> None:
    if header == "date":
        header = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=60), usegmt=True)
    runway_simulator.add_fault("http_error", status=429, headers={"Retry-After": header})
    RunwayHook().get_credits()
    assert len(pauses) == 1
    assert pauses[0] >= 11


def test_a_server_that_asks_for_more_than_our_patience_is_not_waited_for(
    runway_simulator: Simulator, pauses: list[float]
) -> None:
    runway_simulator.add_fault("http_error", status=429, headers={"Retry-After": "86400"})
    with pytest.raises(RunwayRateLimitError) as caught:
        RunwayHook().get_credits()
    assert caught.value.retry_after == 86400
    assert pauses == []


@pytest.mark.parametrize("code", [400, 401, 402, 433, 505])
def test_a_look_up_that_cannot_get_better_is_not_repeated(
    runway_simulator: Simulator, pauses: list[float], code: int
) -> None:
    task_id = RunwayHook().submit(REQUEST)
    runway_simulator.add_fault("body_code", path=LOOK, code=code, count=None)
    with pytest.raises(RunwayError) as caught:
        RunwayHook().get_task(task_id)
    assert caught.value.code == code
    assert task_id in str(caught.value)
    assert pauses == []


@pytest.mark.parametrize("api", ["dedicated", "market"])
def test_an_unknown_id_is_an_error_of_its_own(
    runway_simulator: Simulator, connect: Callable[..., str], pauses: list[float], api: str
) -> None:
    connect(host=runway_simulator.url, extra={"api": api})
    with pytest.raises(RunwayTaskNotFoundError, match="nobody-knows-me"):
        RunwayHook().get_task("nobody-knows-me")
    assert pauses == []


def test_a_wait_goes_on_through_failures_and_submits_nothing(
    runway_simulator: Simulator, quick: list[float]
) -> None:
    hook = RunwayHook()
    task_id = hook.submit(REQUEST)
    for fault in BROKEN:
        runway_simulator.add_fault(path=LOOK, count=2, **fault)
    assert hook.wait_for_task(task_id).video_url
    assert len(runway_simulator.creations) == 1


def test_a_wait_ends_at_its_deadline(runway_simulator: Simulator, quick: list[float]) -> None:
    hook = RunwayHook()
    runway_simulator.add_fault("stuck")
    task_id = hook.submit(REQUEST)
    with pytest.raises(RunwayTimeoutError, match=task_id):
        hook.wait_for_task(task_id, timeout=0.3)


@pytest.mark.parametrize("name", ["timeout", "poll_interval"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0, -1, "60", True])
def test_a_wait_without_an_end_is_refused(
    runway_simulator: Simulator, quick: list[float], name: str, value: Any
) -> None:
    runway_simulator.add_fault("stuck")
    hook = RunwayHook()
    task_id = hook.submit(REQUEST)
    with pytest.raises(RunwayValidationError, match=rf"{name}={value!r}: must be"):
        hook.wait_for_task(task_id, **{"timeout": 0.3, name: value})


def test_a_wait_needs_a_timeout(runway_simulator: Simulator) -> None:
    timeout: Any = None
    with pytest.raises(RunwayValidationError, match="timeout=None: must be"):
        RunwayHook().wait_for_task("1", timeout=timeout)


def test_a_wait_for_a_moderated_task_ends_with_kies_words(
    runway_simulator: Simulator, quick: list[float]
) -> None:
    hook = RunwayHook()
    runway_simulator.add_fault("moderation")
    task_id = hook.submit(REQUEST)
    with pytest.raises(RunwayTaskRejectedError, match="AI moderator") as caught:
        hook.wait_for_task(task_id)
    assert task_id in str(caught.value)


@pytest.mark.parametrize("kind", ["success_without_url", "expired"])
def test_a_wait_for_a_task_without_a_video_ends_with_an_error_of_its_own(
    runway_simulator: Simulator, quick: list[float], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("airflow_provider_runway.waiting.poller.GRACE", 0.5 * runway_simulator.settings.speed)
    hook = RunwayHook()
    runway_simulator.add_fault(kind)
    with pytest.raises(RunwayVideoExpiredError):
        hook.wait_for_task(hook.submit(REQUEST))


def test_a_download_url_is_given_for_a_result_and_refused_for_anything_else(
    runway_simulator: Simulator, quick: list[float]
) -> None:
    hook = RunwayHook()
    task = hook.wait_for_task(hook.submit(REQUEST))
    assert (task.video_url or "").split("?")[0] in hook.get_download_url(task.video_url or "")
    with pytest.raises(RunwayRequestError, match="url is wrong") as caught:
        hook.get_download_url("https://example.com/video.mp4?signature=S3CRET")
    assert "https://example.com/video.mp4" in str(caught.value)
    assert "S3CRET" not in str(caught.value)
    with pytest.raises(RunwayRequestError, match="video_url"):
        hook.get_download_url("no url")


@pytest.mark.parametrize("failures", [0, 2])
def test_an_upload_is_streamed_whole_and_repeated(
    runway_simulator: Simulator, pauses: list[float], tmp_path: Path, failures: int
) -> None:
    import requests

    picture = tmp_path / "a picture.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9000)
    if failures:
        runway_simulator.add_fault("html", path="/api/file-stream-upload", count=failures)
    url = RunwayHook().upload_file(picture)
    assert url.endswith(".png")
    assert requests.get(url, timeout=30).content == picture.read_bytes()
    assert len(pauses) == failures
    assert RunwayHook().upload_file(str(picture)) != url


def test_a_missing_file_is_not_uploaded(runway_simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RunwayHook().upload_file(tmp_path / "nothing.png")
    assert posts(runway_simulator) == 0
