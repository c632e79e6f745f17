"""Make a release and stop before it is published: ``python -m tests.wheel.release 0.2.0 [--dry-run]``.

All is done in a new clone: the version and the changelog are written, what must pass is run, and a commit, a
tag and the distributions are made. Only when all of it went well does this clone get them. A dry run ends
before that; so does a release that fails, which therefore leaves nothing behind.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from tests.harness.processes import REPOSITORY, clean_environment
from tests.matrix.cells import interpreter
from tests.matrix.table import whole
from tests.wheel.build import sha256

#: What must pass in the clone, each a command of the Makefile. The other tests are those of each change.
CHECKS = ("lint", "docs", "test", "coverage", "check-wheel")
#: What uploads; ``make venv-release`` makes it.
TWINE = ".venv-release/bin/python -m twine"
_VERSION_FILE = "airflow_provider_runway/__init__.py"
_VERSION_LINE = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_UNRELEASED = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)


class ReleaseError(Exception):
    """There can be no release; the text says why, and what to do."""


def main() -> int:
    """Make a release as the command line says, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.wheel.release", description=__doc__)
    parser.add_argument("version", help="MAJOR.MINOR.PATCH")
    parser.add_argument("--dry-run", action="store_true", help="change nothing here")
    parser.add_argument(
        "--without-checks", action="store_true", help="of a dry run: leave out what takes minutes"
    )
    asked = parser.parse_args()
    if asked.without_checks and not asked.dry_run:
        parser.error("--without-checks is for a dry run")
    today = datetime.now(timezone.utc).date().isoformat()
    try:
        release(
            asked.version,
            today=today,
            dry_run=asked.dry_run,
            checks=() if asked.without_checks else CHECKS,
        )
    except ReleaseError as error:
        print(f"No release: {error}", file=sys.stderr)
        return 1
    return 0


def release(
    version: str,
    *,
    today: str,
    dry_run: bool,
    checks: tuple[str, ...] = CHECKS,
    check: Callable[[Path, str], None] | None = None,
    repository: Path = REPOSITORY,
) -> None:
    """
    Make a release.

    :param version: ``MAJOR.MINOR.PATCH``.
    :param today: The date of the release, ``YYYY-MM-DD``.
    :param dry_run: Whether the repository is to stay as it is.
    :param checks: What must pass, of :data:`CHECKS`.
    :param check: Makes one check in a clone; ``None`` means by ``make``.
    :param repository: The clone that is to get the commit, the tag and ``dist``.
    :raises ReleaseError: when there can be none; nothing was changed then
    """
    _refuse(version, repository)
    with tempfile.TemporaryDirectory(prefix="runway-release-") as folder:
        clone = Path(folder) / "clone"
        _run(repository, "git", "clone", "--quiet", "--branch", "main", str(repository), str(clone))
        _write(clone, version, today)
        for name in checks:
            print(f"== make {name}", flush=True)
            (check or _make)(clone, name)
        _commit(clone, version, repository)
        _run(clone, sys.executable, "-m", "tests.wheel.build", "dist")
        built = sorted((clone / "dist").iterdir())
        sums = "".join(f"{sha256(file)}  {file.name}\n" for file in built)
        (clone / "dist" / "SHA256SUMS").write_text(sums)
        print(f"\n{_git(clone, 'show', '--stat', '--format=%h %s', 'HEAD')}\n\n{sums}", flush=True)
        if set(checks) < set(CHECKS):
            print(f"NOT CHECKED: {', '.join(name for name in CHECKS if name not in checks)}.")
        print("Of each change, not of a release: `.ci/run`. By hand: `make test-matrix`, `make chaos`.")
        if dry_run:
            print("This was a dry run: nothing has changed here.")
            _remind(repository)
            return
        _take(clone, version, repository)
    names = " ".join(f"dist/{file.name}" for file in built)
    print(
        f"This clone has the commit, the tag v{version} and dist/. Nothing is published yet. To do that:\n"
        f"    git push origin main v{version}\n"
        f"    {TWINE} upload {names}"
    )
    _remind(repository)


