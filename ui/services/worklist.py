"""The stays of a scored file as a list to work through, and as a CSV that a spreadsheet opens as it is."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Final

from readmission.domain import spreadsheet

BANDS: Final = ("very high", "high", "moderate", "low")
OUTCOMES: Final = ("contacted", "overridden")
"""What may have become of a stay: the patient was contacted, or somebody decided against it."""
LONGEST_REASON: Final = 500
# What Excel expects where the language is spoken: it takes both from the computer's regional settings.
_SEPARATORS: Final[Mapping[str, str]] = {"en": ",", "es": ";"}
_DECIMALS: Final[Mapping[str, str]] = {"en": ".", "es": ","}
_EXACT_DIGITS: Final = 15  # that Excel keeps of a number
_MARK: Final = "\ufeff"  # by which Excel knows UTF-8


def export(header: Sequence[str], rows: Sequence[Sequence[str | float | None]], language: str) -> bytes:
    """A CSV for Excel in that language: no cell of it is taken for a formula. Numbers have one decimal."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=_SEPARATORS[language], lineterminator="\r\n")
    writer.writerow(map(_cell, header))
    for row in rows:
        writer.writerow([_number(one, language) if isinstance(one, float) else _cell(one or "") for one in row])
    return (_MARK + text.getvalue()).encode()


def _number(value: float, language: str) -> str:
    return f"{value:.1f}".replace(".", _DECIMALS[language])


def _cell(text: str) -> str:
    """The text, safe for a spreadsheet, and a long number as a text: Excel would round it."""
    long = text.isdecimal() and len(text) > _EXACT_DIGITS
    return f"'{text}" if long else spreadsheet.cell(text)
