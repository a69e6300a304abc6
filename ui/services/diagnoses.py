"""Names of ICD-9-CM codes: frequent codes have their own name, all others that of their chapter."""

import csv
import re
from functools import cache
from pathlib import Path
from typing import Final
from unicodedata import combining, normalize

from readmission.domain.contract import Diagnosis
from readmission.domain.icd9 import category, group

_TABLE: Final = Path(__file__).parents[1] / "icd9_names.csv"
_PATTERN: Final = re.compile(Diagnosis().pattern)


@cache
def names(language: str) -> dict[str, str]:
    """Codes with their names, most frequent first."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return {line["code"]: line[language] for line in csv.DictReader(file)}


def name(code: str, language: str) -> str | None:
    """The name of the code or of its category, or None if neither has one."""
    return names(language).get(code) or names(language).get(category(code))


def find(text: str, language: str) -> str | None:
    """The most frequent code whose name contains the text, ignoring case and accents."""
    plain = _plain(text)
    return next((code for code, name in names(language).items() if plain in _plain(name)), None)


def _plain(text: str) -> str:
    return "".join(letter for letter in normalize("NFD", text.strip().casefold()) if not combining(letter))


def chapter(code: str) -> str:
    return group(code)


def is_code(text: str) -> bool:
    """Whether the text is an ICD-9 code in the data's notation: 428, 250.83, V57, E885."""
    return text != "?" and _PATTERN.fullmatch(text) is not None
