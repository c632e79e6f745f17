"""A release is made in a clone of its own, and changes nothing here unless all went well."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from airflow_provider_runway import __version__
from tests.pages import REPOSITORY
from tests.wheel import release as releasing
from tests.wheel.build import sha256
from tests.wheel.release import CHECKS, ReleaseError, release

pytest.importorskip("hatchling", reason="what builds the package is not installed")

TODAY = "2031-02-03"
NEXT = "0.2.0"
CHANGES = "- Videos can be longer."


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@example.com", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(repository: Path) -> None:
    git(repository, "add", "--all", "--force")
    git(repository, "commit", "--quiet", "--message", "Change something")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository as this one, of which 0.1.0 was released, and something has changed since."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("this is no clone, so nobody knows what belongs to it")
    repository = tmp_path / "repository"
    for name in git(REPOSITORY, "ls-files", "-z").split("\0"):
        if name and (REPOSITORY / name).is_file():
            copy = repository / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((REPOSITORY / name).read_bytes())
    (repository / "airflow_provider_runway" / "__init__.py").write_text(
        (REPOSITORY / "airflow_provider_runway" / "__init__.py")
        .read_text()
        .replace(f'__version__ = "{__version__}"', '__version__ = "0.1.0"')
    )
    write_changes(repository, f"## Unreleased\n\n{CHANGES}\n\n## 0.1.0 (2031-01-02)\n\nThe first version.\n")
    write_table(repository, "passed: 12 unit")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(repository))
    git(repository, "config", "user.name", "Somebody")
    git(repository, "config", "user.email", "somebody@example.com")
    commit(repository)
    git(repository, "tag", "v0.1.0")
    return repository


def write_table(repository: Path, outcome: str) -> None:
    """Let the README say of each version that this was the outcome of its tests."""
    readme = repository / "README.md"
    begin, end = "<!-- matrix -->", "<!-- end of matrix -->"
    before, _, rest = readme.read_text().partition(begin)
    table = f"| Airflow | Python | a | b |\n|---|---|---|---|\n| 3.3.2 | 3.11 | {outcome} | {outcome} |"
    readme.write_text(f"{before}{begin}\n\n{table}\n\n{end}{rest.partition(end)[2]}")


def write_changes(repository: Path, text: str) -> None:
    (repository / "CHANGELOG.md").write_text(f"# Changelog\n\n{text}")


def state(repository: Path) -> tuple[str, ...]:
    seen = git(repository, "show-ref"), git(repository, "status", "--porcelain", "--ignored")
    return (*seen, *(str(path) for path in sorted(repository.iterdir())))


def test_a_release_gives_the_clone_a_commit_a_tag_and_distributions(repository: Path) -> None:
    made = []

    def check(clone: Path, name: str) -> None:
        # What is checked is what will be released.
        assert f'__version__ = "{NEXT}"' in (clone / "airflow_provider_runway" / "__init__.py").read_text()
        assert clone != repository
        made.append(name)

    release(NEXT, today=TODAY, dry_run=False, check=check, repository=repository)
    assert tuple(made) == CHECKS
    assert git(repository, "log", "-1", "--format=%s %an") == f"Release {NEXT} Somebody"
    assert git(repository, "rev-parse", f"v{NEXT}^{{commit}}") == git(repository, "rev-parse", "main")
    assert git(repository, "status", "--porcelain") == ""
    changelog = (repository / "CHANGELOG.md").read_text()
    assert changelog.startswith(f"# Changelog\n\n## {NEXT} ({TODAY})\n\n{CHANGES}\n\n## 0.1.0 (2031-01-02)")
    lines = (repository / "dist" / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {f"airflow_provider_runway-{NEXT}-py3-none-any.whl", f"airflow_provider_runway-{NEXT}.tar.gz"}
    assert sums.keys() == files
    assert {name: sha256(repository / "dist" / name) for name in files} == sums


def test_a_dry_run_changes_nothing(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = state(repository)
    release(NEXT, today=TODAY, dry_run=True, checks=(), repository=repository)
    assert state(repository) == before
    said = capfd.readouterr().out
    assert f"airflow_provider_runway-{NEXT}-py3-none-any.whl" in said
    assert f"NOT CHECKED: {', '.join(CHECKS)}" in said


def test_what_uploads_is_made_together_with_a_release() -> None:
    environment = releasing.TWINE.partition("/")[0]
    rule = next(
        line for line in (REPOSITORY / "Makefile").read_text().splitlines() if line.startswith("release:")
    )
    assert environment.removeprefix(".") in rule.partition("##")[0].split()


def test_what_a_person_has_to_do_before_the_upload_is_said(
    repository: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = repository / "pyproject.toml"
    without = project.read_text()
    urls = 'Source = "https://example.com/code"\nIssues = "https://example.com/code/issues"\n'
    page = repository / "docs" / "install.md"
    for metadata, text, said in (
        (without, "No version is on a package index yet.", True),
        (without.replace("[project.urls]\n", f"[project.urls]\n{urls}"), "pip install it.", False),
    ):
        project.write_text(metadata)
        page.write_text(text)
        releasing._remind(repository)
        printed = capfd.readouterr().out
        assert ("[project.urls] has no Source" in printed) == said
        assert ("docs/install.md says" in printed) == said


def test_what_fails_a_check_changes_nothing(repository: Path) -> None:
    before = state(repository)

    def check(clone: Path, name: str) -> None:
        if name == CHECKS[-1]:
            raise ReleaseError("it does not work")

    with pytest.raises(ReleaseError, match="it does not work"):
        release(NEXT, today=TODAY, dry_run=False, check=check, repository=repository)
    assert state(repository) == before


def test_a_release_beside_which_somebody_committed_is_not_taken(repository: Path) -> None:
    def check(clone: Path, name: str) -> None:
        (repository / "new.txt").write_text(name)
        commit(repository)

    with pytest.raises(ReleaseError, match="git merge"):
        release(NEXT, today=TODAY, dry_run=False, checks=("lint",), check=check, repository=repository)
    assert git(repository, "tag") == "v0.1.0"


@pytest.mark.parametrize("version", ["0.1.1", "0.2.0", "1.0.0"])
def test_the_next_versions_are_taken(repository: Path, version: str) -> None:
    releasing._refuse(version, repository)


@pytest.mark.parametrize(
    "version", ["0.1.0", "0.0.9", "0.1.2", "0.3.0", "0.2.1", "1.1.0", "v0.2.0", "0.2", "0.2.0rc1", "0.02.0"]
)
def test_no_other_version_is_taken(repository: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match=version):
        release(version, today=TODAY, dry_run=False, repository=repository)


def test_the_first_release_has_the_version_of_the_package(repository: Path) -> None:
    git(repository, "tag", "--delete", "v0.1.0")
    with pytest.raises(ReleaseError, match=r"0\.1\.0 can"):
        release(NEXT, today=TODAY, dry_run=False, repository=repository)
    releasing._refuse("0.1.0", repository)


def test_a_tag_that_exists_is_not_used_again(repository: Path) -> None:
    git(repository, "tag", f"v{NEXT}")
    with pytest.raises(ReleaseError, match=f"{NEXT} cannot be the next version"):
        release(NEXT, today=TODAY, dry_run=True, repository=repository)


@pytest.mark.parametrize("name", ["README.md", "new.txt"])
def test_a_tree_with_changes_is_refused(repository: Path, name: str) -> None:
    (repository / name).write_text("half a thought")
    with pytest.raises(ReleaseError, match=name):
        release(NEXT, today=TODAY, dry_run=True, repository=repository)


def test_another_branch_is_refused(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    with pytest.raises(ReleaseError, match="other"):
        release(NEXT, today=TODAY, dry_run=True, repository=repository)


def test_a_release_that_was_not_tested_on_every_version_is_refused(repository: Path) -> None:
    write_table(repository, "not run")
    commit(repository)
    with pytest.raises(ReleaseError, match="make test-matrix"):
        release(NEXT, today=TODAY, dry_run=True, repository=repository)


@pytest.mark.parametrize("text", ["", "## Unreleased\n\n"])
def test_a_release_without_a_word_about_it_is_refused(repository: Path, text: str) -> None:
    write_changes(repository, f"{text}## 0.1.0 (2031-01-02)\n\nThe first version.\n")
    commit(repository)
    with pytest.raises(ReleaseError, match=r"CHANGELOG\.md"):
        release(NEXT, today=TODAY, dry_run=True, repository=repository)


def test_the_changelog_has_what_was_released_last_or_is_to_be() -> None:
    first = next(
        line for line in (REPOSITORY / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    )
    assert first == "## Unreleased" or first.startswith(f"## {__version__} (")
