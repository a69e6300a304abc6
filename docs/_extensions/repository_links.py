"""Links that work both in the repository and on the site.

Pages link to files by their path in the repository, such as `../README.md`. Where a page of the site includes that
file, the link leads to that page instead. Links in an included file are relative to that file; here they become
relative to the page that includes it.
"""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r"(\[[^\]]*\]\()([^()\s#]+)((?:#[^()\s]*)?\))")
_INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _on_page)
    app.connect("include-read", _on_included_file)
    return {"parallel_read_safe": True}


@cache
def included(docs: Path) -> Mapping[Path, Path]:
    """The pages that include a file of the repository, by that file."""
    found = {}
    for page in docs.rglob("*.md"):
        for name in _INCLUDE.findall(page.read_text()):
            found[(page.parent / name).resolve()] = page
    return found


def rewrite(text: str, file: Path, page: Path, pages: Mapping[Path, Path]) -> str:
    """The Markdown of `file` with its relative links as they must be on `page`."""

    def link(match: re.Match[str]) -> str:
        before, name, after = match.groups()
        if "://" in name or name.startswith("mailto:"):
            return match[0]
        target = (file.parent / name).resolve()
        return before + os.path.relpath(pages.get(target, target), page.parent) + after

    return _LINK.sub(link, text)


def _on_page(app: Sphinx, page: str, content: list[str]) -> None:
    file = Path(app.env.doc2path(page))
    if file.suffix == ".md":
        content[0] = rewrite(content[0], file, file, included(Path(app.srcdir)))


def _on_included_file(app: Sphinx, relative: Path, page: str, content: list[str]) -> None:
    file = (Path(app.srcdir) / relative).resolve()
    pages = included(Path(app.srcdir))
    content[0] = rewrite(content[0], file, pages[file], pages)
