"""Builds a wheel and a source distribution of what git knows: ``python -m tests.wheel.build FOLDER``."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.harness.processes import REPOSITORY

_BUILD = """
import sys
import tempfile
from hatchling import build
build.build_wheel(sys.argv[1])
build.build_sdist(sys.argv[1])
"""


def build(folder: Path, out: Path | None = None) -> tuple[Path, Path]:
    """
    Build both from a copy of what git knows, as it is now, and return the wheel and the source distribution.

    :param folder: A new folder, for the copy.
    :param out: Where both go; ``None`` means a folder beside the copy.
    :raises subprocess.CalledProcessError: when this is no clone, or something cannot be built
    """
    known = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files", "-z"], capture_output=True, check=True)
    for name in filter(None, known.stdout.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            copy = folder / "copy" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((REPOSITORY / name).read_bytes())
    # Something of an editor's, which belongs into neither.
    (folder / "copy" / "notes.txt").write_text("not to be published")
    out = out or folder / "out"
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run([sys.executable, "-c", _BUILD, str(out)], cwd=folder / "copy", check=True, env=environment)
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, source


def sha256(file: Path) -> str:
    """Return a file's SHA-256, in hexadecimal digits."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as copy:
        build(Path(copy), Path(sys.argv[1]).resolve())
