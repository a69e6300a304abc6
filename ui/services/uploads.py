"""Reads a CSV of patients as spreadsheets write it: separators, encodings and decimal commas.

Only what leaves no doubt is understood; the page says what was. What the values mean is for the API to say.
"""

import csv
import io
import re
from dataclasses import dataclass, field
from typing import Final, Literal

from readmission.domain.contract import COLUMNS, IntegerRange
from readmission.domain.features import FEATURES, OPTIONAL
from readmission.domain.file_formats import format_of, separator_of
from readmission.pipeline.mapped_fields import whole

_KNOWN: Final = frozenset((*COLUMNS, *FEATURES, *OPTIONAL))
# The columns of whole numbers. In a code, a comma or point would mean something else.
_NUMBERS: Final = frozenset(name for name, rule in {**COLUMNS, **FEATURES}.items() if isinstance(rule, IntegerRange))
# Letters of these bytes are the same in Windows-1252, ISO 8859-1 and ISO 8859-15. The bytes below are not.
_SAME_LETTERS: Final = re.compile(rb"[\x00-\x7f\xc0-\xff]*")
# Excel writes the separator into a line of its own if asked to, and hides that line.
_HINT: Final = re.compile(r"sep=(.)\r?\n")
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

type Complaint = Literal["empty", "encoding", "format", "header", "rows"]


class FileRefused(Exception):
    """The file cannot be sent; `complaint` is the key of the page's text, and `found` what the file is instead."""

    def __init__(self, complaint: Complaint, found: str = "") -> None:
        super().__init__(complaint)
        self.complaint: Complaint = complaint
        self.found = found


@dataclass(frozen=True, slots=True)
class Upload:
    """A readable file: its header and its rows, which may differ in length.

    `separator` and `encoding` are what it was read by, and `decimals` how many whole numbers were written as `5,0`.
    """

    header: list[str]
    rows: list[list[str]] = field(repr=False)
    separator: str = ","
    encoding: str = "UTF-8"
    decimals: int = 0

    @property
    def unusual(self) -> bool:
        """Whether it is more than CSV in UTF-8 with commas."""
        return (self.separator, self.encoding, self.decimals) != (",", "UTF-8", 0)


def read(content: bytes) -> Upload:
    """Parse a CSV file. Raises FileRefused if it is another file, or has no rows; the API validates the values."""
    if not content.strip():
        raise FileRefused("empty")
    if (found := format_of(content)) and not content.startswith(_UTF16):
        raise FileRefused("format", found)
    text, encoding = _decoded(content)
    hint = _HINT.match(text)
    text = text[hint.end() :] if hint else text
    separator = hint[1] if hint else _separator(text)
    lines = _lines(text, separator)
    if not lines:
        raise FileRefused("empty")
    header = [name.strip() for name in lines[0]]
    if "\0" in text or len(header) < 2:
        raise FileRefused("header")
    if len(lines) == 1:
        raise FileRefused("rows")
    rows = lines[1:]
    return Upload(header, rows, separator, encoding, _make_whole(header, rows, separator))


def _decoded(content: bytes) -> tuple[str, str]:
    """The text, and the name of its encoding."""
    try:
        if content.startswith(_UTF16):
            return content.decode("utf-16"), "UTF-16"
        return content.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as error:
        if content.startswith(_UTF16) or not _SAME_LETTERS.fullmatch(content):
            raise FileRefused("encoding") from error
    return content.decode("cp1252"), "Windows-1252"


def _separator(text: str) -> str:
    """The character between the names in the first line: a comma, unless only another one separates known names."""
    first = _lines(text.partition("\n")[0], ",")
    header = [name.strip() for name in first[0]] if first else []
    if len(_KNOWN.intersection(header)) > 1:
        return ","
    return separator_of(header, _KNOWN) or ","


def _lines(text: str, separator: str) -> list[list[str]]:
    try:
        return [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if line]
    except (csv.Error, TypeError, ValueError) as error:  # the latter for a separator that csv does not take
        raise FileRefused("header") from error


def _make_whole(header: list[str], rows: list[list[str]], separator: str) -> int:
    """Write `5,0` and `5.0` as 5 in columns of whole numbers, and return in how many cells."""
    count = 0
    places = [place for place, name in enumerate(header) if name in _NUMBERS]
    for row in rows:
        for place in places:
            if place < len(row) and ("," in row[place] or "." in row[place]):
                cell = row[place].strip()
                number = whole(whole(cell, "."), ",") if separator != "," else whole(cell, ".")
                if number != cell and number.isdecimal():
                    row[place] = number
                    count += 1
    return count
