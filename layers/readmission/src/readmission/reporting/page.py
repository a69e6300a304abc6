"""Renders sections as an HTML page, with their texts escaped; it loads nothing but its plots."""

from collections.abc import Sequence
from html import escape
from typing import Final

from readmission.reporting.blocks import Alarm, Block, Items, Plot, Section, Table, Text

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "th,td{border:1px solid #bbb;padding:.2rem .6rem;text-align:left}"
    "img{max-width:100%}.alarm{background:#ffe3d3;border:2px solid #D55E00;padding:.6rem 1rem;font-weight:bold}"
)


def render(sections: Sequence[Section], language: str) -> str:
    """The page, in a language given by its ISO 639-1 code."""
    head = f'<meta charset="utf-8"><title>{escape(sections[0].title)}</title><style>{_STYLE}</style>'
    body = "".join(_section("h2" if index else "h1", section) for index, section in enumerate(sections))
    return f'<!doctype html>\n<html lang="{language}"><head>{head}</head><body>\n{body}</body></html>\n'


def _section(level: str, section: Section) -> str:
    blocks = "".join(f"{_block(block)}\n" for block in section.blocks)
    return f"<{level}>{escape(section.title)}</{level}>\n{blocks}"


def _block(block: Block) -> str:
    match block:
        case Alarm(text):
            return f'<p class="alarm">{escape(text)}</p>'
        case Text(text):
            return f"<p>{escape(text)}</p>"
        case Items(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Table(head, rows):
            return f"<table>{_row('th', head)}{''.join(_row('td', row) for row in rows)}</table>"
        case Plot(path, alt):
            return f'<p><img src="{escape(path)}" alt="{escape(alt)}"></p>'


def _row(tag: str, cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"
