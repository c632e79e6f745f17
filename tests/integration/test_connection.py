"""A connection of type ``runway``: what each of its fields does, and what is refused before any request."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_runway import __version__
from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.compat import AIRFLOW
from airflow_provider_runway.exceptions import (
    RunwayAuthenticationError,
    RunwayConnectionNotFoundError,
    RunwayError,
    RunwayNotConnectedError,
    RunwayValidationError,
)
from airflow_provider_runway.hooks.connection import RunwaySettings
from airflow_provider_runway.hooks.runway import RunwayAsyncHook, RunwayHook, load_settings
from airflow_provider_runway.simulator import Simulator
from tests.integration.certificates import self_signed
from tests.integration.conftest import KEY
from tests.integration.recorder import Answer, Recorder, Request, Script, envelope, mp4

Connect = Callable[..., str]


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({}, "https://api.kie.ai"),
        ({"host": ""}, "https://api.kie.ai"),
        ({"host": "  "}, "https://api.kie.ai"),
        ({"host": "kie.example"}, "https://kie.example"),
        ({"host": "kie.example", "port": 8443}, "https://kie.example:8443"),
        ({"host": "kie.example:8443"}, "https://kie.example:8443"),
        ({"host": "kie.example", "schema": "http"}, "http://kie.example"),
        ({"host": "https://kie.example/"}, "https://kie.example"),
        ({"host": "http://127.0.0.1:8089/"}, "http://127.0.0.1:8089"),
        ({"host": "http://127.0.0.1", "port": 8089}, "http://127.0.0.1:8089"),
        ({"host": "https://gateway.example/kie/"}, "https://gateway.example/kie"),
        ({"host": "https://gateway.example/kie", "port": 8443}, "https://gateway.example:8443/kie"),
        ({"host": "gateway.example/kie", "port": 8443}, "https://gateway.example:8443/kie"),
        ({"host": "http://[::1]/kie", "port": 8089}, "http://[::1]:8089/kie"),
        ({"host": "https://b\u00fccher.example"}, "https://b\u00fccher.example"),
    ],
)
def test_the_host_is_the_base_url(connect: Connect, fields: dict[str, Any], base_url: str) -> None:
    hook = RunwayHook(connect(**fields))
    assert hook.settings.base_url == base_url
    hook.get_conn()
    assert hook.url_from_endpoint("/api/v1/chat/credit") == f"{base_url}/api/v1/chat/credit"


@pytest.mark.parametrize(
    "host",
    [
        *("ftp://kie.example", "https://", "http://kie.example:port", "a host", "a\rhost", "a\0host", "\0"),
        # No name that can be looked up: a label that is empty, and one that is too long.
        *("https://api..kie.ai", ".kie.ai", f"https://{'a' * 64}.ai"),
        *(
            "https://kie.example/?x=1",
            "https://kie.example?",
            "https://kie.example/#top",
            "https://kie.example#",
        ),
    ],
)
def test_a_host_that_is_none_is_refused_by_name(connect: Connect, host: str) -> None:
    with pytest.raises(RunwayValidationError, match="host") as caught:
        load_settings(connect(host=host))
    assert repr(host.split("//")[-1])[1:-1] in str(caught.value)
    assert "runway_default" in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"api": "v3"}, ["api", "'v3'", "dedicated", "market"]),
        ({"api": ["market"]}, ["api", "market"]),
        ({"timeout": "soon"}, ["timeout", "'soon'", "seconds"]),
        ({"timeout": 0}, ["timeout", "0"]),
        ({"timeout": -3}, ["timeout", "-3"]),
        ({"timeout": [1, 2, 3]}, ["timeout", "[1, 2, 3]"]),
        ({"upload_host": "ftp://files.example"}, ["upload_host", "ftp://files.example"]),
        ({"upload_host": 7}, ["upload_host", "7"]),
        ({"proxies": 7}, ["proxies", "7"]),
        ({"proxies": {"https": 7}}, ["proxies", "7"]),
        ({"verify": 7}, ["verify", "7"]),
        ({"trust_env": "perhaps"}, ["trust_env", "'perhaps'"]),
        ({"max_redirects": "many"}, ["max_redirects", "'many'"]),
        ({"cert": 7}, ["cert", "7"]),
        ({"speed": 0}, ["speed", "0", "positive"]),
        ({"speed": "fast"}, ["speed", "'fast'"]),
        ({"speed": True}, ["speed", "True"]),
        ({"speed": "inf"}, ["speed", "'inf'"]),
    ],
)
def test_a_wrong_extra_is_refused_with_its_name_value_and_rule(
    connect: Connect, extra: dict[str, Any], named: list[str]
) -> None:
    with pytest.raises(RunwayValidationError) as caught:
        load_settings(connect(extra=extra))
    assert all(text in str(caught.value) for text in ["runway_default", "must be", *named])


@pytest.mark.parametrize(
    "proxies", [{"https": "http://user:secret-word@proxy", "http": 7}, ["http://u:secret-word@p"]]
)
def test_the_password_of_a_proxy_is_not_shown_with_what_is_wrong_beside_it(
    connect: Connect, proxies: Any
) -> None:
    with pytest.raises(RunwayValidationError, match=r"proxies.*http://\*\*\*@p") as caught:
        load_settings(connect(extra={"proxies": proxies}))
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("extra", [["webhook-secret"], "webhook-secret", 7])
def test_an_extra_that_is_no_object_is_refused_and_not_shown(connect: Connect, extra: Any) -> None:
    expected: tuple[type[Exception], str] = (RunwayValidationError, r"runway_default.*extra.*JSON object")
    if AIRFLOW in ((3, 0), (3, 1)):
        # Which take a connection that they cannot read for one that is not there.
        expected = (RunwayConnectionNotFoundError, "runway_default")
    with pytest.raises(expected[0], match=expected[1]) as caught:
        load_settings(connect(extra=json.dumps(extra)))
    assert "webhook-secret" not in str(caught.value)


@pytest.mark.parametrize("port", [None, 70000])
def test_a_port_that_is_none_is_refused_by_name(connect: Connect, port: int | None) -> None:
    fields = {"host": "https://kie.example:70000"} if port is None else {"host": "kie.example", "port": port}
    with pytest.raises(RunwayValidationError, match=r"host.*70000"):
        load_settings(connect(**fields))


@pytest.mark.parametrize("user", [KEY, ""])
@pytest.mark.parametrize("field", ["host", "upload_host", "callback_base_url"])
def test_user_and_password_of_a_url_are_refused_and_not_shown(
    connect: Connect, field: str, user: str
) -> None:
    url = f"https://{user}:secret-word@api.kie.ai"
    fields = {"host": url} if field == "host" else {"extra": {field: url}}
    with pytest.raises(RunwayValidationError, match=field) as caught:
        load_settings(connect(**fields))
    assert KEY not in str(caught.value)
    assert "secret-word" not in str(caught.value)


def test_a_key_that_the_server_repeats_escaped_is_not_shown(connect: Connect, recorder: Recorder) -> None:
    key = 'an-odd-"key"-of-an-account'
    recorder.answer = lambda request: envelope(None, 401, f"bad key {key}")
    with pytest.raises(RunwayAuthenticationError, match="bad key") as caught:
        RunwayHook(connect(host=recorder.url, password=key)).get_credits()
    assert key not in str(caught.value)


def test_no_repr_shows_the_key(connect: Connect) -> None:
    async def shown() -> str:
        async with RunwayAsyncHook(connect()).shared_session() as session:
            return f"{session!r} {session.settings!r} {RunwayHook()!r}"

    assert KEY not in asyncio.run(shown())


@pytest.mark.parametrize("extra", [{"timeout": ""}, {"api": ""}, {"upload_host": None}, {"proxies": ""}])
def test_an_empty_extra_is_one_that_is_not_set(connect: Connect, extra: dict[str, Any]) -> None:
    settings = load_settings(connect(extra=extra))
    assert (settings.timeout, settings.api) == ((10.0, 30.0), "dedicated")


@pytest.mark.parametrize("password", [None, "", "   "])
def test_a_missing_key_is_refused_before_any_request(
    connect: Connect, recorder: Recorder, password: str | None
) -> None:
    hook = RunwayHook(connect(host=recorder.url, password=password))
    with pytest.raises(RunwayAuthenticationError, match="password") as caught:
        hook.submit(GenerateVideo("A paper boat"))
    assert "runway_default" in str(caught.value)
    assert recorder.requests == []


@pytest.mark.parametrize("spoiler", ["\n", " ", "\r\nX-Injected: 1", "é", "\x00"])
def test_a_key_that_no_key_can_be_is_refused_without_being_shown(
    connect: Connect, recorder: Recorder, spoiler: str
) -> None:
    hook = RunwayHook(connect(host=recorder.url, password=f"{KEY[:20]}{spoiler}{KEY[20:]}"))
    with pytest.raises(RunwayAuthenticationError, match="password") as caught:
        hook.get_credits()
    assert KEY[:20] not in str(caught.value)
    assert KEY[20:] not in str(caught.value)
    assert recorder.requests == []


def test_blanks_around_a_key_are_no_part_of_it(connect: Connect, recorder: Recorder) -> None:
    RunwayHook(connect(host=recorder.url, password=f" {KEY}\n")).get_credits()
    assert recorder.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_connection_that_is_not_there_is_named(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_runway.compat import AirflowNotFoundException, BaseHook

    def missing(conn_id: str) -> None:
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    monkeypatch.setattr(BaseHook, "get_connection", missing)
    with pytest.raises(RunwayError, match="runway_conn_id='nobody'"):
        RunwayHook("nobody").get_credits()


EXTRAS = {
    "api": "market",
    "callback_base_url": "https://airflow.example",
    "webhook_hmac_key": "a-webhook-secret",
    "upload_host": "https://files.example",
    "timeout": 20,
    "verify": True,
    "X-Strange": "not ours either",
}


async def _ask_async(conn_id: str) -> None:
    with pytest.raises(RunwayError):
        await RunwayAsyncHook(conn_id, patience=0).get_task("task-1")


def test_no_extra_travels_as_a_header(connect: Connect, recorder: Recorder, tmp_path: Path) -> None:
    import asyncio

    conn_id = connect(host=recorder.url, extra=EXTRAS)
    RunwayHook(conn_id).get_credits()
    asyncio.run(_ask_async(conn_id))
    recorder.answer = lambda request: Answer(mp4())
    RunwayHook(conn_id).download_video(f"{recorder.url}/video.mp4", str(tmp_path / "video.mp4"))
    assert len(recorder.requests) == 3
    for request in recorder.requests:
        assert not {name.lower() for name in EXTRAS} & request.headers.keys()
        assert "a-webhook-secret" not in str(request)
        assert "strange" not in str(request).lower()


def test_every_request_names_package_and_version(connect: Connect, recorder: Recorder) -> None:
    import asyncio

    conn_id = connect(host=recorder.url)
    RunwayHook(conn_id).get_credits()
    asyncio.run(_ask_async(conn_id))
    assert [request.headers["user-agent"] for request in recorder.requests] == [
        f"airflow-provider-runway/{__version__}"
    ] * 2


def test_the_webhook_key_is_masked_in_logs(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[Any] = []
    monkeypatch.setattr("airflow_provider_runway.hooks.connection.mask_secret", masked.append)
    load_settings(connect(extra=EXTRAS))
    assert masked == ["a-webhook-secret"]


@pytest.mark.parametrize(
    ("extra", "timeout"),
    [
        ({}, (10.0, 30.0)),
        ({"timeout": 5}, (5.0, 5.0)),
        ({"timeout": "90"}, (10.0, 90.0)),
        ({"timeout": [3, 60]}, (3.0, 60.0)),
    ],
)
def test_every_request_has_time_outs(
    connect: Connect,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    extra: dict[str, Any],
    timeout: tuple[float, float],
) -> None:
    from requests import Session

    seen: list[Any] = []
    original = Session.send

    def send(self: Session, request: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["timeout"])
        return original(self, request, **kwargs)

    monkeypatch.setattr(Session, "send", send)
    hook = RunwayHook(connect(host=recorder.url, extra=extra))
    hook.get_credits()
    recorder.answer = lambda request: envelope({"taskId": "task-1"})
    hook.submit(GenerateVideo("A paper boat"))
    recorder.answer = lambda request: Answer(mp4())
    hook.download_video(f"{recorder.url}/video.mp4", str(tmp_path / "video.mp4"))
    assert seen == [timeout] * 3


@pytest.mark.parametrize("form", ["dict", "text"])
def test_a_proxy_of_the_connection_is_used_before_that_of_the_environment(
    connect: Connect, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    import asyncio

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    proxies = {"http": recorder.url} if form == "dict" else recorder.url
    conn_id = connect(host="http://kie.invalid", extra={"proxies": proxies})
    RunwayHook(conn_id, patience=0).get_credits()
    asyncio.run(_ask_async(conn_id))
    assert [request.path.split("?")[0] for request in recorder.requests] == [
        "http://kie.invalid/api/v1/chat/credit",
        "http://kie.invalid/api/v1/runway/record-detail",
    ]


def test_without_trust_env_the_environments_proxy_is_not_used(
    connect: Connect, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    conn_id = connect(host=recorder.url, extra={"trust_env": False})
    RunwayHook(conn_id, patience=0).get_credits()
    asyncio.run(_ask_async(conn_id))
    assert len(recorder.requests) == 2


def test_certificates_are_checked_unless_the_connection_says_otherwise(connect: Connect) -> None:
    strict = RunwayHook(connect(host="https://kie.example"))
    lax = RunwayHook(connect("lax", host="https://kie.example", extra={"verify": False}))
    assert strict.get_conn().verify is True
    assert lax.get_conn().verify is False
    context = load_settings("runway_default").ssl_context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    context = load_settings("lax").ssl_context()
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)


@pytest.fixture
def client_pair(recorder: Recorder) -> Iterator[list[str]]:
    """The paths of a client certificate and its key, without which the recorder answers nothing, over TLS."""
    with self_signed() as files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        context.load_verify_locations(files[0])
        context.verify_mode = ssl.CERT_REQUIRED
        recorder._server.socket = context.wrap_socket(recorder._server.socket, server_side=True)
        yield list(files)


def test_worker_and_triggerer_show_the_client_certificate_also_where_they_check_none(
    connect: Connect, recorder: Recorder, client_pair: list[str], tmp_path: Path
) -> None:
    recorder.answer = lambda request: envelope({"taskId": "1", "state": "generating"})
    url = recorder.url.replace("http:", "https:")
    connect(host=url, extra={"verify": False, "cert": client_pair})
    assert RunwayHook(patience=0).get_task("1").task_id == "1"
    assert RunwayHook(patience=0).submit(GenerateVideo("A paper boat")) == "1"
    assert asyncio.run(RunwayAsyncHook(patience=0).get_task("1")).task_id == "1"
    # In one file, too.
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(path).read_text() for path in client_pair))
    connect(host=url, extra={"verify": False, "cert": str(both)})
    assert RunwayHook(patience=0).get_task("1").task_id == "1"
    assert asyncio.run(RunwayAsyncHook(patience=0).get_task("1")).task_id == "1"
    assert len(recorder.requests) == 5


def test_a_client_certificate_and_its_key_hinder_no_request_in_plain_http(
    connect: Connect, recorder: Recorder, tmp_path: Path
) -> None:
    with self_signed() as files:
        hook = RunwayHook(connect(host=recorder.url, extra={"cert": list(files)}), patience=0)
        assert hook.test_connection()[0]
        recorder.answer = lambda request: envelope({"taskId": "1", "state": "generating"})
        assert hook.submit(GenerateVideo("A paper boat")) == "1"
        recorder.answer = lambda request: Answer(mp4())
        hook.download_video(f"{recorder.url}/video.mp4", str(tmp_path / "video.mp4"))
    assert len(recorder.requests) == 3


def test_a_client_certificate_is_read_before_any_request_also_where_none_is_checked(
    connect: Connect, recorder: Recorder
) -> None:
    connect(host=recorder.url, extra={"verify": False, "cert": ["/nowhere/client.pem", "/nowhere/key.pem"]})
    with pytest.raises(RunwayValidationError, match=r"extra 'cert'.*/nowhere/client.pem"):
        RunwayHook(patience=0).get_credits()
    assert recorder.requests == []


def test_the_environments_authorities_are_no_matter_where_certificates_are_not_checked(
    connect: Connect, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/authority.pem")
    with self_signed() as files:
        hook = RunwayHook(connect(host=recorder.url, extra={"verify": False, "cert": list(files)}))
        assert hook.test_connection()[0]


def test_the_api_extra_chooses_the_generation_of_the_api(
    connect: Connect, runway_simulator: Simulator
) -> None:
    dedicated = RunwayHook(connect("dedicated", host=runway_simulator.url))
    market = RunwayHook(connect("market", host=runway_simulator.url, extra={"api": "market"}))
    for hook in (dedicated, market):
        assert hook.wait_for_task(hook.submit(GenerateVideo("A paper boat")), poll_interval=0.05).video_url
    assert [creation["path"] for creation in runway_simulator.creations] == [
        "/api/v1/runway/generate",
        "/api/v1/jobs/createTask",
    ]


def test_test_connection_reads_the_credits_and_spends_nothing(
    connect: Connect, runway_simulator: Simulator
) -> None:
    connect(host=runway_simulator.url)
    works, text = RunwayHook().test_connection()
    assert works
    assert "5916.25" in text
    assert runway_simulator.balance == 5916.25
    assert {request["method"] for request in runway_simulator.stats()["requests"]} == {"GET"}


def test_test_connection_says_what_is_wrong_at_once(
    connect: Connect, runway_simulator: Simulator, pauses: list[float]
) -> None:
    runway_simulator.add_fault("http_error", status=503, count=None)
    connect(host=runway_simulator.url)
    works, text = RunwayHook().test_connection()
    assert not works
    assert "503" in text
    assert RunwayHook(connect("keyless", password="")).test_connection() == (
        False,
        "Connection 'keyless' has no API key: put the key from https://kie.ai/api-key into its password. "
        f"Nothing was sent. More: {RunwayAuthenticationError.entry()}",
    )
    assert pauses == []


def test_a_rejected_key_is_an_authentication_error(
    connect: Connect, recorder: Recorder, pauses: list[float]
) -> None:
    recorder.answer = lambda request: envelope(None, 401, "You do not have access permissions")
    with pytest.raises(RunwayAuthenticationError, match="You do not have access permissions"):
        RunwayHook(connect(host=recorder.url)).get_credits()
    assert len(recorder.requests) == 1


def test_a_repr_does_not_show_the_key(connect: Connect) -> None:
    hook = RunwayHook(connect(extra=EXTRAS))
    settings = hook.settings
    assert isinstance(settings, RunwaySettings)
    shown = " ".join(repr(thing) for thing in (hook, settings, hook.get_conn().auth, vars(hook)))
    assert KEY not in shown
    assert "a-webhook-secret" not in shown


def _repeating_the_key(code: int, status: int) -> Script:
    def script(request: Request) -> Answer:
        return envelope(None, code, f"bad header {request.headers['authorization']}")._replace(status=status)

    return script


def test_a_server_that_repeats_the_key_does_not_get_it_into_logs_or_errors(
    connect: Connect,
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    import asyncio

    caplog.set_level(logging.DEBUG)
    conn_id = connect(host=recorder.url)
    hook = RunwayHook(conn_id, patience=0)
    texts = []
    for code, status in ((400, 200), (500, 200), (500, 500), (200, 404)):
        recorder.answer = _repeating_the_key(code, status)
        for ask in (
            hook.get_credits,
            lambda: hook.submit(GenerateVideo("A")),
            lambda: hook.get_task("task-1"),
        ):
            with pytest.raises(RunwayError) as caught:
                ask()
            texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
        with pytest.raises(RunwayError) as caught:
            asyncio.run(RunwayAsyncHook(conn_id, patience=0).get_task("task-1"))
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert KEY not in " ".join(texts)
    assert KEY not in caplog.text + "".join(capfd.readouterr())
    assert any("***" in text for text in texts)


def test_a_redirect_is_not_followed_with_the_key(connect: Connect, recorder: Recorder) -> None:
    import asyncio

    with Recorder() as elsewhere:
        recorder.answer = lambda request: envelope()._replace(
            status=302, headers={"Location": f"http://localhost:{elsewhere.port}/api"}
        )
        conn_id = connect(host=recorder.url)
        hook = RunwayHook(conn_id, patience=0)
        for ask in (hook.get_credits, lambda: hook.submit(GenerateVideo("A")), lambda: hook.get_task("t")):
            with pytest.raises(RunwayError):
                ask()
        asyncio.run(_ask_async(conn_id))
        assert len(recorder.requests) == 4
        assert elsewhere.requests == []


def test_nobody_at_the_host_is_said_plainly(connect: Connect) -> None:
    with pytest.raises(RunwayNotConnectedError, match=r"http://127\.0\.0\.1:9"):
        RunwayHook(connect(host="http://127.0.0.1:9"), patience=0).get_credits()


@pytest.mark.parametrize(("extra", "speed"), [({}, 1.0), ({"speed": ""}, 1.0), ({"speed": "20"}, 20.0)])
def test_a_speed_is_read_as_a_number(connect: Connect, extra: dict[str, Any], speed: float) -> None:
    assert load_settings(connect(extra=extra)).speed == speed


@pytest.mark.parametrize("mode", ["worker", "triggerer", "sensor"])
def test_every_wait_runs_at_the_connections_speed(
    connect: Connect, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    import asyncio

    from airflow_provider_runway.triggers.runway import RunwayTaskTrigger
    from airflow_provider_runway.waiting.poller import Poller

    recorder.answer = lambda request: envelope({"taskId": "1", "state": "fail", "failMsg": "no"})
    speeds: list[float] = []
    on_task = Poller.on_task

    def noted(poller: Poller, *given: Any) -> Any:
        speeds.append(poller.speed)
        return on_task(poller, *given)

    monkeypatch.setattr(Poller, "on_task", noted)
    connect(host=recorder.url, extra={"speed": 20})
    if mode == "worker":
        with pytest.raises(RunwayError):
            RunwayHook().wait_for_task("1")
    elif mode == "triggerer":
        asyncio.run(RunwayTaskTrigger("1").wait())
    else:
        from airflow_provider_runway.sensors.runway import RunwayTaskSensor
        from tests.integration.conftest import TaskInstance

        context: Any = {"ti": TaskInstance()}
        with pytest.raises(RunwayError):
            RunwayTaskSensor(task_id="wait", runway_task_id="1").poke(context)
    assert speeds == [20.0]


PROXIES: dict[str, Callable[[str], dict[str, Any]]] = {
    "the environment": lambda proxy: {"environment": {"http_proxy": proxy, "https_proxy": proxy}},
    "an extra": lambda proxy: {"extra": {"proxies": proxy}},
    "an extra by scheme": lambda proxy: {"extra": {"proxy": {"http": proxy, "https": proxy}}},
}


@pytest.fixture
def by_proxy(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Name a proxy for a host behind it."""

    def by_proxy(where: str, proxy: str) -> str:
        for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
        given = PROXIES[where](proxy)
        for name, value in given.get("environment", {}).items():
            monkeypatch.setenv(name, value)
        return connect(host="http://kie.example", extra=given.get("extra", {}))

    return by_proxy


