"""The pages in Airflow's UI bring everything with them, and what they are told stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import airflow_provider_runway

PAGES = Path(airflow_provider_runway.__file__).parent / "plugins" / "pages"
FILES = sorted(PAGES.iterdir())


class Elements(HTMLParser):
    """The elements of a page, each with its attributes, and whether a script or style has a text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self._open in {"script", "style"} and data.strip():
            self.inline.append(data)


def of_kind(*suffixes: str) -> pytest.MarkDecorator:
    files = [file for file in FILES if file.suffix in suffixes]
    assert files
    return pytest.mark.parametrize("file", files, ids=lambda file: file.name)


@of_kind(".html")
def test_a_strict_content_security_policy_breaks_nothing(file: Path) -> None:
    elements = Elements(file.read_text(encoding="utf-8"))
    assert elements.inline == []
    for tag, attributes in elements.found:
        assert tag != "style"
        assert not any(name == "style" or name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            if address := attributes.get(name):
                assert (PAGES / address.removeprefix("static/")).is_file()


@of_kind(".html", ".css", ".js")
def test_nothing_comes_from_elsewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"(https?:)?//[a-z]|@import|url\(", re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    )


@of_kind(".js")
def test_no_text_becomes_html_or_code(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text
    )


@of_kind(".js")
def test_modules_import_what_is_there(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for names, source in re.findall(r'^import \{([^}]*)\} from "\./([^"]+)";', text, re.MULTILINE):
        exported = set(
            re.findall(
                r"^export (?:async )?(?:function|class|const) (\w+)", (PAGES / source).read_text(), re.M
            )
        )
        imported = {name.strip() for name in names.split(",") if name.strip()}
        assert imported <= exported
        body = text.split(f'"./{source}";', 1)[1]
        assert {name for name in imported if not re.search(rf"\b{name}\b", body)} == set()


@of_kind(".html")
def test_a_page_can_be_used_without_seeing_it(file: Path) -> None:
    elements = Elements(file.read_text(encoding="utf-8")).found
    tags = [tag for tag, _ in elements]
    assert dict(elements)["html"]["lang"] == "en"
    assert tags.count("main") == tags.count("h1") == tags.count("title") == 1
    assert any(attributes.get("role") == "status" for _, attributes in elements)
