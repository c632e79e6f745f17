"""Stored copies: from the roots of an administrator alone, MP4 alone, whole or in ranges."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_runway.simulator import files as simulated
from tests.integration.object_storage import BUCKET, bucket, s3_server, uri
from tests.integration.pages.conftest import Past, submitted

__all__ = ["bucket", "s3_server"]

CLIP = (Path(simulated.__file__).with_name("clip.mp4")).read_bytes()
PICTURE = (Path(simulated.__file__).with_name("clip.jpg")).read_bytes()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that an administrator lets be served, with a video in it."""
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "one.mp4").write_bytes(CLIP)
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", f"/nowhere, {folder}/ ,")
    return folder


@pytest.fixture
def stored(past: Past) -> Callable[[Any], Any]:
    """Return a function that stores a path in an XCom, and returns the answer to a request for the file."""
    count = iter(range(100))

    def ask(path: Any, what: str = "file", **request: Any) -> Any:
        task_id = f"generate_{next(count)}"
        past.add(task_id, xcoms=submitted(task_id, path=path))
        return past.get(what, task_id=task_id, **request)

    return ask


def test_a_video_is_served_whole(stored: Any, root: Path) -> None:
    answer = stored(str(root / "one.mp4"))
    assert (answer.status_code, answer.content) == (200, CLIP)
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(CLIP))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-encoding"] == "identity"


SIZE = len(CLIP)


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=0-", 0, SIZE),
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=100-", 100, SIZE),
        ("bytes=-50", SIZE - 50, SIZE),
        (f"bytes=10-{SIZE * 2}", 10, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ],
)
def test_a_range_is_served(stored: Any, root: Path, asked: str, begin: int, end: int) -> None:
    answer = stored(str(root / "one.mp4"), headers={"Range": asked, "Accept-Encoding": "gzip"})
    assert answer.status_code == 206
    assert answer.content == CLIP[begin:end]
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - begin)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 6}", "bytes=-0"])
def test_a_range_that_is_not_there_is_refused(stored: Any, root: Path, asked: str) -> None:
    answer = stored(str(root / "one.mp4"), headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked", ["", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b"]
)
def test_a_range_that_cannot_be_read_is_the_whole(stored: Any, root: Path, asked: str) -> None:
    answer = stored(str(root / "one.mp4"), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CLIP)


def test_head_tells_without_sending(stored: Any, root: Path) -> None:
    answer = stored(str(root / "one.mp4"), method="HEAD", headers={"Range": "bytes=5-9"})
    assert (answer.status_code, answer.content) == (206, b"")
    assert answer.headers["content-length"] == "5"
    whole = stored(str(root / "one.mp4"), method="HEAD")
    assert (whole.status_code, whole.headers["content-length"]) == (200, str(SIZE))


def test_a_file_that_has_changed_is_sent_whole(stored: Any, root: Path) -> None:
    etag = stored(str(root / "one.mp4")).headers["etag"]
    same = {"Range": "bytes=0-4", "If-Range": etag}
    assert stored(str(root / "one.mp4"), headers=same).status_code == 206
    other = {"Range": "bytes=0-4", "If-Range": '"another"'}
    assert stored(str(root / "one.mp4"), headers=other).status_code == 200
    assert stored(str(root / "one.mp4"), headers={"If-None-Match": etag}).status_code == 304


def test_memory_is_constant(stored: Any, root: Path, past: Past) -> None:
    from airflow_provider_runway.plugins import media, streaming

    with (root / "large.mp4").open("wb") as file:
        file.write(CLIP)
        file.truncate(200 * 2**20)
    opened = media.open_video(str(root / "large.mp4"))
    assert opened is not None

    async def read() -> int:
        return sum([len(chunk) async for chunk in streaming._chunks(opened, 0, opened.size)])

    import anyio

    tracemalloc.start()
    try:
        assert anyio.run(read) == 200 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()
        opened.stream.close()


def test_the_file_is_closed_after_each_answer(stored: Any, root: Path) -> None:
    def open_files() -> list[str]:
        links = Path("/proc/self/fd")
        return [os.readlink(link) for link in links.iterdir() if link.is_symlink() and link.exists()]

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list open files")
    for request in ({}, {"method": "HEAD"}, {"headers": {"Range": "bytes=9999999-"}}, {"what": "poster"}):
        stored(str(root / "one.mp4"), **request)
    assert not [name for name in open_files() if name.startswith(str(root))]