@pytest.mark.parametrize("where", PROXIES)
def test_a_proxy_without_a_scheme_works_in_workers_and_in_the_triggerer(
    by_proxy: Callable[[str, str], str], recorder: Recorder, where: str
) -> None:
    import asyncio

    by_proxy(where, recorder.url.removeprefix("http://"))
    recorder.answer = lambda request: envelope({"taskId": "1", "state": "generating"})
    assert RunwayHook(patience=0).get_task("1").task_id == "1"
    assert asyncio.run(RunwayAsyncHook(patience=0).get_task("1")).task_id == "1"
    assert [request.path.split("/api/")[0] for request in recorder.requests] == ["http://kie.example"] * 2


@pytest.mark.parametrize("where", PROXIES)
@pytest.mark.parametrize("proxy", ["http://anna:pass-word@proxy:port", "anna:pass-word@", "a proxy:3128"])
def test_a_malformed_proxy_is_refused_when_the_connection_is_read_without_its_password(
    by_proxy: Callable[[str, str], str], where: str, proxy: str
) -> None:
    import asyncio

    by_proxy(where, proxy)
    for use in (
        lambda: RunwayHook(patience=0).get_credits(),
        lambda: asyncio.run(RunwayAsyncHook(patience=0).get_task("1")),
    ):
        with pytest.raises(RunwayValidationError, match="proxy") as caught:
            use()
        assert "pass-word" not in str(caught.value)
        assert "runway_default" in str(caught.value)


