"""What the README and the how-to pages say in tables and examples of connections is what the code does."""

from __future__ import annotations

import ast
import inspect
import json
import re
from configparser import ConfigParser
from typing import TYPE_CHECKING

import pytest
from airflow.configuration import conf
from airflow.models import Connection

from airflow_provider_runway import DOCS_URL, exceptions
from airflow_provider_runway.api import dedicated, market
from airflow_provider_runway.api.requests import ExtendVideo, GenerateAlephVideo, GenerateVideo, RunwayRequest
from airflow_provider_runway.compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_runway.get_provider_info import get_provider_info
from airflow_provider_runway.hooks import connection
from airflow_provider_runway.hooks.connection import RunwaySettings
from airflow_provider_runway.operators import runway as operators
from airflow_provider_runway.operators.submit import RunwaySubmitOperator
from airflow_provider_runway.sensors.runway import RunwayTaskSensor
from tests.pages import PAGES, REPOSITORY, Snippet, snippets, table, without_code

if TYPE_CHECKING:
    from airflow_provider_runway.compat import BaseOperator


@pytest.mark.parametrize("snippet", snippets("json"), ids=lambda snippet: snippet.name)
def test_the_connection_can_be_used(snippet: Snippet) -> None:
    settings = RunwaySettings.from_connection(Connection.from_json(snippet.source, conn_id="runway_default"))
    assert settings.api_key in {"YOUR-API-KEY", "any-key"}
    known = set(json.loads(snippet.source).get("extra", {}))
    assert known <= set(table("docs/connection.md", "## Extras"))


@pytest.mark.parametrize(
    ("page", "heading", "operator"),
    [
        ("docs/operators.md", "## Text to video", operators.RunwayGenerateOperator),
        ("docs/operators.md", "## Extend", operators.RunwayExtendOperator),
        ("docs/operators.md", "## Restyle with Aleph", operators.RunwayAlephOperator),
        ("docs/operators.md", "## Arguments of all three", RunwaySubmitOperator),
        ("docs/waiting.md", "## The sensor", RunwayTaskSensor),
        ("docs/storing.md", "## The operator", operators.RunwayDownloadOperator),
    ],
)
def test_the_table_of_arguments_says_what_the_signature_says(
    page: str, heading: str, operator: type[BaseOperator]
) -> None:
    documented = table(page, heading)
    signature = inspect.signature(operator.__init__)
    own = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name not in {"self", "kwargs", "runway_conn_id"}
    }
    assert set(own) <= set(documented)
    for name, default in own.items():
        said = documented[name][0].strip("`")
        if default is inspect.Parameter.empty:
            assert said == ""
        elif name != "deferrable":
            assert ast.literal_eval(said) == default


def test_every_operator_stands_in_the_readme() -> None:
    documented = table("README.md", "## Operators")
    public = {
        name
        for name, value in vars(operators).items()
        if name.endswith("Operator") and value.__module__ == operators.__name__
    }
    assert public | {"RunwayTaskSensor", "RunwayTaskTrigger"} <= set(documented)


def test_the_readme_tells_of_the_run_that_kills_everything_what_its_page_does() -> None:
    def measured(passage: str, what: str) -> str:
        text = PAGES["docs/reliability.md"].split(f"<!-- chaos {passage} -->")[1].split("<!-- end")[0]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {what}")]
        return str(re.findall(r"\d+", row)[0])

    twice, lost = "**charged twice**", "**lost**"
    said = " ".join(PAGES["README.md"].split())
    assert (
        f"requests {measured('with notes', 'requested')} videos while killing processes at random, "
        f"{measured('with notes', twice)} were charged twice and {measured('with notes', lost)} were lost; "
        f"without its notes of what was submitted, {measured('without notes', twice)} were charged twice"
    ) in said


