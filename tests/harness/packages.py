"""Debian's packages, for the servers that a run needs beside Python's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import TypeVar

from tests.harness.processes import HarnessError

T = TypeVar("T")


def find_installed(package: str, programs: str, look: Callable[[], T | None]) -> T:
    """Return what a package brings, installing it where root may.

    :param package: its name at Debian
    :param programs: what is looked for, for the error's text
    :param look: returns it, or ``None`` where it is not there
    :raises HarnessError: when it is not there; with what to install
    """
    found = look()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"Installing Debian's package {package} ...", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(
                ["apt-get", "-qq", *command], env=environment, check=False, stdout=subprocess.DEVNULL
            )
        found = look()
    if found is None:
        raise HarnessError(
            f"{programs} is needed, and not found. On Debian and Ubuntu, as root:\n"
            f"    apt-get install {package}"
        )
    return found
