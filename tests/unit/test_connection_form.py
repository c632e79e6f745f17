"""The connection form: described once, in the provider info for Airflow 3.2 and later, by the hook before."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import warnings
from importlib import resources
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.models import Connection
from airflow.providers_manager import ProvidersManager

from airflow_provider_runway.get_provider_info import get_provider_info
from airflow_provider_runway.hooks.connection import RunwaySettings
from airflow_provider_runway.hooks.runway import RunwayHook
from tests.versions import AIRFLOW

(CONNECTION_TYPE,) = get_provider_info()["connection-types"]
FIELDS = CONNECTION_TYPE["conn-fields"]

HAS_WTFORMS = importlib.util.find_spec("wtforms") is not None
needs_wtforms = pytest.mark.skipif(
    not HAS_WTFORMS, reason="this Airflow has no WTForms and never asks the hook for them"
)
needs_installation = pytest.mark.skipif(
    not any(importlib.metadata.distributions(name="airflow-provider-runway")),
    reason="the package is not installed, so Airflow cannot find it",
)


def schema(name: str) -> dict[str, Any]:
    return dict(json.loads(resources.files("airflow").joinpath(name).read_text()))


def settings_from(**extra: Any) -> RunwaySettings:
    return RunwaySettings.from_connection(
        Connection(conn_id="runway_default", conn_type="runway", password="key", extra=json.dumps(extra))
    )


def test_airflow_accepts_the_provider_info() -> None:
    jsonschema.validate(get_provider_info(), schema("provider_info.schema.json"))


def test_airflow_accepts_what_the_hook_says_of_the_standard_fields() -> None:
    behaviour = RunwayHook.get_ui_field_behaviour()
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))
    assert behaviour["relabeling"]["password"] == "API key"
    assert set(behaviour["hidden_fields"]) == {"schema", "login", "port"}


@pytest.mark.parametrize("name", FIELDS)
def test_each_extra_field_has_a_label_a_help_text_and_a_valid_schema(name: str) -> None:
    field = FIELDS[name]
    assert field["label"]
    assert field["description"].endswith(".")
    jsonschema.Draft202012Validator.check_schema(field["schema"])
    # Airflow's UI sends null for a field that is empty.
    jsonschema.validate(field["schema"].get("default"), field["schema"])
    assert "null" in field["schema"]["type"]


def test_a_form_saved_as_it_opens_means_the_defaults() -> None:
    as_saved = {name: field["schema"].get("default") for name, field in FIELDS.items()}
    assert settings_from(**as_saved) == settings_from()


@pytest.mark.parametrize("api", FIELDS["api"]["schema"]["enum"])
def test_each_api_that_the_form_offers_can_be_used(api: str) -> None:
    assert settings_from(api=api).api == api


def test_the_extras_of_the_form_are_read() -> None:
    settings = settings_from(callback_base_url="airflow.example/prefix/", webhook_hmac_key="whsec")
    assert settings.callback_base_url == "https://airflow.example/prefix"
    assert settings.webhook_hmac_key == "whsec"
    assert "whsec" not in repr(settings)


def test_the_hook_can_be_imported_without_a_form_library() -> None:
    code = (
        "import sys; sys.modules['wtforms'] = sys.modules['flask_appbuilder'] = None\n"
        "from airflow_provider_runway.hooks.runway import RunwayHook\n"
        "assert RunwayHook.get_ui_field_behaviour()['relabeling']"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def open_form(**values: Any) -> Any:
    import wtforms  # type: ignore[import-untyped,unused-ignore]
    from werkzeug.datastructures import MultiDict

    form_class = type("Form", (wtforms.Form,), RunwayHook.get_connection_form_widgets())
    return form_class(MultiDict(values) if values else None)


@needs_wtforms
def test_the_hooks_form_has_the_same_fields_labels_help_texts_and_defaults() -> None:
    shown = {field.name: (field.label.text, field.description, field.default) for field in open_form()}
    assert shown == {
        name: (field["label"], field["description"], field["schema"].get("default"))
        for name, field in FIELDS.items()
    }


@needs_wtforms
def test_the_hooks_form_can_be_left_empty() -> None:
    # Airflow 2 shows the fields of all connection types in one form.
    assert open_form(**dict.fromkeys(FIELDS, "")).validate()


@needs_wtforms
@pytest.mark.parametrize(("field", "value"), [("api", "both"), ("timeout", "soon")])
def test_the_hooks_form_refuses_what_cannot_be_right(field: str, value: str) -> None:
    form = open_form(**{field: value})
    assert not form.validate()
    assert list(form.errors) == [field]


@needs_installation
@pytest.mark.skipif(
    AIRFLOW < (3, 2) and not HAS_WTFORMS, reason="this Airflow reads the form only where WTForms is"
)
def test_airflow_has_the_connection_type_and_its_form_without_a_warning() -> None:
    manager = ProvidersManager()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hook = manager.hooks["runway"]
        behaviour = manager.field_behaviours["runway"]
        widgets = manager.connection_form_widgets
    assert "airflow-provider-runway" in manager.providers
    assert hook is not None
    assert (hook.hook_name, hook.connection_testable) == ("Runway (kie.ai)", True)
    assert behaviour["relabeling"] == CONNECTION_TYPE["ui-field-behaviour"]["relabeling"]
    assert {f"extra__runway__{name}" for name in FIELDS} <= set(widgets)
    assert not [str(warning.message) for warning in caught if "unway" in str(warning.message)]


@needs_installation
@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow 3.0 shows no form without WTForms, of no provider")
def test_the_ui_is_given_the_form() -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (form,) = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "runway"]
    assert form.hook_name == "Runway (kie.ai)"
    assert form.standard_fields is not None
    assert form.standard_fields.password is not None
    assert form.standard_fields.password.title == "API key"
    hidden = {name for name, field in form.standard_fields.model_dump().items() if field and field["hidden"]}
    assert hidden == {"url_schema", "port", "login"}
    assert set(form.extra_fields or {}) == set(FIELDS)
