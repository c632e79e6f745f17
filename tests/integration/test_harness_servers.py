"""The servers of the chaos run keep what they were told, whatever moment they are killed at."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from tests.harness.local_server import LocalRedis, LocalS3

MEBIBYTE = 1024 * 1024


@pytest.mark.skipif(not shutil.which("redis-server"), reason="no Redis")
def test_what_redis_has_confirmed_is_there_after_a_kill(tmp_path: Path) -> None:
    def ask(command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", redis.port), timeout=10) as client:
            client.sendall(command + b"\r\n")
            return client.recv(100)

    with LocalRedis(tmp_path) as redis:
        assert ask(b"SET task queued") == b"+OK\r\n"
        redis.kill()
        assert not redis.answers()
        redis.start()
        assert ask(b"GET task") == b"$6\r\nqueued\r\n"


def test_objects_and_the_parts_of_an_upload_are_there_after_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("localbucket", reason="no S3 server: it is in the environment for Celery")
    with LocalS3(tmp_path) as server:
        client = server.client()
        client.create_bucket(Bucket="videos")
        client.put_object(Bucket="videos", Key="whole", Body=b"whole")
        upload = client.create_multipart_upload(Bucket="videos", Key="large")["UploadId"]
        parts = []
        for number in (1, 2):
            target = {"Bucket": "videos", "Key": "large", "UploadId": upload, "PartNumber": number}
            etag = client.upload_part(**target, Body=bytes([number]) * 5 * MEBIBYTE)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
            server.kill()
            server.start()
        keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="videos")["Contents"]]
        assert keys == ["whole"]
        client.complete_multipart_upload(
            Bucket="videos", Key="large", UploadId=upload, MultipartUpload={"Parts": parts}
        )
        stored = client.get_object(Bucket="videos", Key="large")["Body"].read()
        assert stored == b"\x01" * 5 * MEBIBYTE + b"\x02" * 5 * MEBIBYTE
        assert client.get_object(Bucket="videos", Key="whole")["Body"].read() == b"whole"
