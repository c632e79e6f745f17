"""The page on dependencies names what the package brings beside Airflow, with its licence, and no more."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.pages import PAGES
from tests.versions import AIRFLOW

OURS = "airflow-provider-runway"


def needed_by(name: str, extra: str = "") -> set[str]:
    """Return all packages that one needs on this machine, those that they need included."""
    found, todo = set(), [(canonicalize_name(name), frozenset({extra, ""}))]
    while todo:
        if (step := todo.pop()) in found:
            continue
        found.add(step)
        try:
            requirements = importlib.metadata.requires(step[0]) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, requirements):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in step[1]):
                todo.append((canonicalize_name(requirement.name), frozenset({*requirement.extras, ""})))
    return {name for name, _ in found}


def licence_of(name: str) -> str:
    """Return a package's licence by its own words, spelled as SPDX does."""
    metadata = importlib.metadata.metadata(name)
    found = metadata.get_all("License-Expression", []) or metadata.get_all("License", [])
    said = str(found[0])
    return re.sub(r"Apache(?: License,?)?(?: Version)? 2\.0", "Apache-2.0", said)


def rows(text: str) -> dict[str, str]:
    """Return the licence of each package in a table."""
    return dict(re.findall(r"^\| `([\w-]+)` \|.*\| ([\w. -]+) \|$", text, re.MULTILINE))


CORE, SIMULATOR = map(rows, PAGES["docs/dependencies.md"].split("The extra `simulator`"))
brought = pytest.mark.skipif(AIRFLOW < (3, 3), reason="the page tells of today's versions")


@brought
def test_the_page_names_what_the_package_brings_beside_airflow() -> None:
    assert set(CORE) == needed_by(OURS) - needed_by("apache-airflow") - {OURS}


def test_the_extra_for_the_simulator_brings_no_more_than_it_says() -> None:
    assert set(SIMULATOR) == needed_by(OURS, "simulator") - needed_by(OURS)


@brought
@pytest.mark.parametrize("package", [*CORE, *SIMULATOR])
def test_the_licence_is_that_of_the_package(package: str) -> None:
    assert licence_of(package) == (CORE | SIMULATOR)[package]
