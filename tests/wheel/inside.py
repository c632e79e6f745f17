"""Run by the environment with the wheel: loads what is public, and sees where it comes from.

``inside.py REPOSITORY MODULE.NAME...`` ends with an error if something is missing, or
comes from the repository. Nothing of this repository can be imported here.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import airflow_provider_runway

repository, *names = sys.argv[1:]
# This file's own folder was put there by the interpreter.
searched = [Path(folder or ".").resolve() for folder in sys.path[1:]]
assert not [folder for folder in searched if folder.is_relative_to(repository)], searched
home = Path(airflow_provider_runway.__file__).resolve()
assert home.is_relative_to(Path(sys.prefix).resolve() / "lib"), home
for name in names:
    module, _, attribute = name.rpartition(".")
    getattr(importlib.import_module(module), attribute)
print(f"{len(names)} public classes and functions loaded from {home.parent}")
