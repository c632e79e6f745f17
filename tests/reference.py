"""What is public of the package, and what it takes, read off signatures and docstrings.

The tests compare the two, and ``docs/conf.py`` makes the pages of the reference of them.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    found: dict[str, Any] = {}
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


@dataclass(frozen=True)
class Docstring:
    """
    A docstring, taken apart.

    :param prose: its lines that belong to no field
    :param parameters: what it says of each parameter, line by line
    :param others: the lines of its other fields, such as ``:raises``
    """

    prose: list[str]
    parameters: dict[str, list[str]]
    others: list[str]

    @classmethod
    def of(cls, subject: Any) -> Docstring:
        """Read the docstring of a class or a function."""
        read = cls([], {}, [])
        into = read.prose
        for line in inspect.cleandoc(subject.__doc__ or "").splitlines():
            if match := re.match(r":param (\w+): *(.*)", line):
                into = read.parameters.setdefault(match[1], [])
                into.append(match[2])
                continue
            if line.startswith(":"):
                into = read.others
            elif line and not line.startswith(" "):
                into = read.prose
            into.append(line)
        for said in read.parameters.values():
            while not said[-1]:
                said.pop()
        return read


def parameters(subject: Any) -> dict[str, tuple[inspect.Parameter, list[str]]]:
    """
    Return what a class or a function takes, and what its docstring says of each.

    What a class only passes on, by ``**kwargs``, is what its base in this package takes. What it takes as its
    base does may be documented there.
    """
    family = subject.__mro__ if isinstance(subject, type) else [subject]
    texts = [Docstring.of(kind).parameters for kind in family if kind.__module__.startswith(ROOT)]
    found: dict[str, tuple[inspect.Parameter, list[str]]] = {}
    for taker, _ in takers(subject):
        for parameter in inspect.signature(taker).parameters.values():
            said = next((text[parameter.name] for text in texts if parameter.name in text), [])
            if parameter.name != "self" and (parameter.kind is not parameter.VAR_KEYWORD or said):
                found.setdefault(parameter.name, (parameter, said))
    return found


def takers(subject: Any) -> Iterator[tuple[Callable[..., Any], Any]]:
    """Yield what takes the arguments and what documents them: a class, and those that it passes them to."""
    if not isinstance(subject, type):
        yield subject, subject
        return
    for kind in subject.__mro__:
        if kind.__module__.startswith(ROOT) and "__init__" in vars(kind):
            taker = vars(kind)["__init__"]
            yield taker, kind
            if all(one.kind is not one.VAR_KEYWORD for one in inspect.signature(taker).parameters.values()):
                return
