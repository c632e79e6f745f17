"""How Sphinx makes the site of these pages: ``make docs``."""

from __future__ import annotations

import inspect
import re
import sys
from functools import cached_property
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
html_static_path = ["_static"]
html_css_files = ["site.css"]
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
        r"AirflowFailException|BaseOperator|XComArg|RunwaySession|airflow_provider_runway\.(waiting|api\.answers)\..*",
    ),
]

EXAMPLES = re.compile(r"\]\(\.\./example_dags(?:/(\w+)\.py)?\)")
THEMED = re.compile(r"(!\[[^\]]*\]\(images/\w+_)(light|dark)(\.png\))")
ERROR = re.compile(r"(:raises |:class:`)(Runway\w+Error)\b")
#: What is public for Airflow's sake or this package's own.
NOT_CALLED = {
    *("RunwaySettings", "RunwayVideoLink", "RunwayLogsLink"),
    *("get_ui_field_behaviour", "get_connection_form_widgets", "get_connection", "prepare"),
    *("is_outdated", "config", "run", "session", "serialize", "deserialize"),
}
#: What lies beside the README.
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
#: Written for Sphinx to read, and git-ignored.
WRITTEN = HERE / "reference"


def write_pages(app: Any) -> None:
    """Write the pages of the reference, of the example DAGs, and those beside the README."""
    pages = {title: _reference_page(title) for title in reference.PUBLIC} | {"examples": _examples()}
    for name in ROOT_PAGES:
        pages[name.removesuffix(".md").lower()] = (REPOSITORY / name).read_text().replace("](docs/", "](../")
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
            members = f"\n   :members: {', '.join(found)}" if (found := _members(subject)) else ""
            inheritance = "\n   :show-inheritance:" if issubclass(subject, Exception) else ""
            blocks.append(f".. autoclass:: {name}{members}{inheritance}")
        else:
            blocks.append(f".. autofunction:: {name}")
    return f"# {title}\n\n```{{eval-rst}}\n" + "\n\n".join(blocks) + "\n```\n"


def _members(kind: type) -> list[str]:
    """Return what a DAG's author calls; of an operator or a trigger, whose methods Airflow calls, nothing."""
    if hasattr(kind, "execute") or hasattr(kind, "serialize") or kind.__name__ in NOT_CALLED:
        return []
    ours = [base for base in kind.__mro__ if base.__module__.startswith(reference.ROOT)]
    return [
        name
        for base in ours
        for name, value in vars(base).items()
        if not name.startswith("_")
        and name not in NOT_CALLED
        and (
            callable(value)
            or inspect.isdatadescriptor(value)
            or isinstance(value, classmethod | staticmethod | cached_property)
        )
    ]


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
    if name == "connection":
        source[0] = f"(howto/connection:runway)=\n{source[0]}"


def tell_parameters(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Let a class tell what it takes, with what its bases take, and the type and default of each."""
    takers = list(reference.takers(subject)) if what == "class" else []
    # A class that takes what its base takes need not tell it again.
    if takers and takers[0][1] is subject and (parameters := reference.parameters(subject)):
        own, *passed_on_to = [reference.Docstring.of(source) for _, source in takers]
        fields = [line for entry in parameters.values() for line in _field(*entry)]
        # They stand together here.
        prose = [line for line in own.prose if not line.startswith("Further arguments are")]
        # A base's first sentence says what it is, which the class has said of itself.
        prose += [line for source in passed_on_to for line in source.prose[1:]]
        others = [line for source in (own, *passed_on_to) for line in source.others]
        lines[:] = [*prose, "", *fields, *others, ""]
    if what == "class" and name.startswith(f"{reference.ROOT}.exceptions."):
        entry = name.rpartition(".")[2].lower()
        lines += ["", f"`What was charged, and what to do <../errors.html#{entry}>`__", ""]
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
