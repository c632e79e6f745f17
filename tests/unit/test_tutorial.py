"""How the tutorial's page is read; that it can be followed is tried by ``make tutorial``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from airflow_provider_runway.links.addresses import GALLERY_TAB
from tests.harness.processes import HarnessError
from tests.pages import PAGES
from tests.tutorial import __main__ as tutorial
from tests.tutorial.__main__ import PAGE, PINS, Reader
from tests.tutorial.steps import Commands, File, is_said, steps

TEXT = """
```bash
cd here
```

Put this into `dags/a.py`:

```python
# dags/a.py
pass
```

<!-- terminal: second -->

```bash
serve
```

```text
ready
```

<!-- terminal: first -->
<!-- again -->

```bash
ask
```

```text
done
```

```bash
end
```
"""


def test_a_page_is_what_its_reader_does_in_order() -> None:
    assert steps(TEXT) == [
        Commands(2, "first", "cd here\n"),
        File(8, "dags/a.py", "# dags/a.py\npass\n"),
        Commands(15, "second", "serve\n", "ready\n"),
        Commands(26, "first", "ask\n", "done\n", again=True),
        Commands(34, "first", "end\n"),
    ]


@pytest.mark.parametrize("block", ["```python\npass\n```", "```text\nby nobody\n```", "```json\n{}\n```"])
def test_a_block_that_nobody_knows_what_to_do_with_is_an_error(block: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        steps(block)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("a one\nb two\n", True),
        ("x\na one\nx\nb two", True),
        ("b two\na one\n", False),
        ("a one b two\n", False),
    ],
)
def test_each_line_must_be_said_in_order(output: str, said: bool) -> None:
    assert is_said("one\ntwo\n", output) is said


def test_the_page_leaves_no_block_out_and_checks_what_each_terminal_says() -> None:
    found = steps(PAGES[PAGE])
    fences = len(re.findall(r"^```\w+$", PAGES[PAGE], re.MULTILINE))
    assert len(found) + sum(isinstance(step, Commands) and bool(step.says) for step in found) == fences
    commands = [step for step in found if isinstance(step, Commands)]
    assert {step.terminal for step in commands} == {"first", "simulator", "airflow"}
    # Without it, nothing would tell when a server is there, or when to stop asking.
    assert all(step.says for step in commands if step.terminal != "first" or step.again)


def test_the_page_installs_the_airflow_of_the_pins_and_shows_the_tab() -> None:
    (pinned,) = re.findall(r"^apache-airflow==(\S+)$", PINS.read_text(), re.MULTILINE)
    assert set(re.findall(r"apache-airflow==([\d.]+)|constraints-([\d.]+)/", PAGES[PAGE])) == {
        (pinned, ""),
        ("", pinned),
    }
    assert f"/plugin/{GALLERY_TAB}>" in PAGES[PAGE]


def test_nothing_is_changed_but_the_constraints_and_where_the_key_leads(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    reader = Reader(tmp_path_factory.mktemp("tutorial"), PINS)
    commands = [step for step in steps(PAGES[PAGE]) if isinstance(step, Commands)]
    changed = [step for step in commands if reader.adapted(step) != step.source]
    assert [("constraints" in step.source, step.with_a_key) for step in changed] == [
        (True, False),
        (False, True),
    ]
    constraints, key = (reader.adapted(step) for step in changed)
    assert f'CONSTRAINTS="{PINS}"' in constraints
    assert "127.0.0.1" in key


def followed(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    monkeypatch.setitem(PAGES, PAGE, page)
    monkeypatch.setattr(tutorial, "port_is_free", lambda port: True)
    monkeypatch.setattr(sys, "argv", ["tutorial", "--folder", str(tmp_path / "tutorial")])
    monkeypatch.setattr(tutorial, "PATIENCE", 5)
    monkeypatch.setattr(Reader, "look", lambda self: None)
    return tutorial.main()


@pytest.mark.parametrize(
    "page",
    [
        "```bash\nfalse\ntrue\n```\n",
        "```bash\nfalse | true\n```\n",
        "```bash\necho one\n```\n\n```text\ntwo\n```\n",
        "<!-- terminal: server -->\n```bash\nexit 3\n```\n\n```text\nready\n```\n",
        "<!-- again -->\n```bash\necho one\n```\n\n```text\ntwo\n```\n",
    ],
    ids=["a command", "a pipe", "what it says", "a server", "what it says in the end"],
)
def test_what_does_not_go_as_the_page_tells_is_an_exit_code(
    page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert followed(page, monkeypatch, tmp_path) == 1


def test_what_goes_as_the_page_tells_is_followed_to_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = """
```bash
cd ~
WORD=kept
mkdir -p first-video
```

```python
# said.txt
```

<!-- terminal: server -->

```bash
echo ready
sleep 60
```

```text
ready
```

<!-- terminal: first -->

```bash
cat first-video/said.txt
echo "$WORD" > done
```

```text
# said.txt
```
"""
    assert followed(page, monkeypatch, tmp_path) == 0
    assert (tmp_path / "tutorial" / "home" / "done").read_text() == "kept\n"


def test_no_video_in_the_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no video"):
        Reader(tmp_path, None).look()
