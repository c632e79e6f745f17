"""How Sphinx makes the site of these pages: ``make docs``."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
sys.path.insert(0, str(REPOSITORY))

from airflow_provider_runway import DOCS_URL, __version__  # noqa: E402
from tests import reference  # noqa: E402

project = "Runway for Apache Airflow"
copyright = "its authors; Apache-2.0"
version = release = __version__
html_title = f"{project} {version}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_show_sourcelink = False
html_baseurl = DOCS_URL

# The pages are plain Markdown, whose links to headings are those of a code host.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
# Nothing is asked of the network: what other projects document is named, and not linked.
nitpick_ignore_regex = [
    ("py:.*", r"(airflow|aiohttp|requests|tenacity|collections|datetime|pathlib|typing|re|os|ssl|abc)\..*"),
    ("py:class", r"[a-z]+|None|Any|Callable|Iterator|AsyncIterator|Mapping|Sequence|Path"),
    ("py:exc", r"(Value|Type)Error"),
    (
        "py:class",
        r"AirflowFailException|BaseOperator|RunwaySession|airflow_provider_runway\.(waiting|api\.answers)\..*",
    ),
]

EXAMPLES = re.compile(r"\]\(\.\./example_dags(?:/(\w+)\.py)?\)")
THEMED = re.compile(r"(!\[[^\]]*\]\(images/\w+_)(light|dark)(\.png\))")
ERROR = re.compile(r"(:raises |:class:`)(Runway\w+Error)\b")
#: Written for Sphinx to read, and git-ignored.
WRITTEN = HERE / "reference"


def write_pages(app: Any) -> None:
    """Write the pages of the reference and of the example DAGs."""
    pages = {title: _reference_page(title) for title in reference.PUBLIC} | {"examples": _examples()}
    WRITTEN.mkdir(exist_ok=True)
    for name, text in pages.items():
        file = WRITTEN / f"{name}.md"
        # What has not changed is not read again.
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    for file in WRITTEN.iterdir():
        if file.stem not in pages:
            file.unlink()


def _reference_page(title: str) -> str:
    blocks = []
    for name, subject in reference.public(title).items():
        if isinstance(subject, type):
            # Airflow calls the methods of an operator; a DAG's author sees its arguments.
            members = "" if hasattr(subject, "execute") or hasattr(subject, "serialize") else "\n   :members:"
            blocks.append(f".. autoclass:: {name}{members}")
        else:
            blocks.append(f".. autofunction:: {name}")
    return f"# {title}\n\n```{{eval-rst}}\n" + "\n\n".join(blocks) + "\n```\n"


def _examples() -> str:
    text = "# Example DAGs\n\nEach is complete, to copy and to change.\n"
    for file in sorted((REPOSITORY / "example_dags").glob("*.py")):
        text += f"\n## {file.stem}\n\n```{{literalinclude}} ../../example_dags/{file.name}\n```\n"
    return text


def adapt_source(app: Any, name: str, source: list[str]) -> None:
    """Lead links to where they lead on the site, and show the pictures that fit the reader's theme."""
    page = "reference/examples.md"
    source[0] = EXAMPLES.sub(lambda link: f"]({page}#{link[1]})" if link[1] else f"]({page})", source[0])
    source[0] = THEMED.sub(r"\1light\3{.only-light} \1dark\3{.only-dark}", source[0])
    if name == "index":
        # Pages that are still to be written.
        source[0] = re.sub(
            r"^[a-z]+\n",
            lambda line: line[0] if (HERE / f"{line[0].strip()}.md").exists() else "",
            source[0],
            flags=re.MULTILINE,
        )
    if name == "connection":
        source[0] = f"(howto/connection:runway)=\n{source[0]}"


def tell_parameters(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Let a class tell what it takes, with what its bases take, and the type and default of each."""
    if what == "class":
        sources = [reference.Docstring.of(source) for _, source in reference.takers(subject)]
        if any(source.parameters for source in sources):
            fields = [line for entry in reference.parameters(subject).values() for line in _field(*entry)]
            own, *passed_on_to = sources
            # They stand together here.
            prose = [line for line in own.prose if not line.startswith("Further arguments are")]
            # A base's first sentence says what it is, which the class has said of itself.
            prose += [line for source in passed_on_to for line in source.prose[1:]]
            lines[:] = [*prose, "", *fields, *(line for source in sources for line in source.others), ""]
    lines[:] = [ERROR.sub(r"\1~airflow_provider_runway.exceptions.\2", line) for line in lines]


def _field(parameter: inspect.Parameter, said: list[str]) -> list[str]:
    first, *more = said
    lines = [f":param {parameter.name}: {first}", *more]
    # Some depend, and say so themselves.
    if parameter.default is not parameter.empty and "default" not in " ".join(said).lower():
        default = f"Default: ``{parameter.default!r}``.".replace("``<factory>``", "empty")
        if lines[-1].lstrip().startswith("*"):
            lines += ["", f"    {default}"]
        else:
            lines[-1] += f" {default}"
    return [*lines, f":type {parameter.name}: {parameter.annotation}"]


def setup(app: Any) -> None:
    """Let Sphinx call the above."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", adapt_source)
    app.connect("autodoc-process-docstring", tell_parameters)