@pytest.mark.parametrize("where", PROXIES)
def test_the_password_of_a_proxy_that_refuses_the_tunnel_is_not_shown(
    by_proxy: Callable[[str, str], str], connect: Connect, recorder: Recorder, where: str
) -> None:
    proxy = recorder.url.replace("//", "//bob:S3CRETPW@")
    by_proxy(where, proxy)
    connect(host="https://kie.example", extra=PROXIES[where](proxy).get("extra", {}))
    uses: list[Callable[[], Any]] = [
        lambda: RunwayHook(patience=0).get_task("1"),
        lambda: asyncio.run(RunwayAsyncHook(patience=0).get_task("1")),
    ]
    for use in uses:
        # The recorder knows no CONNECT and answers 501 to it.
        with pytest.raises(RunwayError, match="501") as caught:
            use()
        assert "S3CRETPW" not in "".join(traceback.format_exception(caught.value))


def test_worker_and_triggerer_give_the_proxy_its_password(
    by_proxy: Callable[[str, str], str], recorder: Recorder
) -> None:
    by_proxy("an extra", recorder.url.replace("//", "//bob:S3CR%40ET%25PW@"))
    recorder.answer = lambda request: envelope({"taskId": "1", "state": "generating"})
    RunwayHook(patience=0).get_task("1")
    asyncio.run(RunwayAsyncHook(patience=0).get_task("1"))
    given = "Basic " + base64.b64encode(b"bob:S3CR@ET%PW").decode()
    assert [request.headers["proxy-authorization"] for request in recorder.requests] == [given] * 2


