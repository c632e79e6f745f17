"""Lets the README lead to the documentation's site where an index of packages shows it.

There its paths would lead nowhere, so the package's metadata gets it with addresses in their place; the file
itself stays as it is for those who read it in a clone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: A path in the repository, and where the site has it.
PLACES = (
    (r"docs/images/(.+)", r"_images/\1"),
    (r"docs/(\w+)\.md", r"\1.html"),
    (r"example_dags/(\w+)\.py", r"reference/examples.html#\1"),
    (r"example_dags", "reference/examples.html"),
    (r"(CHANGELOG|CONTRIBUTING|SECURITY)\.md", r"reference/\1.html"),
)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(#[^)]+)?\)")


class ReadmeHook(MetadataHookInterface):
    """Called by hatchling, whatever it builds."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README to what pyproject.toml says of the package."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        site = metadata["urls"]["Documentation"]
        metadata["readme"] = {"content-type": "text/markdown", "text": with_addresses(text, site)}


def with_addresses(text: str, site: str) -> str:
    """
    Return a page with addresses in the place of paths.

    :param text: The page, in Markdown.
    :param site: The documentation's address, with a slash at its end.
    :raises ValueError: when the site has nothing for a path
    """
    return LINK.sub(lambda link: f"]({site}{_place(link[1])}{link[2] or ''})", text)


def _place(path: str) -> str:
    for pattern, place in PLACES:
        if found := re.fullmatch(pattern, path):
            page, _, anchor = found.expand(place).partition("#")
            page = page if page.startswith("_images/") else page.lower()
            # An anchor on the site has no underscores.
            return f"{page}#{anchor.replace('_', '-')}" if anchor else page
    raise ValueError(f"README.md leads to {path}, which the documentation's site does not have")
