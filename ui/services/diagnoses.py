"""ICD-9-CM codes by name: the most frequent of the data by their own, every other one by its chapter's."""

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
    """The names of the codes that have one, the most frequent first."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return {line["code"]: line[language] for line in csv.DictReader(file)}


def name(code: str, language: str) -> str | None:
    """The code's name, or its category's; None where neither has one: `domain.icd9.group` has its chapter."""
    return names(language).get(code) or names(language).get(category(code))


def find(text: str, language: str) -> str | None:
    """The most frequent code whose name holds the text, without regard to case and accents."""
    wanted = _plain(text)
    return next((code for code, name in names(language).items() if wanted in _plain(name)), None)


def _plain(text: str) -> str:
    return "".join(letter for letter in normalize("NFD", text.strip().casefold()) if not combining(letter))


def chapter(code: str) -> str:
    return group(code)


def is_code(text: str) -> bool:
    """Whether it is written as an ICD-9 code of the data: 428, 250.83, V57, E885."""
    return text != "?" and _PATTERN.fullmatch(text) is not None