@pytest.fixture
def outside(tmp_path: Path, root: Path) -> Path:
    """A folder beside the root whose name begins as the root's, with a secret video."""
    folder = tmp_path / "videos-secret"
    folder.mkdir()
    (folder / "secret.mp4").write_bytes(CLIP)
    return folder


def test_nothing_is_served_from_outside(stored: Any, root: Path, outside: Path) -> None:
    secret = outside / "secret.mp4"
    (root / "link.mp4").symlink_to(secret)
    (root / "folder").symlink_to(outside)
    (root / "inside.mp4").symlink_to(root / "one.mp4")
    (root / "text.mp4").write_text("ftyp: this is no video\n" * 10)
    (root / "page.mp4").write_text("<html><script>alert(1)</script>")
    (root / "one.jpg").write_bytes(PICTURE)
    (root / "empty.mp4").touch()
    os.mkfifo(root / "pipe.mp4")
    for path in (
        str(secret),
        f"{root}/../videos-secret/secret.mp4",
        f"{root}/./../videos-secret/secret.mp4",
        f"file://{root}/../videos-secret/secret.mp4",
        str(root / "link.mp4"),
        str(root / "folder" / "secret.mp4"),
        str(root / "text.mp4"),
        str(root / "page.mp4"),
        str(root / "one.jpg"),
        str(root / "empty.mp4"),
        str(root / "pipe.mp4"),
        str(root / "never.mp4"),
        str(root),
        f"{root}/",
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        "one.mp4",
        "videos/one.mp4",
        f"s3://bucket{root}/one.mp4",
        f"local://{root}/link.mp4",
        f"local:/{root}/one.mp4",
        f"simplecache::file://{root}/one.mp4",
        f"http://127.0.0.1:9/{root}/one.mp4",
        f"{root}/one.mp4\0.txt",
        f"{root}\\..\\one.mp4",
        f"{root}/%2e%2e/videos-secret/secret.mp4",
        "x" * 10_000,
        7,
        [str(root / "one.mp4")],
    ):
        for what in ("file", "poster"):
            answer = stored(path, what)
            assert answer.status_code == 404, (what, path)
    assert stored(str(root / "inside.mp4")).status_code == 200
    for scheme in ("file", "local"):
        assert stored(f"{scheme}://{root}/one.mp4").status_code == 200


@pytest.mark.parametrize("root_scheme", ["file://", "local://", "local://somebody@", "LOCAL://"])
@pytest.mark.parametrize("scheme", ["", "file://", "local://", "local://somebody@"])
def test_no_link_leads_out_of_a_root_however_a_local_one_is_written(
    stored: Any, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, root_scheme: str, scheme: str
) -> None:
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", f"{root_scheme}{root}")
    (root / "link.mp4").symlink_to(outside / "secret.mp4")
    (root / "folder").symlink_to(outside)
    assert stored(f"{scheme}{root}/link.mp4").status_code == 404
    assert stored(f"{scheme}{root}/folder/secret.mp4").status_code == 404
    assert stored(f"{scheme}{root}/one.mp4").status_code == 200


