"""An S3 server on this machine, where the packages for one are installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

#: The bucket, and the Airflow connection that reaches it.
BUCKET, CONN_ID = "videos", "aws_local"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start the server, with an empty bucket, and give its URL."""
    for package in ("moto.server", "s3fs", "airflow.providers.amazon"):
        pytest.importorskip(package, reason="no S3 server, or nothing to reach it with")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a client of the server and an Airflow connection to it; the bucket is empty."""
    import boto3

    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    keys = {"login": "testing", "password": "testing"}
    extra = {"endpoint_url": s3_server, "region_name": "us-east-1"}
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"conn_type": "aws", **keys, "extra": extra})
    )
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    for key in keys_in(client):
        client.delete_object(Bucket=BUCKET, Key=key)
    client.delete_bucket(Bucket=BUCKET)


def keys_in(client: Any) -> list[str]:
    """Return all keys of the bucket."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return sorted(entry["Key"] for page in pages for entry in page.get("Contents", ()))


def content_of(client: Any, key: str) -> bytes:
    """Return what is under a key."""
    content: bytes = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    return content


def uploads_in(client: Any) -> list[dict[str, Any]]:
    """Return the uploads that were begun and not ended."""
    return list(client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


def uri(key: str) -> str:
    """Return the URI of a key, with the connection."""
    return f"s3://{CONN_ID}@{BUCKET}/{key}"
