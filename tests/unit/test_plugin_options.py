"""A typing error in an option of a tab costs nothing but that option: callbacks and the other tab stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from airflow_provider_runway.compat import HAS_TABS

pytestmark = pytest.mark.skipif(not HAS_TABS, reason="this Airflow has no tabs")

SCRIPT = """
import json
from airflow_provider_runway.plugins.runway import RunwayPlugin
print(json.dumps([
    [view["name"] for view in RunwayPlugin.external_views],
    [app["url_prefix"] for app in RunwayPlugin.fastapi_apps],
]))
"""


def plugin(**options: str) -> tuple[list[str], list[str], str]:
    """Return the tabs and the apps that the plugin brings with some options, and what was logged."""
    environment = {f"AIRFLOW__RUNWAY__{name.upper()}": value for name, value in options.items()}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    *logged, answer = process.stdout.splitlines()
    tabs, apps = json.loads(answer)
    return tabs, apps, "\n".join([*logged, process.stderr])


BOTH, APPS = ["Video", "Videos"], ["/runway-callbacks", "/runway"]


@pytest.mark.parametrize("value", ["", "maybe", "no"])
@pytest.mark.parametrize("option", ["video_tab", "gallery_tab"])
def test_what_is_no_truth_value_is_the_default_and_a_warning(option: str, value: str) -> None:
    tabs, apps, logged = plugin(**{option: value})
    assert (tabs, apps) == (BOTH, APPS)
    assert logged.count(f"[runway] {option}: must be True or False") == 1


def test_the_other_option_counts_all_the_same() -> None:
    tabs, apps, _ = plugin(video_tab="maybe", gallery_tab="False")
    assert (tabs, apps) == (["Video"], APPS)
    tabs, apps, logged = plugin(video_tab="False", gallery_tab="False")
    assert (tabs, apps) == ([], APPS[:1])
    assert "must be" not in logged
