"""What is fuzzed: each reader with what it is given, and what must hold whatever that is."""

from __future__ import annotations

import asyncio
import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest import mock
from uuid import UUID

from hypothesis import strategies as st

from airflow_provider_runway.api.answers import (
    DIALECTS,
    read_created,
    read_credits,
    read_download_url,
    read_task,
    read_upload,
)
from airflow_provider_runway.api.callbacks import RunwayCallback, read_callback, signature
from airflow_provider_runway.api.envelope import parse_retry_after
from airflow_provider_runway.api.requests import GenerateVideo
from airflow_provider_runway.api.tasks import RunwayTask, TaskState
from airflow_provider_runway.exceptions import RunwayCallbackError, RunwayError
from airflow_provider_runway.files.keeping import Keeper
from airflow_provider_runway.files.mp4 import Boxes
from airflow_provider_runway.hooks import bodies as packing
from airflow_provider_runway.hooks.connection import _EXTRAS, RunwaySettings
from airflow_provider_runway.submissions import journal, tokens
from tests.fuzz.bodies import (
    ANY_BODY,
    ANY_JSON,
    ANY_TEXT,
    CALLBACKS,
    HEADERS,
    STATUSES,
    assert_is_a_sound_error,
    assert_is_a_url,
    damaged,
    damaged_bytes,
)

KEY = "0123456789abcdef0123456789abcdef"
WEBHOOK_KEY = "fedcba9876543210fedcba9876543210"
RECIPIENT = tokens.Recipient(UUID(int=7), "0123456789abcdef")
GENUINE = RECIPIENT.url("", "runway_default", KEY).rpartition("/")[2]


@dataclass(frozen=True)
class Target:
    """A reader.

    :param draw: What it is given.
    :param check: Reads it, and raises where anything but a value or a documented error comes out.
    """

    name: str
    draw: st.SearchStrategy[Any]
    check: Callable[..., None]


def _answers(drawn: tuple[int, Any, str | None]) -> None:
    status, body, retry_after = drawn
    reads: list[Callable[[], Any]] = [
        lambda: read_created(status, body, retry_after),
        lambda: read_credits(status, body, retry_after),
        lambda: read_download_url(status, body, retry_after),
        lambda: read_upload(status, body, retry_after),
    ]
    for read in reads:
        try:
            read()
        except RunwayError as error:
            assert_is_a_sound_error(error)


def _tasks(drawn: tuple[int, Any, str | None]) -> None:
    status, body, retry_after = drawn
    for dialect in DIALECTS.values():
        for model in ("runway", "aleph"):
            try:
                task = read_task(dialect, status, body, retry_after, runway_task_id="abc123", model=model)
                again = RunwayTask.from_dict(json.loads(json.dumps(task.to_dict(), allow_nan=False)))
                assert again == task
                assert_is_a_url(task.result_url())
            except RunwayError as error:
                assert_is_a_sound_error(error)


def _retry_after(value: str | None) -> None:
    pause = parse_retry_after(value)
    assert pause is None or 0 <= pause < math.inf


def _callbacks(drawn: tuple[bytes, dict[str, str], int]) -> None:
    body, headers, moment = drawn
    for key, sent in ((None, {}), (KEY, headers), (KEY, {**signature("abc123", moment, KEY), **headers})):
        try:
            callback = read_callback(body, headers=sent, webhook_hmac_key=key, now=float(moment))
        except RunwayCallbackError as error:
            assert_is_a_sound_error(error)
        else:
            assert isinstance(callback, RunwayCallback)
            assert callback.runway_task_id.isprintable()
            callback.message.encode()
            assert key is None or callback.runway_task_id == "abc123", "signed is that alone"


def _tokens(token: str) -> None:
    for conn_id, key in (("runway_default", KEY), ("another", KEY), ("runway_default", "another")):
        found = tokens.recipient_of(token, conn_id, key)
        assert (found == RECIPIENT) is (token == GENUINE and (conn_id, key) == ("runway_default", KEY))
        assert found in (None, RECIPIENT)


