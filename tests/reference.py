"""What is public of the package, and what it takes, read off signatures and docstrings.

The tests compare the two, and ``docs/conf.py`` makes the pages of the reference of them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

ROOT = "airflow_provider_runway"
#: Each page of the reference, by its title: what is on it. One name of a class, or several of a kind.
PUBLIC: dict[str, list[str]] = {
    "RunwayGenerateOperator": ["operators.runway.RunwayGenerateOperator"],
    "RunwayExtendOperator": ["operators.runway.RunwayExtendOperator"],
    "RunwayAlephOperator": ["operators.runway.RunwayAlephOperator"],
    "RunwayDownloadOperator": ["operators.runway.RunwayDownloadOperator"],
    "RunwayUploadOperator": ["operators.runway.RunwayUploadOperator"],
    "runway_sequence": ["operators.sequence.runway_sequence"],
    "RunwayTaskSensor": ["sensors.runway.RunwayTaskSensor"],
    "RunwayTaskTrigger": ["triggers.runway.RunwayTaskTrigger"],
    "RunwayFinishedTrigger": ["assets.finished.RunwayFinishedTrigger", "assets.finished.watch_task"],
    "RunwayHook": ["hooks.runway.RunwayHook", "hooks.connection.RunwaySettings", "files.keeping.Kept"],
    "RunwayAsyncHook": ["hooks.runway.RunwayAsyncHook"],
    "Requests": ["api.requests.GenerateVideo", "api.requests.ExtendVideo", "api.requests.GenerateAlephVideo"],
    "RunwayTask": ["api.tasks.RunwayTask", "api.tasks.TaskState"],
    "Callbacks": ["api.callbacks.read_callback", "api.callbacks.RunwayCallback"],
    "RunwayRetryPolicy": ["retries.RunwayRetryPolicy"],
    "Links": ["links.runway.RunwayVideoLink", "links.runway.RunwayLogsLink"],
    "Simulator": [
        "simulator.Simulator",
        "simulator.Settings",
        "simulator.Fault",
        "simulator.server.PortInUseError",
    ],
    "Exceptions": ["exceptions"],
}


def public(page: str) -> dict[str, Any]:
    """Return what is on a page of the reference, by its full name."""
    found = {}
    for name in PUBLIC[page]:
        module, _, attribute = f"{ROOT}.{name}".rpartition(".")
        subject = getattr(importlib.import_module(module), attribute)
        if inspect.ismodule(subject):
            found |= {
                f"{subject.__name__}.{key}": value
                for key, value in vars(subject).items()
                if isinstance(value, type) and value.__module__ == subject.__name__
            }
        else:
            found[f"{ROOT}.{name}"] = subject
    return found


def documented(subject: Any) -> dict[str, str]:
    """Return the parameters that a docstring names, and what it says of each."""
    text = inspect.cleandoc(subject.__doc__ or "")
    parts = re.split(r"^:param (\w+):|^:\w+[^:]*:|^$", text, flags=re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in zip(parts[1::2], parts[2::2], strict=True) if name}


def parameters(subject: Any) -> dict[str, tuple[inspect.Parameter, str]]:
    """
    Return what a class or a function takes, and what its docstring says of each.

    What a class only passes on, by ``**kwargs``, is what its base in this package takes.
    """
    found: dict[str, tuple[inspect.Parameter, str]] = {}
    for taker, source in _takers(subject):
        said = documented(source)
        for parameter in inspect.signature(taker).parameters.values():
            if parameter.name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                found.setdefault(parameter.name, (parameter, said.get(parameter.name, "")))
    return found


def _takers(subject: Any) -> Iterator[tuple[Callable[..., Any], Any]]:
    if not isinstance(subject, type):
        yield subject, subject
        return
    for kind in subject.__mro__:
        if kind.__module__.startswith(ROOT) and "__init__" in vars(kind):
            taker = kind.__init__
            yield taker, kind
            if all(one.kind is not one.VAR_KEYWORD for one in inspect.signature(taker).parameters.values()):
                return
