"""Docstrings here are plain text with `code` in single backticks. This turns them into reStructuredText for autodoc."""

import re
from itertools import pairwise
from typing import Any

from sphinx.application import Sphinx

_CODE = re.compile(r"(`[^`]+`)")
_MARKUP = re.compile(r"([\\*|_])")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _translate)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}


def _translate(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = rst("\n".join(lines)).split("\n")


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leaves out fields whose names Python cannot spell, as of a TypedDict made for JSON: autodoc cannot name them."""
    return None if name.isidentifier() else True


def rst(text: str) -> str:
    """The text with its code spans as literals and all other markup characters escaped."""
    parts = _CODE.split(text)
    parts[1::2] = [f"`{part}`" for part in parts[1::2]]
    parts[::2] = [_MARKUP.sub(r"\\\1", part) for part in parts[::2]]
    joined = parts[0]
    for before, after in pairwise(parts):
        # A literal must be set off from a letter on either side; an escaped space does that and is not shown.
        touching = before[-1:].isalnum() if after[:1] == "`" else after[:1].isalnum()
        joined += ("\\ " if touching else "") + after
    return joined
