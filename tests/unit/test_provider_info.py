"""What Airflow learns about the package is valid by Airflow's own schemas and true of the code."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import airflow
import jsonschema  # type: ignore[import-untyped]
import pytest

import airflow_provider_runway
from airflow_provider_runway import DOCS_URL
from airflow_provider_runway.api.answers import DIALECTS
from airflow_provider_runway.get_provider_info import get_provider_info
from tests.pages import REPOSITORY
from tests.versions import AIRFLOW

NAME = airflow_provider_runway.__name__
INFO = get_provider_info()
CONNECTION: dict[str, Any] = INFO["connection-types"][0]


def schema(name: str) -> dict[str, Any]:
    """Return one of the schema files that Airflow ships."""
    path = Path(airflow.__file__).with_name(name)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_it_is_valid_by_airflows_schema() -> None:
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_airflow_finds_a_mistake_in_it() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**INFO, "connection-types": [{}]}, schema("provider_info.schema.json"))


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="the form had no schema before")
def test_the_connection_form_is_valid_by_the_schema_of_airflows_own_providers() -> None:
    rules = schema("provider.yaml.schema.json")["properties"]["connection-types"]
    assert "conn-fields" in rules["items"]["properties"]
    jsonschema.validate(INFO["connection-types"], rules)


def test_it_is_plain_data() -> None:
    assert json.loads(json.dumps(INFO)) == INFO


def test_name_and_version_are_those_of_the_distribution() -> None:
    assert INFO["package-name"] == "airflow-provider-runway"
    assert INFO["versions"] == [airflow_provider_runway.__version__]


@pytest.mark.parametrize("kind", ["operators", "sensors", "hooks", "triggers"])
def test_every_module_named_can_be_imported(kind: str) -> None:
    integrations = {integration["integration-name"] for integration in INFO["integrations"]}
    for entry in INFO[kind]:
        assert entry["integration-name"] in integrations
        for module in entry["python-modules"]:
            importlib.import_module(module)


def test_the_connection_type_names_its_hook() -> None:
    module, name = CONNECTION["hook-class-name"].rsplit(".", 1)
    hook = getattr(importlib.import_module(module), name)
    assert CONNECTION["connection-type"] == hook.conn_type == "runway"
    assert CONNECTION["hook-name"] == hook.hook_name
    assert hook.conn_name_attr == "runway_conn_id"
    assert hook.default_conn_name == "runway_default"
    assert callable(hook.test_connection)


def test_the_form_shows_what_a_connection_needs_and_hides_what_it_does_not() -> None:
    behaviour = CONNECTION["ui-field-behaviour"]
    assert behaviour["relabeling"]["password"] == "API key"
    assert {"login", "schema", "port"} <= set(behaviour["hidden-fields"])
    assert not {"password", "host"} & set(behaviour["hidden-fields"])
    assert behaviour["placeholders"]["host"] == "https://api.kie.ai"


def test_every_extra_has_a_label_and_a_help_text() -> None:
    fields = CONNECTION["conn-fields"]
    assert {"api", "speed", "upload_host", "timeout"} <= set(fields)
    assert all(field["label"] and field["description"].endswith(".") for field in fields.values())
    assert fields["api"]["schema"]["enum"] == list(DIALECTS)


def test_no_extra_has_to_be_filled_in() -> None:
    for name, field in CONNECTION["conn-fields"].items():
        jsonschema.validate(field["schema"].get("default"), field["schema"]), name


def test_the_hook_class_has_a_form_of_its_own_where_airflow_asks_it() -> None:
    """Airflow before 3.2 asks the class; what HttpHook would say is not ours."""
    from airflow_provider_runway.hooks.runway import RunwayHook

    assert RunwayHook.get_ui_field_behaviour()["relabeling"]["password"] == "API key"
    pytest.importorskip("flask_appbuilder", reason="this Airflow has the form from the provider info")
    assert set(RunwayHook.get_connection_form_widgets()) == set(CONNECTION["conn-fields"])


def _is_installed() -> bool:
    points = importlib.metadata.entry_points(group="apache_airflow_provider")
    return any(point.value.startswith("airflow_provider_runway.") for point in points)


@pytest.mark.skipif(not _is_installed(), reason="the package is not installed, so it has no entry point")
def test_airflow_lists_it() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.providers["airflow-provider-runway"].version == airflow_provider_runway.__version__
    assert manager.hooks["runway"] is not None
    assert manager.hooks["runway"].hook_name == "Runway (kie.ai)"


def test_airflow_can_link_to_the_documentation() -> None:
    urls = importlib.metadata.metadata("airflow-provider-runway").get_all("Project-URL") or []
    assert f"Documentation, {DOCS_URL}" in urls


def modules_of(room: str) -> set[str]:
    """Return the modules of a room of the package."""
    folder = Path(airflow_provider_runway.__file__).parent / room
    return {f"airflow_provider_runway.{room}.{file.stem}" for file in folder.glob("*.py")}


def classes_of(modules: set[str], base: type) -> set[type]:
    """Return the public classes that these modules define on top of another."""
    return {
        found
        for module in modules
        for found in vars(importlib.import_module(module)).values()
        if isinstance(found, type)
        and issubclass(found, base)
        and found.__module__ == module
        and not found.__name__.startswith("_")
    }


def test_every_trigger_stands_in_a_module_that_it_names() -> None:
    from airflow.triggers.base import BaseTrigger

    (named,) = [set(entry["python-modules"]) for entry in INFO["triggers"]]
    defined = classes_of(modules_of("triggers") | modules_of("assets"), BaseTrigger)
    assert {trigger.__module__ for trigger in defined} == named


@pytest.mark.parametrize("room", ["operators", "sensors", "hooks"])
def test_what_people_import_stands_in_a_module_that_it_names(room: str) -> None:
    (named,) = [set(entry["python-modules"]) for entry in INFO[room]]
    assert named == {module for module in modules_of(room) if module.endswith(".runway")}


def test_every_link_is_named_and_is_the_plugins() -> None:
    from airflow_provider_runway.compat import BaseOperatorLink
    from airflow_provider_runway.plugins.runway import RunwayPlugin

    defined = classes_of(modules_of("links"), BaseOperatorLink)
    names = {f"{link.__module__}.{link.__name__}" for link in defined}
    assert names == set(INFO["extra-links"])
    assert {type(link) for link in RunwayPlugin.operator_extra_links} == defined


def test_every_option_that_the_code_reads_is_named_and_the_other_way_round() -> None:
    package = Path(airflow_provider_runway.__file__).parent
    source = "\n".join(file.read_text() for file in package.rglob("*.py") if file.stem != "get_provider_info")
    read = set(re.findall(r"""(?:conf\.get\w*\(\s*["']runway["'],\s*|\bhas_tab\()["'](\w+)""", source))
    assert read == set(INFO["config"]["runway"]["options"])


def test_every_guide_is_a_page_of_the_docs() -> None:
    (integration,) = INFO["integrations"]
    for guide in integration["how-to-guide"]:
        assert guide.startswith(DOCS_URL)
        assert (REPOSITORY / "docs" / guide.removeprefix(DOCS_URL).replace(".html", ".md")).exists()


def test_the_plugin_is_an_entry_point_and_is_not_named_here_too() -> None:
    """Named in both places it would be loaded twice, which Airflow's UI shows as an import error."""
    points = importlib.metadata.entry_points(group="airflow.plugins")
    assert [point.value for point in points if point.value.startswith(f"{NAME}.")] == [
        f"{NAME}.plugins.runway:RunwayPlugin"
    ]
    assert "plugins" not in INFO
