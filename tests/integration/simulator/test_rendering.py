"""Results are real videos: of the asked length and size, each its own, and made from what they should be."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image, ImageChops, ImageStat

from airflow_provider_runway.simulator import Simulator
from airflow_provider_runway.simulator.plans import Plan, Segment
from tests.integration.simulator.conftest import TEXT_TO_VIDEO, Client, MakeSimulator

av = pytest.importorskip("av")
frames_of = pytest.importorskip("airflow_provider_runway.simulator.rendering.video").frames_of
rendering = pytest.importorskip("airflow_provider_runway.simulator.rendering")
pytestmark = pytest.mark.slow


@dataclass
class Video:
    codec: str
    pixels: str
    size: tuple[int, int]
    seconds: float
    frames: list[Image.Image]


def decode(content: bytes) -> Video:
    assert content.index(b"moov") < content.index(b"mdat"), "plays only once it is loaded"
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_image() for frame in container.decode(video=0)]
        context = stream.codec_context
        size = (context.width, context.height)
        return Video(context.name, context.pix_fmt, size, container.duration / av.time_base, frames)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of two pictures, from 0 to 255."""
    means = ImageStat.Stat(ImageChops.difference(one, other.resize(one.size))).mean
    return sum(means) / len(means)


@pytest.fixture
def simulator(make_simulator: MakeSimulator, tmp_path: Path) -> Simulator:
    return make_simulator(render=True, files_dir=tmp_path)


def finished_urls(simulator: Simulator, client: Client, task_id: str) -> dict[str, Any]:
    simulator.advance(1000)
    detail = client.detail(task_id)
    if detail is None:
        response = client.aleph_info(task_id)["response"]
        return {"videoUrl": response["resultVideoUrl"], "imageUrl": response["resultImageUrl"]}
    return dict(detail["videoInfo"])


def video_of(simulator: Simulator, client: Client, task_id: str) -> Video:
    return decode(requests.get(finished_urls(simulator, client, task_id)["videoUrl"], timeout=120).content)


@pytest.mark.parametrize(
    ("changes", "seconds", "size"),
    [
        ({}, 5, (1280, 720)),
        ({"duration": 10, "aspectRatio": "9:16"}, 10, (720, 1280)),
        ({"quality": "1080p", "aspectRatio": "4:3"}, 5, (1440, 1080)),
        ({"aspectRatio": "1:1"}, 5, (720, 720)),
    ],
)
def test_a_video_has_the_asked_length_and_size(
    simulator: Simulator, client: Client, changes: dict[str, Any], seconds: float, size: tuple[int, int]
) -> None:
    video = video_of(simulator, client, client.create(body={**TEXT_TO_VIDEO, **changes}))
    assert (video.codec, video.pixels) == ("h264", "yuv420p")
    assert video.seconds == pytest.approx(seconds, abs=0.001)
    assert len(video.frames) == seconds * 24
    assert video.size == size
    assert difference(video.frames[0], video.frames[-1]) > 2, "nothing moves"


def test_another_prompt_makes_another_video(simulator: Simulator, client: Client) -> None:
    one = video_of(simulator, client, client.create())
    other = video_of(simulator, client, client.create(body={**TEXT_TO_VIDEO, "prompt": "A steel bridge"}))
    assert difference(one.frames[60], other.frames[60]) > 5


def test_an_extension_continues_its_parent(simulator: Simulator, client: Client) -> None:
    parent_id = client.create()
    parent = video_of(simulator, client, parent_id)
    extension = video_of(simulator, client, client.extend(parent_id))
    assert extension.seconds == pytest.approx(10, abs=0.001)
    # The same pictures but for the clock and the bar, which count to ten now.
    assert difference(parent.frames[100], extension.frames[100]) < 2
    upper = (0, 0, 1280, 360)
    seam = difference(extension.frames[119].crop(upper), extension.frames[120].crop(upper))
    assert seam < 2, "the scene jumps where the extension begins"


def test_an_aleph_video_is_made_from_its_source(simulator: Simulator, client: Client) -> None:
    source_id = client.create(body={**TEXT_TO_VIDEO, "duration": 10})
    source = video_of(simulator, client, source_id)
    url = finished_urls(simulator, client, source_id)["videoUrl"]
    styled = video_of(simulator, client, client.restyle(url))
    assert styled.seconds == pytest.approx(5, abs=0.001)
    assert styled.size == source.size
    middle = (0, 240, 1280, 480)
    assert difference(source.frames[0].crop(middle), styled.frames[0].crop(middle)) < 3, (
        "begins as its source"
    )
    assert difference(source.frames[100].crop(middle), styled.frames[100].crop(middle)) > 8, "is not restyled"


def test_an_aleph_video_takes_an_asked_aspect_ratio_and_an_uploaded_source(
    simulator: Simulator, client: Client
) -> None:
    urls = finished_urls(simulator, client, client.create())
    upload = client.upload("source.mp4", requests.get(urls["videoUrl"], timeout=120).content)
    assert video_of(simulator, client, client.restyle(upload, aspectRatio="21:9")).size == (1680, 720)