def _manifests(text: bytes) -> None:
    task = RunwayTask(task_id="abc123", model="runway", state=TaskState.SUCCESS)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("a.mp4", b"\0\0\0\x08ftyp"), ("a.json", text)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        keeper = Keeper(
            f"{folder}/a.mp4",
            task=task,
            video_url="https://file.com/v.mp4",
            request={},
            overwrite=False,
        )
        for look in (keeper.check_manifest, keeper.already):
            try:
                look()
            except RunwayError as error:
                assert_is_a_sound_error(error)


def _notes(record: Any) -> None:
    store = SimpleNamespace(get=lambda _: record)
    notes = journal.SubmissionJournal(
        store,
        request=GenerateVideo(prompt="A cat"),
        runway_conn_id="runway_default",
        try_number=2,
        max_tries=3,
    )
    reads: list[Callable[[], Any]] = [
        notes.earlier,
        lambda: journal.count_resubmissions(store, "abc123"),
        lambda: notes.upload_of("1"),
    ]
    for read in reads:
        try:
            read()
        except RunwayError as error:
            assert_is_a_sound_error(error)


def _connections(drawn: tuple[str | None, str | None, Any]) -> None:
    host, password, extras = drawn
    connection = SimpleNamespace(
        conn_id="runway_default", host=host, password=password, schema=None, port=None, extra_dejson=extras
    )
    try:
        settings = RunwaySettings.from_connection(connection)
        settings.check_proxies()
        settings.strange_extras()
        assert_is_a_url(settings.base_url)
        assert all(0 < seconds < math.inf for seconds in settings.timeout)
        assert password != KEY or KEY not in repr(settings)
    except RunwayError as error:
        assert_is_a_sound_error(error)
        told = [secret for secret in (KEY, WEBHOOK_KEY, "secret-of-the-proxy") if secret in str(error)]
        if told:
            raise AssertionError(f"{told} is told by: {error}") from error


def _boxes(pieces: list[bytes]) -> None:
    whole, cut = Boxes(), Boxes()
    whole.feed(b"".join(pieces))
    for piece in pieces:
        cut.feed(piece)
    assert (whole.are_whole, whole.are_cut) == (cut.are_whole, cut.are_cut)


def _packed(drawn: tuple[bytes, str | None]) -> None:
    try:
        assert len(packing.unpacked(*drawn)) <= packing.LONGEST
    except RunwayError as error:
        assert_is_a_sound_error(error)


def _ranges(drawn: tuple[str, int]) -> None:
    from airflow_provider_runway.plugins.streaming import _range

    asked, size = drawn
    found = _range(asked, size)
    if found is not None:
        begin, end = found
        assert begin >= 0
        assert end <= size