@pytest.mark.parametrize(("page", "heading"), [("README.md", "## Errors"), ("docs/errors.md", "# Errors")])
def test_the_table_of_errors_says_which_are_retried(page: str, heading: str) -> None:
    for line in PAGES[page].split(f"{heading}\n", 1)[1].split("\n## ")[0].splitlines():
        if line.startswith("| ") and "`Runway" in line:
            *_, retried = [cell.strip() for cell in line.strip("|").split("|")]
            for name in re.findall(r"`(Runway\w+)`", line):
                error = getattr(exceptions, name)
                never = issubclass(error, AirflowFailException | AirflowSensorTimeout)
                assert retried.startswith("no" if never else "yes"), name


KINDS = {
    name: kind
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, exceptions.RunwayError)
}
ENTRIES = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGES["docs/errors.md"], re.DOTALL | re.MULTILINE))


def test_every_error_has_an_entry_and_every_entry_is_an_errors() -> None:
    assert ENTRIES.keys() == KINDS.keys()


@pytest.mark.parametrize("name", KINDS)
def test_the_text_of_an_error_leads_to_its_entry(name: str) -> None:
    address = str(KINDS[name]("It broke")).rpartition(" ")[2]
    page, _, anchor = address.removeprefix(DOCS_URL).partition("#")
    assert page == "errors.html"
    assert anchor in anchors(PAGES["docs/errors.md"])


@pytest.mark.parametrize("name", KINDS)
def test_the_entry_says_what_was_charged_what_airflow_does_and_what_to_do(name: str) -> None:
    points = dict(re.findall(r"^- \*\*(.+?):\*\* (.+)$", ENTRIES[name], re.MULTILINE))
    assert list(points) == ["Charged", "Airflow", "What to do"]
    if issubclass(KINDS[name], AirflowFailException):
        assert points["Airflow"].startswith("fails the task at once")
    elif issubclass(KINDS[name], AirflowSensorTimeout):
        assert points["Airflow"].startswith("does not retry it")
    elif name != "RunwayCallbackError":
        assert points["Airflow"].startswith("retries it")
    bases = {base.__name__ for base in KINDS[name].__bases__} & KINDS.keys() - {"RunwayError"}
    assert {base for base in bases if f"`{base}`" not in ENTRIES[name]} == set()


def test_every_field_of_the_form_stands_on_the_connections_page() -> None:
    (connection_type,) = get_provider_info()["connection-types"]
    page = PAGES["docs/connection.md"]
    for name, field in connection_type["conn-fields"].items():
        assert f"| `{name}` |" in page or f"*{field['label']}*" in page
    for label in connection_type["ui-field-behaviour"]["relabeling"].values():
        assert label in page


def test_every_extra_stands_on_the_connections_page_with_its_default() -> None:
    documented = table("docs/connection.md", "## Extras")
    assert set(documented) | {"proxy", "verify_ssl"} == connection._EXTRAS
    defaults = RunwaySettings(conn_id="runway_default", api_key="key")
    words = {"none": None, "true": True, "false": False, "[10, 30]": (10.0, 30.0)}
    for name, (_, default, _) in documented.items():
        if hasattr(defaults, name):
            said = default.strip("`")
            value = getattr(defaults, name)
            assert words.get(said, type(value)(said) if value is not None else None) == value, name


def test_every_option_stands_on_the_configurations_page_with_its_default() -> None:
    documented = table("docs/configuration.md", "## The section `[runway]`")
    options = get_provider_info()["config"]["runway"]["options"]
    defaults = {name: option["default"] or "none" for name, option in options.items()}
    assert {name: default.strip("`") for name, (_, default, *_) in documented.items()} == defaults


