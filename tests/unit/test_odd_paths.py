"""Names and URIs that are made of what others chose: harmless as names, and leading to the file as URIs."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_runway.compat import Asset
from airflow_provider_runway.files import naming
from airflow_provider_runway.operators.keeping import uri_of


@given(st.text())
def test_a_name_is_short_visible_and_a_name_whatever_a_server_says(name: str) -> None:
    safe = naming.safe_name(name)
    assert 0 < len(safe) <= 200
    assert not safe.startswith(".")
    assert set(safe) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@pytest.mark.parametrize("name", ["x" + "." * 300, "x." + "y" * 199, "." * 201, "a/" + "." + "b" * 199])
def test_a_name_that_is_cut_does_not_begin_with_a_dot(name: str) -> None:
    assert not naming.safe_name(name).startswith(".")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/videos/x?y.mp4", "file:///videos/x%3Fy.mp4"),
        ("/videos/x#y%20.mp4", "file:///videos/x%23y%2520.mp4"),
        ("file:///videos/a b.mp4", "file:///videos/a%20b.mp4"),
        ("s3://conn@videos/x?y.mp4", "s3://videos/x%3Fy.mp4"),
        ("s3://conn@videos/a#b/ü.mp4", "s3://videos/a%23b/%C3%BC.mp4"),
        ("abfss://container@account/x?y.mp4", "abfss://container@account/x%3Fy.mp4"),
        (
            "s3://videos/manual__2026-11-23T08:00:00+00:00/x.mp4",
            "s3://videos/manual__2026-11-23T08:00:00+00:00/x.mp4",
        ),
    ],
)
def test_the_uri_of_a_stored_file_leads_to_it(path: str, uri: str) -> None:
    assert uri_of(path) == uri
    assert path.endswith(unquote(urlsplit(uri).path))
    Asset(uri)