def _receiver(drawn: tuple[str, str, list[tuple[str, str]], list[bytes]]) -> None:
    from airflow_provider_runway.plugins import receiver, waking

    method, path, headers, pieces = drawn
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }
    coming = [
        {"type": "http.request", "body": piece, "more_body": place < len(pieces)}
        for place, piece in enumerate(pieces, 1)
    ] or [{"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    settings = RunwaySettings("runway_default", KEY)
    app = receiver.Receiver()
    with (
        mock.patch.object(receiver, "read_settings", return_value=settings),
        mock.patch.object(waking, "take"),
    ):
        asyncio.run(app(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] in (200, 400, 401, 404, 405, 408, 413), "503 is for a trouble of one's own"
    assert len(sent[1]["body"]) < 100


_LATIN = st.text(st.characters(max_codepoint=255), max_size=20)
_LENGTHS = st.sampled_from(["0", "12", "65537", "-1", "+5", " 7", "0x10", "²", "9" * 5000, ""])
_EXTRA_VALUES = st.one_of(
    ANY_JSON,
    st.sampled_from(
        [
            {"https": "http://user:secret-of-the-proxy@a b"},
            "http://user:secret-of-the-proxy@[",
            "host:99999",
            "https://a b",
            [1],
            [1, 2],
            [0, 1],
            "1e400",
        ]
    ),
)
_EXTRAS_OF_A_CONNECTION = st.builds(
    lambda extras, key: {**extras, "webhook_hmac_key": key},
    st.dictionaries(st.sampled_from(sorted(_EXTRAS)), _EXTRA_VALUES, max_size=4),
    st.one_of(st.none(), st.just(WEBHOOK_KEY), st.just([WEBHOOK_KEY])),
)
_RECORDS = [
    {
        "digest": "0" * 64,
        "prompt": "A cat",
        "try_number": 1,
        "max_tries": 3,
        "submitted_at": 1774788502.0,
        "end_time": 1774792102.0,
        "runway_task_id": runway_task_id,
        "resubmissions": 0,
        "recipient": None,
    }
    for runway_task_id in (None, "abc123")
]
_MANIFESTS = [{"runway_task_id": "abc123", "sha256": "0" * 64, "video_url": "https://file.com/v.mp4"}]
_HEADER_NAMES = st.sampled_from(["X-Webhook-Timestamp", "x-webhook-signature", "content-type"])

TARGETS = [
    Target("answers", st.tuples(STATUSES, ANY_BODY, HEADERS), _answers),
    Target("tasks in both spellings", st.tuples(STATUSES, ANY_BODY, HEADERS), _tasks),
    Target("Retry-After", st.one_of(HEADERS, st.text("0123456789. :GMTJanu-+", max_size=40)), _retry_after),
    Target(
        "callbacks",
        st.tuples(
            st.one_of(damaged_bytes(damaged(CALLBACKS)), st.binary(max_size=100)),
            st.dictionaries(_HEADER_NAMES, ANY_TEXT, max_size=2),
            st.integers(0, 2**33),
        ),
        _callbacks,
    ),
    Target(
        "tokens",
        st.one_of(
            ANY_TEXT,
            st.from_regex(r"[A-Za-z0-9_-]{54}", fullmatch=True),
            st.builds(
                lambda place, character: GENUINE[:place] + character + GENUINE[place + 1 :],
                st.integers(0, 53),
                st.text("ABCXYZabcxyz0189_-", min_size=1, max_size=1),
            ),
        ),
        _tokens,
    ),
    Target("manifests", st.one_of(damaged_bytes(damaged(_MANIFESTS)), st.binary(max_size=50)), _manifests),
    Target("notes of submissions", st.one_of(damaged(_RECORDS), ANY_JSON), _notes),
    Target(
        "connections",
        st.tuples(
            st.one_of(
                st.none(), ANY_TEXT, st.sampled_from(["kie.ai", "https://[::1", "http://a:b@c", "h:0"])
            ),
            st.one_of(st.just(KEY), ANY_TEXT),
            st.one_of(_EXTRAS_OF_A_CONNECTION, ANY_JSON),
        ),
        _connections,
    ),
    Target(
        "boxes of an MP4",
        st.lists(
            st.one_of(
                st.binary(max_size=20),
                st.builds(
                    lambda n, kind: n.to_bytes(4, "big") + kind,
                    st.integers(0, 40),
                    st.sampled_from([b"ftyp", b"moov", b"mdat", b"what"]),
                ),
            ),
            max_size=8,
        ),
        _boxes,
    ),
    Target(
        "packed answers",
        st.tuples(st.binary(max_size=200), st.one_of(st.none(), ANY_TEXT, st.just("gzip"))),
        _packed,
    ),
]
#: Of the apps in Airflow's API server, which are there from Airflow 3.1 on.
APP_TARGETS = [
    Target(
        "Range",
        st.tuples(
            st.one_of(ANY_TEXT, st.text("bytes=-0123456789,٣ ", max_size=30).map("bytes={}".format)),
            st.integers(0, 2**40),
        ),
        _ranges,
    ),
    Target(
        "requests to the receiver",
        st.tuples(
            st.sampled_from(["POST", "POST", "POST", "GET", "OPTIONS"]),
            st.one_of(
                st.sampled_from(
                    [f"/runway_default/{GENUINE}", f"/x/{GENUINE}/", "/", "", f"/{GENUINE}", "/%00/a"]
                ),
                _LATIN,
            ),
            st.lists(
                st.one_of(st.tuples(st.just("content-length"), _LENGTHS), st.tuples(_LATIN, _LATIN)),
                max_size=3,
            ),
            st.lists(st.one_of(damaged_bytes(damaged(CALLBACKS)), st.binary(max_size=50)), max_size=3),
        ),
        _receiver,
    ),
]