def test_the_page_about_moving_names_every_field_as_kie_ai_does_and_as_the_operators_do() -> None:
    rows = PAGES["docs/moving.md"].split("## Field names")[1].split("\n## ")[0].splitlines()
    columns = [re.split(r" \| ", row.strip("| ")) for row in rows if row.startswith("| `")]
    named = [{name for row in columns for name in re.findall(r"`(\w+)`", row[side])} for side in range(3)]
    asked: list[RunwayRequest] = [
        GenerateVideo("a", watermark="w"),
        GenerateVideo("a", image_url="https://example.com/a.jpg"),
        ExtendVideo("id", "a"),
        GenerateAlephVideo(
            "a", "https://example.com/a.mp4", "1:1", "https://example.com/a.jpg", 7, "w", upload_cn=True
        ),
    ]
    sent = [dedicated.creation(request, "https://example.com/")[1] for request in asked]
    assert named[0] == {name for body in sent for name in body}
    sent = [market.creation(request)[1]["input"] for request in asked]
    same = {"prompt", "duration", "quality", "seed"}
    assert named[1] - {"input", "callBackUrl"} | same == {name for body in sent for name in body}
    kinds = (operators.RunwayGenerateOperator, operators.RunwayExtendOperator, operators.RunwayAlephOperator)
    arguments = {
        name
        for kind in (*kinds, RunwaySubmitOperator)
        for name in inspect.signature(kind.__init__).parameters
    }
    assert named[2] | same <= arguments


#: What stands on the pages, and where it is tried; the rest is nothing that could be run.
LANGUAGES = {"python", "bash", "json", "ini", "text", "nginx", "dockerfile", "yaml", "{toctree}"}


def test_the_pages_have_snippets_of_languages_that_are_tried() -> None:
    found = {
        language
        for text in PAGES.values()
        for language in re.findall(r"^ *```(\S*)\n.*?^ *```$", text, re.DOTALL | re.MULTILINE)
    }
    assert found <= LANGUAGES


@pytest.mark.parametrize("snippet", snippets("ini"), ids=lambda snippet: snippet.name)
def test_the_options_of_a_configuration_exist(snippet: Snippet) -> None:
    parser = ConfigParser()
    parser.read_string(snippet.source)
    ours = get_provider_info()["config"]
    for section in parser.sections():
        for option in parser[section]:
            known = (
                option in ours[section]["options"] if section in ours else conf.has_option(section, option)
            )
            assert known, f"[{section}] {option}"


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", without_code(PAGES[page])):
        path, _, anchor = target.partition("#")
        file = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def test_every_picture_is_shown_somewhere() -> None:
    shown = {name for text in PAGES.values() for name in re.findall(r"images/([\w.]+)\)", text)}
    # The site shows the one that fits the reader's theme.
    shown |= {name.replace("light", "dark") for name in shown} | {
        name.replace("dark", "light") for name in shown
    }
    assert {file.name for file in (REPOSITORY / "docs" / "images").iterdir()} <= shown


SOURCES = [
    path
    for pattern in ("*.md", "*.toml", "docs/*.md", "airflow_provider_runway/**/*.py", "example_dags/*.py")
    for path in REPOSITORY.glob(pattern)
]


def test_links_to_the_site_lead_to_its_pages() -> None:
    for path in SOURCES:
        for page, anchor in re.findall(
            rf"(?:{re.escape(DOCS_URL)}|{{DOCS_URL}})(\w+)\.html#?([\w-]*)", path.read_text(encoding="utf-8")
        ):
            text = PAGES[f"docs/{page}.md"]
            assert not anchor or anchor in anchors(text), f"{path}: {page}.html#{anchor}"


#: Nobody asks them in a test. A host that is not among these is to be looked at by a person once.
HOSTS = {
    "kie.ai",
    "api.kie.ai",
    "docs.kie.ai",
    "kieai.redpandaai.co",
    "github.com",
    "airflow.apache.org",
    "airflow-provider-runway.readthedocs.io",
    # The tutorial's own Airflow.
    "localhost:8080",
}


def test_links_to_elsewhere_lead_to_hosts_that_are_known() -> None:
    for page, text in PAGES.items():
        links = re.findall(r"(?:\]\(|<)https?://([^/)>#?]+)", without_code(text))
        assert set(links) <= HOSTS, page