def test_a_session_does_not_show_the_password_of_its_proxy(by_proxy: Callable[[str, str], str]) -> None:
    by_proxy("an extra", "http://bob:S3CRETPW@127.0.0.1:9")

    async def shown() -> str:
        async with RunwayAsyncHook().shared_session() as session:
            return repr(session)

    assert "127.0.0.1:9" in asyncio.run(shown())
    assert "S3CRETPW" not in asyncio.run(shown())


@pytest.mark.parametrize("where", PROXIES)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "ftp"])
def test_a_proxy_that_the_triggerer_cannot_speak_to_is_refused_in_workers_too(
    by_proxy: Callable[[str, str], str], where: str, scheme: str
) -> None:
    by_proxy(where, f"{scheme}://anna:pass-word@127.0.0.1:9")
    for use in (
        lambda: RunwayHook(patience=0).get_credits(),
        lambda: asyncio.run(RunwayAsyncHook(patience=0).get_task("1")),
    ):
        with pytest.raises(
            RunwayValidationError, match=f"{scheme}://.*must be an http or https proxy"
        ) as caught:
            use()
        assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("extra", "environment", "asked"),
    [
        ({}, {}, "kie.ai"),
        ({}, {"HTTP_PROXY": "environment"}, "environment"),
        ({}, {"HTTPS_PROXY": "environment"}, "kie.ai"),
        ({}, {"ALL_PROXY": "environment"}, "environment"),
        ({}, {"HTTP_PROXY": "environment", "NO_PROXY": "127.0.0.1"}, "kie.ai"),
        ({"proxies": {"http": "extra"}}, {"HTTP_PROXY": "environment"}, "extra"),
        ({"proxies": {"http": "extra"}}, {"HTTP_PROXY": "environment", "NO_PROXY": "127.0.0.1"}, "extra"),
        ({"proxies": {"https": "extra"}}, {}, "kie.ai"),
        ({"proxies": {"https": "extra"}}, {"HTTP_PROXY": "environment"}, "environment"),
        ({"proxy": {"https": "extra"}}, {"HTTP_PROXY": "environment"}, "environment"),
        ({"proxies": {"https": "extra"}}, {"ALL_PROXY": "environment"}, "environment"),
        ({"proxies": {"all": "extra"}}, {"HTTP_PROXY": "environment"}, "environment"),
        ({"proxies": {"all": "extra"}}, {"HTTPS_PROXY": "environment"}, "extra"),
        ({"proxies": {"http://127.0.0.1": "extra"}}, {"HTTP_PROXY": "environment"}, "extra"),
        ({"proxies": {"http": ""}}, {"HTTP_PROXY": "environment"}, "kie.ai"),
        ({"proxies": {"no_proxy": "127.0.0.1"}}, {"HTTP_PROXY": "environment"}, "kie.ai"),
        ({"proxies": {"https": "extra"}, "trust_env": False}, {"HTTP_PROXY": "environment"}, "kie.ai"),
    ],
    ids=str,
)
def test_worker_and_triggerer_choose_the_same_proxy(
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    extra: dict[str, Any],
    environment: dict[str, str],
    asked: str,
) -> None:
    with Recorder() as kie, Recorder() as of_extra, Recorder() as of_environment:
        servers = {"kie.ai": kie, "extra": of_extra, "environment": of_environment}
        for server in servers.values():
            server.answer = lambda request: envelope({"taskId": "1", "state": "generating"})

        def named(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: named(inner) for name, inner in value.items()}
            return servers[value].url if value in ("extra", "environment") else value

        for name, value in environment.items():
            monkeypatch.setenv(name, named(value))
        connect(host=kie.url, extra=named(extra))
        RunwayHook(patience=0).get_task("1")
        asyncio.run(RunwayAsyncHook(patience=0).get_task("1"))
        assert {name: len(server.requests) for name, server in servers.items() if server.requests} == {
            asked: 2
        }


