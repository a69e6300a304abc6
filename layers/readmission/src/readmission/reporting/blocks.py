"""The parts of a document, without markup: sections of alarms, paragraphs, lists, tables and plots."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alarm:
    """A warning that must not be overlooked."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A bulleted list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row has as many cells as the head."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """An image by its path in the run's artifacts."""

    path: str
    alt: str


type Block = Alarm | Text | Items | Table | Plot


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document. The title of the first section is the document's; `key` does not depend on the language."""

    key: str
    title: str
    blocks: list[Block]
