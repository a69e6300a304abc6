"""Renders sections as Markdown, with their texts escaped."""

import re
from collections.abc import Sequence

from readmission.reporting.blocks import Alarm, Block, Items, Plot, Section, Table, Text


def render(sections: Sequence[Section]) -> str:
    """The document, with a blank line between blocks."""
    parts = []
    for index, section in enumerate(sections):
        heading = f"{'##' if index else '#'} {_escaped(section.title)}"
        parts.append("\n\n".join([heading, *map(_block, section.blocks)]) + "\n")
    return "\n".join(parts)


def _block(block: Block) -> str:
    match block:
        case Alarm(text):
            return f"> **{_escaped(text)}**"
        case Text(text):
            return _escaped(text)
        case Items(items):
            return "\n".join(f"- {_escaped(item)}" for item in items)
        case Table(head, rows):
            lines = ["| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in (head, *rows)]
            return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
        case Plot(path, alt):
            return f"![{_escaped(alt)}]({path})"


def _escaped(text: str) -> str:
    """The text on one line, with the special characters of Markdown, and of HTML within it, escaped."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", " ".join(text.split()))
