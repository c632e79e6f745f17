"""What the chaos run calls a whole video, and what it calls a rest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.chaos.videos import LocalVideos, is_whole, rests

CLIP = (
    Path(__file__).resolve().parents[2] / "airflow_provider_runway" / "simulator" / "clip.mp4"
).read_bytes()


def test_a_video_is_whole_with_its_size_and_its_sha256_alone() -> None:
    sha256 = hashlib.sha256(CLIP).hexdigest()
    assert is_whole(CLIP, len(CLIP), sha256)
    assert not is_whole(None, len(CLIP), sha256)
    assert not is_whole(CLIP, len(CLIP) - 1, sha256)
    assert not is_whole(CLIP, len(CLIP), "0" * 64)
    half = CLIP[: len(CLIP) // 2]
    assert not is_whole(half, len(half), hashlib.sha256(half).hexdigest())


@pytest.mark.parametrize(
    ("name", "content"),
    [("video.mp4", CLIP), ("video.mp4.json", b'{"prompt": "a"}'), ("runway-state", b"A marker.")],
)
def test_videos_and_notes_are_meant_to_be_there(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert rests(LocalVideos(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("video.mp4", CLIP[:1000]),
        ("video.mp4", b""),
        ("video.mp4.json", b'{"prompt": '),
        (".video.mp4.abcd1234.part", CLIP),
        ("something", b""),
    ],
)
def test_half_a_video_half_a_note_and_all_else_are_rests(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert rests(LocalVideos(tmp_path)) == [str(tmp_path / name)]
