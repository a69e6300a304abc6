"""Names of ICD-9-CM codes in English and Spanish, and a search for codes by what people call them.

The table `icd9_names.csv` has all categories of ICD-9-CM and all codes of diabetes, most frequent in the UCI data
first. Its columns `also_…` hold other names, separated by semicolons.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from unicodedata import combining, normalize

from readmission.domain import icd9, icd10
from readmission.domain.diagnoses import versions_of

_TABLE: Final = Path(__file__).parents[1] / "icd9_names.csv"
_WORD: Final = re.compile(r"[^\W_]+")
_SHORT: Final = 2  # no longer word is a beginning: "MI" does not find "migraine"
_IGNORED: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "by",
        "de",
        "del",
        "el",
        "in",
        "la",
        "las",
        "los",
        "o",
        "of",
        "on",
        "or",
        "por",
        "the",
        "to",
        "un",
        "una",
        "with",
        "y",
    ]
)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    plain: str
    words: frozenset[str]


@cache
def _entries(language: str) -> Mapping[str, _Entry]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return {
            line["code"]: _Entry(
                line[language],
                _plain(line[language]),
                frozenset(_words(f"{line[language]} {line[f'also_{language}']}")),
            )
            for line in csv.DictReader(file)
        }


@cache
def names(language: str) -> Mapping[str, str]:
    """Codes with their names, most frequent first."""
    return {code: entry.name for code, entry in _entries(language).items()}


def name(code: str, language: str) -> str | None:
    """The name of the code, else of the next wider one: 250.13, 250.1, 250. None if its category does not exist."""
    named = names(language)
    wider = code
    while wider not in named and "." in wider:
        wider = wider[:-1].removesuffix(".")
    return named.get(wider)


def as_code(text: str) -> str | None:
    """The text as an ICD-9-CM code in the data's notation ("008.45 " → "8.45", "e885" → "E885"), or None."""
    code = icd9.normal(text.strip().upper())
    return code if "icd9" in versions_of(code) and name(code, "en") else None


def is_icd10(text: str) -> bool:
    """Whether the text has the form of an ICD-10-CM code: E11.9, I50, but also E885, which can be ICD-9-CM too."""
    return "icd10" in versions_of(text.strip().upper())


def from_icd10(text: str) -> str | None:
    """What the models read of the ICD-10-CM code, as an ICD-9-CM code; None if it has no single equivalent."""
    code = icd10.to_icd9(text.strip().upper()) if is_icd10(text) else icd10.UNMAPPED
    return None if code in (icd10.AMBIGUOUS, icd10.UNMAPPED) else code


def find(text: str, language: str) -> list[str]:
    """The codes whose names contain all words of the text, ignoring case and accents, most frequent first.

    A code with exactly this name is the only one found. If no name contains the whole words, they may be beginnings.
    """
    asked, plain = _words(text), _plain(text)
    if not asked:
        return []
    entries = _entries(language)
    return (
        [code for code, entry in entries.items() if entry.plain == plain]
        or [code for code, entry in entries.items() if entry.words.issuperset(asked)]
        or [code for code, entry in entries.items() if all(_begins(entry, word) for word in asked)]
    )


def _begins(entry: _Entry, word: str) -> bool:
    return word in entry.words or (len(word) > _SHORT and any(one.startswith(word) for one in entry.words))


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(_plain(text)) if word not in _IGNORED]


def _plain(text: str) -> str:
    return "".join(letter for letter in normalize("NFD", text.strip().casefold()) if not combining(letter))
