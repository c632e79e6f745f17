"""The reference, made from the docstrings: every public class stands in it, with all that it takes."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from airflow_provider_runway import exceptions
from airflow_provider_runway.compat import HAS_RETRY_POLICIES
from tests import reference
from tests.pages import PAGES, REPOSITORY, snippets

pytestmark = pytest.mark.skipif(
    not HAS_RETRY_POLICIES, reason="all that is public is there from Airflow 3.3 on"
)
PUBLIC = (
    {name: subject for page in reference.PUBLIC for name, subject in reference.public(page).items()}
    if HAS_RETRY_POLICIES
    else {}
)
each = pytest.mark.parametrize("name", PUBLIC)
# What Airflow calls, and gives what it always gives.
AIRFLOWS_OWN = {"execute", "execute_complete", "resume_execution", "serialize", "deserialize", "run", "poke"}
#: Each unit, or what a number counts.
UNITS = re.compile(
    r"second|timedelta|credits|bytes|characters|whole number|\bport\b|\bcode\b|HTTP|how (often|many)|spread",
    re.IGNORECASE,
)


def said_of(subject: Callable[..., Any]) -> dict[str, str]:
    return {name: " ".join(said) for name, (_, said) in reference.parameters(subject).items()}


def methods(subject: Any) -> dict[str, Any]:
    if not isinstance(subject, type):
        return {}
    return {
        name: getattr(subject, name)
        for name, value in vars(subject).items()
        if not name.startswith("_") and name not in AIRFLOWS_OWN
        if isinstance(value, FunctionType | classmethod | staticmethod)
    }


@each
def test_it_says_what_it_is_for(name: str) -> None:
    assert re.match(r"([A-Z]|kie.ai)[^\n]+", inspect.cleandoc(PUBLIC[name].__doc__ or ""))


@each
def test_every_parameter_is_documented(name: str) -> None:
    said = said_of(PUBLIC[name])
    assert {parameter for parameter, text in said.items() if not text.strip()} == set()


@each
def test_what_is_documented_can_be_given(name: str) -> None:
    taken = {
        key for taker, _ in reference.takers(PUBLIC[name]) for key in inspect.signature(taker).parameters
    }
    assert set(reference.Docstring.of(PUBLIC[name]).parameters) - taken == set()


@each
def test_every_parameter_of_its_methods_is_documented(name: str) -> None:
    for method, function in methods(PUBLIC[name]).items():
        said = said_of(function)
        missing = {parameter for parameter, text in said.items() if not text and parameter.strip("_")}
        assert missing - {"cls"} == set(), method


@each
def test_a_number_has_a_unit(name: str) -> None:
    for parameter, said in reference.parameters(PUBLIC[name]).values():
        if re.search(r"\b(int|float|timedelta)\b", str(parameter.annotation)):
            assert UNITS.search(" ".join(said)), parameter.name


@each
def test_a_choice_of_words_names_them(name: str) -> None:
    said = said_of(PUBLIC[name])
    for parameter, words in {
        "model": ("runway", "aleph"),
        "quality": ("720p", "1080p"),
        "on_unknown_submission": ("fail", "resubmit"),
        "aspect_ratio": ("16:9", "1:1"),
        "callback_wake": ("worker", "trigger"),
        "api": ("dedicated", "market"),
    }.items():
        if said.get(parameter):
            assert all(f"``{word}``" in said[parameter] for word in words), parameter


@pytest.mark.parametrize("name", [name for name in PUBLIC if name.endswith(("Operator", "Sensor"))])
def test_what_it_fails_with_is_documented(name: str) -> None:
    raised = {
        error
        for _, source in reference.takers(PUBLIC[name])
        for error in re.findall(r":raises (\w+):", source.__doc__ or "")
    }
    assert raised - {"FileNotFoundError"}
    assert all(
        issubclass(getattr(exceptions, error), exceptions.RunwayError)
        for error in raised - {"FileNotFoundError"}
    )


@pytest.mark.parametrize("name", [name for name in PUBLIC if hasattr(PUBLIC[name], "template_fields")])
def test_what_is_templated_says_so(name: str) -> None:
    templated = {field for field, said in said_of(PUBLIC[name]).items() if said.endswith("(templated)")}
    assert templated == set(PUBLIC[name].template_fields)


def test_what_the_pages_and_the_examples_import_is_in_the_reference() -> None:
    sources = [snippet.source for snippet in snippets("python")]
    sources += [path.read_text() for path in (REPOSITORY / "example_dags").glob("*.py")]
    names = {
        alias.name
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(reference.ROOT)
        for alias in node.names
    }
    assert names
    assert names - {name.rpartition(".")[2] for name in PUBLIC} == set()


def test_the_list_of_the_reference_has_every_page() -> None:
    assert re.findall(r"^reference/(\w+)$", PAGES["docs/reference.md"], re.MULTILINE) == list(
        reference.PUBLIC
    )