def test_an_image_to_video_shows_the_uploaded_picture(simulator: Simulator, client: Client) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (300, 400), (230, 20, 40)).save(picture, "PNG")
    body = {
        "prompt": "Zoom",
        "duration": 5,
        "quality": "720p",
        "imageUrl": client.upload("red.png", picture.getvalue()),
    }
    video = video_of(simulator, client, client.create(body=body))
    assert video.size == (720, 960), "the picture's own aspect ratio"
    pixel = video.frames[60].getpixel((360, 300))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    assert red > 200
    assert max(green, blue) < 70


def test_a_picture_or_source_that_cannot_be_read_still_gives_a_video(
    simulator: Simulator, client: Client
) -> None:
    broken = client.upload("broken.png", b"\x89PNG\r\n\x1a\n no picture")
    assert video_of(simulator, client, client.create(body={**TEXT_TO_VIDEO, "imageUrl": broken})).seconds == 5
    broken = client.upload("broken.mp4", b"\0\0\0\x18ftypmp42 no video")
    assert video_of(simulator, client, client.restyle(broken)).seconds == 5


def test_a_thumbnail_is_a_picture_of_the_video(simulator: Simulator, client: Client) -> None:
    urls = finished_urls(simulator, client, client.create())
    thumbnail = Image.open(io.BytesIO(requests.get(urls["imageUrl"], timeout=120).content))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (1280, 720))
    frames = decode(requests.get(urls["videoUrl"], timeout=120).content).frames
    assert min(difference(thumbnail.convert("RGB"), frame) for frame in frames[::4]) < 3


def test_nothing_is_drawn_before_somebody_asks_and_then_once(
    simulator: Simulator, client: Client, tmp_path: Path
) -> None:
    url = finished_urls(simulator, client, client.create())["videoUrl"]
    client.create()
    assert list((tmp_path / "results").iterdir()) == []
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: requests.get(url, timeout=120), range(4)))
    assert len({answer.content for answer in answers}) == 1
    (drawn,) = (tmp_path / "results").iterdir()
    first_drawn = drawn.stat().st_mtime_ns
    requests.get(url, timeout=120)
    assert drawn.stat().st_mtime_ns == first_drawn


def test_a_simulator_that_closes_does_not_wait_for_what_it_draws(
    make_simulator: MakeSimulator, tmp_path: Path
) -> None:
    # Minutes of drawing: an extension shows all that was before it.
    simulator = make_simulator(render=True, files_dir=tmp_path, balance=1e6, rate_limit=0)
    client = Client(simulator.url)
    task_id = client.create(body={**TEXT_TO_VIDEO, "duration": 10})
    for _ in range(60):
        simulator.advance(1000)
        task_id = client.extend(task_id)
    url = finished_urls(simulator, client, task_id)["videoUrl"]
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(requests.get, url, timeout=300)
        deadline = time.monotonic() + 30
        while not list((tmp_path / "results").iterdir()):
            assert time.monotonic() < deadline, "nothing is drawn"
            time.sleep(0.01)
        pool.submit(simulator.close).result(timeout=30)
        assert isinstance(asked.exception(), requests.ConnectionError)
    assert list((tmp_path / "results").iterdir()) == [], "half a video is left"


@pytest.mark.parametrize("prompt", ["x" * 1800, "word " * 300, "Ein Café 東京 🎬", "line\nbreak\ttab", "."])
@pytest.mark.parametrize("aspect_ratio", ["16:9", "9:16", "21:9"])
def test_any_prompt_can_be_drawn(tmp_path: Path, prompt: str, aspect_ratio: str) -> None:
    plan = Plan(
        name="small",
        segments=(Segment(prompt, 1, "TEXT TO VIDEO"),),
        scene=prompt,
        aspect_ratio=aspect_ratio,
        short_side=72,
        watermark="ACME " * 30,
    )
    drawn = rendering.Renderer(tmp_path, threading.Event()).video(plan)
    assert decode(drawn.read_bytes()).seconds == 1


@pytest.mark.parametrize(("rate", "seconds", "expected"), [(10, 2, 2), (50, 2, 2), (30, 8, 5)])
def test_a_source_of_any_frame_rate_keeps_its_time(
    tmp_path: Path, rate: int, seconds: int, expected: int
) -> None:
    source = tmp_path / "source.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 128, 72, "yuv420p"
        for number in range(rate * seconds):
            shade = number * 250 // (rate * seconds)
            picture = Image.new("RGB", (128, 72), (shade, shade, shade))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    frames = list(frames_of(source, (128, 72), 5))
    assert len(frames) == expected * 24
    middle = expected * 12
    assert ImageStat.Stat(frames[middle]).mean[0] == pytest.approx(middle / 24 / seconds * 250, abs=12)