@pytest.mark.parametrize("at", range(4))
def test_a_folder_that_becomes_a_link_while_a_file_is_opened_does_not_lead_outside(
    stored: Any, root: Path, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, content in ((root / "a" / "b", CLIP), (tmp_path / "secret" / "b", CLIP + b"secret")):
        folder.mkdir(parents=True)
        (folder / "one.mp4").write_bytes(content)
    real, seen = os.open, iter(range(100))

    def swapping(path: Any, *args: Any, **kwargs: Any) -> int:
        is_below = str(path).startswith(str(root)) or kwargs.get("dir_fd") is not None
        if is_below and next(seen) == at:
            (root / "a").rename(root / "before")
            (root / "a").symlink_to(tmp_path / "secret")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", swapping)
    answer = stored(str(root / "a" / "b" / "one.mp4"))
    assert answer.status_code == 404 or answer.content == CLIP
    monkeypatch.undo()
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", str(root))
    assert stored(str(root / "before" / "b" / "one.mp4")).content == CLIP


def test_a_root_may_be_a_link_and_have_links_in_it(
    stored: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "night").mkdir()
    (root / "night" / "two.mp4").symlink_to("../one.mp4")
    (root / "today").symlink_to("night")
    (tmp_path / "named").symlink_to(root)
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", f"file://{tmp_path}/named")
    for path in ("one.mp4", "./night//two.mp4", "today/two.mp4"):
        assert stored(f"{tmp_path}/named/{path}").content == CLIP


class Disk:
    """Notes who asks for anything below a folder, and lets them wait as a disk does that hangs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.was_asked = threading.Event()
        self.goes_on = threading.Event()
        self.goes_on.set()
        for module, name in (
            (os, "open"),
            (os, "stat"),
            (os, "lstat"),
            (os, "readlink"),
            (os.path, "isfile"),
        ):
            monkeypatch.setattr(module, name, self._watched(getattr(module, name), str(folder)))

    def _watched(self, real: Callable[..., Any], folder: str) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if str(path).startswith(folder):
                self.asked.append(str(path))
                self.was_asked.set()
                assert self.goes_on.wait(120)
            return real(path, *args, **kwargs)

        return call


def test_no_disk_is_looked_at_to_tell_of_a_video(
    past: Past, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.add("generate", xcoms=submitted("one", path=str(root / "one.mp4")))
    past.add("generate_2", xcoms=submitted("two", path=str(root / "never.mp4")))
    disk = Disk(root, monkeypatch)
    told = [past.video("generate")["video"], *(one["video"] for one in past.gallery()["videos"])]
    assert [video["source"] for video in told] == ["stored"] * 3
    assert disk.asked == []


def test_a_disk_that_hangs_holds_up_nobody_but_who_asks_for_a_file_on_it(
    server: Any, past: Past, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.add("generate", xcoms=submitted("one", path=str(root / "one.mp4")))
    disk = Disk(root, monkeypatch)
    disk.goes_on.clear()
    base = f"/runway/dags/{past.dag_id}"
    one = {"run_id": past.run_id, "task_id": "generate"}

    async def story() -> tuple[list[int], set[int]]:
        transport = httpx.ASGITransport(app=server)
        cookie = {"Cookie": f"_token={past.client.cookies['_token']}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://testserver", headers=cookie, timeout=None
        ) as client:

            def ask(path: str) -> asyncio.Task[httpx.Response]:
                return asyncio.create_task(client.get(path, params=one))

            # More than Airflow has threads for all of its API.
            hanging = [ask(f"{base}/{what}") for what in ("file", "poster") for _ in range(40)]
            try:
                assert await asyncio.to_thread(disk.was_asked.wait, 60)
                paths = (f"{base}/data/gallery", f"{base}/data/video", "/api/v2/monitor/health")
                answers = await asyncio.wait_for(asyncio.gather(*map(ask, paths)), 60)
            finally:
                disk.goes_on.set()
            return [answer.status_code for answer in answers], {
                answer.status_code for answer in await asyncio.gather(*hanging)
            }

    assert asyncio.run(story()) == ([200, 200, 200], {200, 404})


def test_without_roots_nothing_is_served(stored: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for roots in ("", " , ", "videos", "."):
        monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", roots)
        assert stored(str(root / "one.mp4")).status_code == 404


def test_the_picture_beside_it_is_its_poster(stored: Any, root: Path, past: Past) -> None:
    assert stored(str(root / "one.mp4"), "poster").status_code == 404
    (root / "one.jpg").write_text("<svg onload=alert(1)>")
    assert stored(str(root / "one.mp4"), "poster").status_code == 404
    (root / "one.jpg").write_bytes(PICTURE)
    answer = stored(str(root / "one.mp4"), "poster")
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/jpeg"
    past.add("aleph", xcoms=submitted("told", path=str(root / "one.mp4"), video_url="https://kie.example/1"))
    video = past.video("aleph")["video"]
    assert video["source"] == "stored"
    for part in ("url", "poster"):
        answer = past.client.get(f"/runway/dags/{past.dag_id}/{video[part]}")
        assert answer.status_code == 200, "it is relative to the page"


def test_a_path_is_that_of_the_task_instance_that_is_asked_for(past: Past, root: Path) -> None:
    past.add("generate", xcoms=submitted("one"))
    past.add("download", xcoms={"runway_task_id": "one", "path": str(root / "one.mp4")})
    assert past.get("file", task_id="generate").status_code == 404
    assert past.get("file", task_id="download").content == CLIP
    assert "task_id=download" in past.video("generate")["video"]["url"]


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A storage that is none of this machine's files, with a video below its root and one beside it."""
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    storage = MemoryFileSystem()
    attach("memory", fs=storage)
    storage.pipe("/bucket/videos/one.mp4", CLIP)
    storage.pipe("/bucket/videos/a*b?[c].mp4", CLIP)
    storage.pipe("/bucket/videos/one.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    storage.pipe("/bucket/videos-secret/one.mp4", CLIP)
    storage.pipe("/other/videos/one.mp4", CLIP)
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", "memory://bucket/videos")
    yield storage
    storage.store.clear()


def test_another_storage_is_served_in_ranges_too(stored: Any, storage: Any, past: Past) -> None:
    answer = stored("memory://bucket/videos/one.mp4", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, CLIP[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{SIZE}"
    assert stored("memory://bucket/videos/one.mp4").content == CLIP
    assert stored("memory://bucket/videos/a*b?[c].mp4").content == CLIP
    assert stored("memory://bucket/videos/one.mp4", "poster").headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    "path",
    [
        "memory://bucket/videos-secret/one.mp4",
        "memory://bucket/videos/../videos-secret/one.mp4",
        "memory://other/videos/one.mp4",
        "memory://conn@bucket/videos/one.mp4",
        "memory://bucket/videos/",
        "memory://bucket/videos",
        "memory://bucket/videos/never.mp4",
        "memory:///bucket/videos/one.mp4",
        "/bucket/videos/one.mp4",
        "memory://[/videos/one.mp4",
    ],
)
def test_nothing_else_of_another_storage_is(stored: Any, storage: Any, path: str) -> None:
    assert stored(path).status_code == 404


def test_a_storage_in_trouble_is_a_file_that_is_not_there(
    stored: Any, storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError("no credentials: secret-key")

    monkeypatch.setattr(type(storage), "info", fail)
    answer = stored("memory://bucket/videos/one.mp4")
    assert answer.status_code == 404
    assert "secret-key" not in answer.text


@pytest.fixture
def kept(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a folder in S3 that an administrator lets be served."""
    monkeypatch.setenv("AIRFLOW__RUNWAY__VIDEO_ROOTS", uri("kept"))
    return uri("kept")


def test_s3_is_served_with_the_connection_of_the_root(
    stored: Any, bucket: Any, kept: str, past: Past
) -> None:
    large = CLIP + bytes(8 * 2**20)
    for key, content in {
        "kept/a*b?[c].mp4": large,
        "kept/page.mp4": b"<html>",
        "other/one.mp4": CLIP,
    }.items():
        bucket.put_object(Bucket=BUCKET, Key=key, Body=content)
    bucket.put_object(Bucket=BUCKET, Key="kept/a*b?[c].jpg", Body=PICTURE)
    path = f"{kept}/a*b?[c].mp4"
    assert stored(path).content == large
    assert stored(f"s3://{BUCKET}/kept/a*b?[c].mp4", headers={"Range": "bytes=-10"}).content == large[-10:]
    part = stored(path, headers={"Range": "bytes=6000000-7000000"})
    assert (part.status_code, part.content) == (206, large[6000000:7000001])
    assert stored(path, "poster").content == PICTURE
    for other in (uri("other/one.mp4"), f"s3://else@{BUCKET}/kept/a*b?[c].mp4"):
        assert stored(other).status_code == 404
    for missing in (f"{kept}/page.mp4", f"{kept}/never.mp4"):
        assert stored(missing).status_code == 404


def test_of_an_object_little_more_is_read_than_is_asked_for(
    stored: Any, bucket: Any, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_system = pytest.importorskip("s3fs.core").S3FileSystem
    large = CLIP + bytes(60 * 2**20)
    bucket.put_object(Bucket=BUCKET, Key="kept/large.mp4", Body=large)
    call, read = file_system._call_s3, [0]

    async def counting(fs: Any, method: str, *how: Any, **arguments: Any) -> Any:
        if method == "get_object":
            begin, _, end = (
                arguments.get("Range", f"bytes=0-{len(large)}").removeprefix("bytes=").partition("-")
            )
            read[0] += int(end) + 1 - int(begin)
        return await call(fs, method, *how, **arguments)

    monkeypatch.setattr(file_system, "_call_s3", counting)
    path = f"{kept}/large.mp4"
    for asked, most in (
        ({"method": "HEAD"}, 64 * 1024),
        ({"method": "HEAD", "headers": {"Range": "bytes=50000000-"}}, 64 * 1024),
        ({"headers": {"Range": "bytes=0-1"}}, 2 * 2**20),
        ({"headers": {"Range": "bytes=50000000-50000099"}}, 2 * 2**20),
    ):
        read[0] = 0
        assert stored(path, **asked).status_code in (200, 206)
        assert 0 < read[0] <= most, asked
    assert stored(path).content == large