def test_a_server_without_tls_is_named(connect: Connect, recorder: Recorder) -> None:
    import asyncio

    connect(host=recorder.url.replace("http:", "https:"))
    with pytest.raises(RunwayError, match="may want http://"):
        RunwayHook(patience=0).get_credits()
    with pytest.raises(RunwayError, match="may want http://"):
        asyncio.run(RunwayAsyncHook(patience=0).get_task("1"))


def test_testing_a_connection_leaves_the_hook_as_it_was(connect: Connect, recorder: Recorder) -> None:
    hook = RunwayHook(connect(host=recorder.url), patience=7.0)
    assert hook.test_connection()[0]
    assert hook.patience == 7.0


def test_an_extra_that_nobody_knows_fails_the_test_with_the_one_that_is_meant(
    connect: Connect, recorder: Recorder
) -> None:
    works, said = RunwayHook(connect(host=recorder.url, extra={"timout": 5})).test_connection()
    assert not works
    assert "'timout'" in said
    assert "'timeout'" in said


def test_every_extra_of_the_form_and_of_the_pages_is_known(connect: Connect, recorder: Recorder) -> None:
    from airflow_provider_runway.get_provider_info import get_provider_info

    (form,) = get_provider_info()["connection-types"]
    known = dict.fromkeys(form["conn-fields"], "") | {"proxies": "", "verify": "", "webhook_hmac_key": ""}
    assert RunwayHook(connect(host=recorder.url, extra=known)).test_connection()[0]


@pytest.mark.parametrize("used", ["run", "session", "config"])
def test_the_asynchronous_hook_sends_nothing_in_the_ways_of_the_http_providers(
    connect: Connect, recorder: Recorder, used: str
) -> None:
    import asyncio

    hook = RunwayAsyncHook(connect(host=recorder.url, extra=EXTRAS))

    async def use() -> None:
        async with getattr(hook, used)():
            pass

    async def use_and_await() -> None:
        await getattr(hook, used)()

    with pytest.raises(NotImplementedError, match="RunwayAsyncHook"):
        asyncio.run(use() if used == "session" else use_and_await())
    assert recorder.requests == []
