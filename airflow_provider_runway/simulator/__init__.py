"""A local kie.ai for demos, tests and a user's own CI: nothing leaves the machine and nothing is paid.

The names are loaded on first use, because the package's pytest plugin is imported by every pytest run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_runway.simulator.faults import Fault
    from airflow_provider_runway.simulator.server import Simulator
    from airflow_provider_runway.simulator.settings import Settings

__all__ = ["Fault", "Settings", "Simulator"]

_HOMES = {"Fault": "faults", "Settings": "settings", "Simulator": "server"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