def _remind(repository: Path) -> None:
    """Say what a person has to do before the upload, as long as it is not done."""
    told = (repository / "pyproject.toml").read_text()
    todo = [f"[project.urls] has no {name}." for name in ("Source", "Issues") if f"\n{name} = " not in told]
    installed_from_a_clone = "No version is on a package index yet"
    todo += [
        f"docs/{page.name} says: {installed_from_a_clone!r}."
        for page in sorted((repository / "docs").glob("*.md"))
        if installed_from_a_clone in page.read_text()
    ]
    if todo:
        print("\nBefore the upload:\n" + "\n".join(f"    {line}" for line in todo))


def _refuse(version: str, repository: Path) -> None:
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise ReleaseError(f"{version} is no MAJOR.MINOR.PATCH.")
    if (branch := _git(repository, "rev-parse", "--abbrev-ref", "HEAD")) != "main":
        raise ReleaseError(f"this is the branch {branch}; releases are made of main.")
    if changed := _git(repository, "status", "--porcelain"):
        raise ReleaseError(f"there are changes that are not committed:\n{changed}")
    tags = re.findall(r"^v(\d+)\.(\d+)\.(\d+)$", _git(repository, "tag"), re.MULTILINE)
    if not tags:
        # The first one has the version that the package was given at its beginning.
        allowed = _VERSION_LINE.findall((repository / _VERSION_FILE).read_text())
    else:
        major, minor, patch = max(tuple(map(int, tag)) for tag in tags)
        allowed = [f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0"]
    if version not in allowed:
        raise ReleaseError(f"{version} cannot be the next version; {', '.join(allowed)} can.")
    if not any(interpreter(python) for python in ("3.10", "3.11", "3.12")):
        raise ReleaseError("`make check-wheel` needs Python 3.10, 3.11 or 3.12, for Airflow 2.11.")
    if not whole((repository / "README.md").read_text()):
        raise ReleaseError("README.md has no whole table of versions: `make test-matrix FLAGS=--write-docs`.")
    changes = _UNRELEASED.search((repository / "CHANGELOG.md").read_text())
    if not changes or not changes[1].strip():
        raise ReleaseError(
            "CHANGELOG.md has nothing below a heading `## Unreleased`. Say there what has changed."
        )


def _write(clone: Path, version: str, today: str) -> None:
    file = clone / _VERSION_FILE
    file.write_text(_VERSION_LINE.sub(f'__version__ = "{version}"', file.read_text(), count=1))
    log = clone / "CHANGELOG.md"
    log.write_text(log.read_text().replace("## Unreleased\n", f"## {version} ({today})\n", 1))


def _commit(clone: Path, version: str, repository: Path) -> None:
    for key in ("user.name", "user.email"):
        if value := _git(repository, "config", "--default", "", key):
            _git(clone, "config", key, value)
    _git(clone, "commit", "--quiet", "--all", "--message", f"Release {version}")
    _git(clone, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")


def _take(clone: Path, version: str, repository: Path) -> None:
    """Let the repository have what was made in the clone, if it has stayed as it was."""
    tag = f"refs/tags/v{version}:refs/tags/v{version}"
    _git(repository, "fetch", "--quiet", str(clone), "main")
    _git(repository, "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    _git(repository, "fetch", "--quiet", str(clone), tag)
    shutil.rmtree(repository / "dist", ignore_errors=True)
    shutil.copytree(clone / "dist", repository / "dist")


def _make(clone: Path, name: str) -> None:
    _run(clone, "make", "--no-print-directory", name)


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ReleaseError(f"`git {' '.join(arguments)}`: {ended.stderr.strip()}")
    return ended.stdout.strip()


def _run(folder: Path, *command: str) -> None:
    environment = {**clean_environment(with_repository=False), "PYTHONPATH": str(folder)}
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    if code:
        raise ReleaseError(f"`{' '.join(command)}` ended with exit code {code}.")


if __name__ == "__main__":
    sys.exit(main())
