"""The connection form for an Airflow before 3.2, which asks the hook class for it.

It is built from the provider info, which later versions read themselves, so the form is described once.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_runway.get_provider_info import get_provider_info


def form_behaviour() -> dict[str, Any]:
    """Return how the standard fields are shown: which are hidden, their labels and placeholders."""
    behaviour = _connection_type()["ui-field-behaviour"]
    return {name.replace("-", "_"): value for name, value in behaviour.items()}


def form_widgets() -> dict[str, Any]:
    """Return the form's extra fields by name, as WTForms fields."""
    return {name: _widget(field) for name, field in _connection_type()["conn-fields"].items()}


def _connection_type() -> dict[str, Any]:
    (connection_type,) = get_provider_info()["connection-types"]
    return dict(connection_type)


def _widget(field: dict[str, Any]) -> Any:
    from flask_appbuilder.fieldwidgets import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        BS3PasswordFieldWidget,
        BS3TextFieldWidget,
    )
    from wtforms import (  # type: ignore[import-untyped,unused-ignore]
        BooleanField,
        IntegerField,
        PasswordField,
        StringField,
    )
    from wtforms.validators import Optional, any_of  # type: ignore[import-untyped,unused-ignore]

    schema = field["schema"]
    # All connection types share one form: a field left empty must not keep another type from being saved.
    validators = [Optional()]
    if "enum" in schema:
        validators.append(any_of(schema["enum"]))
    if schema.get("format") == "password":
        field_class, widget = PasswordField, BS3PasswordFieldWidget()
    elif "boolean" in schema["type"]:
        return BooleanField(field["label"], description=field["description"])
    elif "number" in schema["type"]:
        field_class, widget = IntegerField, BS3TextFieldWidget()
    else:
        field_class, widget = StringField, BS3TextFieldWidget()
    return field_class(
        field["label"],
        validators=validators,
        description=field["description"],
        default=schema.get("default"),
        widget=widget,
    )
