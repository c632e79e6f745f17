"""What is built of this repository: the same bytes wherever that is done, all that is needed, and no more."""

from __future__ import annotations

import email
import importlib.metadata
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

import airflow_provider_runway
from airflow_provider_runway import DOCS_URL
from tests.pages import PAGES, REPOSITORY, without_code
from tests.wheel.build import build, sha256

pytest.importorskip("hatchling", reason="what builds the package is not installed")

VERSION = airflow_provider_runway.__version__


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no clone, so nobody knows what belongs to it")
    return build(tmp_path_factory.mktemp("one"))


def test_both_are_the_same_wherever_and_whenever_they_are_built(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    again = build(tmp_path)
    for first, second in zip(built, again, strict=True):
        assert first.name == second.name
        assert sha256(first) == sha256(second)


def test_the_wheel_has_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(f"airflow_provider_runway-{VERSION}.dist-info/METADATA").decode()
        points = wheel.read(f"airflow_provider_runway-{VERSION}.dist-info/entry_points.txt").decode()
        made_by = wheel.read(f"airflow_provider_runway-{VERSION}.dist-info/WHEEL").decode()
    inside = {name.split("/")[0] for name in names}
    assert inside == {"airflow_provider_runway", f"airflow_provider_runway-{VERSION}.dist-info"}
    package = REPOSITORY / "airflow_provider_runway"
    kept = {
        file.relative_to(REPOSITORY).as_posix()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in names if name.startswith("airflow_provider_runway/")} == kept
    assert "airflow_provider_runway/py.typed" in names
    assert [name for name in names if name.endswith(".mp4")], "the simulator's clip"
    assert {"gallery.js", "video.html"} <= {name.rpartition("/")[2] for name in names}
    assert f"Version: {VERSION}\n" in metadata
    assert "License-Expression: Apache-2.0\n" in metadata
    assert "apache_airflow_provider" in points
    # Newer ones are refused by indexes and tools of last year.
    assert "Metadata-Version: 2.4\n" in metadata
    (pinned,) = re.findall(r'"hatchling==([\d.]+)"', (REPOSITORY / "pyproject.toml").read_text())
    if importlib.metadata.version("hatchling") == pinned:
        assert f"Generator: hatchling {pinned}\n" in made_by


def test_the_source_has_what_its_tests_need(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as source:
        names = {name.split("/", 1)[1] for name in source.getnames() if "/" in name}
    for name in (
        *("pyproject.toml", "Makefile", "README.md", "CHANGELOG.md", "LICENSE"),
        *("tests/pins/airflow-3.3.txt", "tests/recorded.json", "docs/operators.md", "example_dags/media"),
    ):
        assert any(found == name or found.startswith(f"{name}/") for found in names), name
    assert "notes.txt" not in names


def in_the_repository(address: str) -> str:
    """Return which file the site shows at one of its addresses."""
    page, _, anchor = address.removeprefix(DOCS_URL).partition("#")
    if page == "reference/examples.html":
        return f"example_dags/{anchor.replace('-', '_')}.py" if anchor else "example_dags"
    if page.startswith("reference/"):
        return page.removeprefix("reference/").removesuffix(".html").upper() + ".md"
    return re.sub(r"^_images/", "docs/images/", re.sub(r"^(\w*)\.html$", r"docs/\1.md", page or "index.html"))


def test_an_index_page_can_show_the_readme(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        metadata = wheel.read(f"airflow_provider_runway-{VERSION}.dist-info/METADATA").decode()
    described = email.message_from_string(metadata)
    assert described["Description-Content-Type"] == "text/markdown"
    page = described.get_payload()
    assert isinstance(page, str)
    readme, shown = without_code(PAGES["README.md"]), without_code(page)
    links = re.findall(r"\]\(([^)]+)\)", shown)
    assert len(links) == len(re.findall(r"\]\(", readme)) > 20
    assert [link for link in links if not link.startswith("https://")] == []
    ours = [link for link in links if link.startswith(DOCS_URL)]
    files = {link: in_the_repository(link) for link in ours}
    assert {link: file for link, file in files.items() if not (REPOSITORY / file).exists()} == {}
    # Beside the addresses, nothing is changed.
    link = re.compile(r"\]\([^)]+\)")
    assert link.sub("", shown).split() == link.sub("", readme).split()
    # The site has those pictures alone that one of its own pages shows.
    of_site = "".join(text for name, text in PAGES.items() if name.startswith("docs/"))
    pictures = [file.rpartition("/")[2] for file in files.values() if file.endswith(".png")]
    assert [name for name in pictures if f"(images/{name})" not in of_site] == []
    assert len(pictures) == readme.count("![")
