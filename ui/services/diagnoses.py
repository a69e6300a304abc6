"""Names of diagnosis codes, and a search for codes by what people call them.

The table `icd9_names.csv` has all categories of ICD-9-CM and all codes of diabetes, in English and Spanish, most
frequent in the UCI data first. Its columns `also_…` hold other names, separated by semicolons. `icd10_names.txt` has
the official English names of ICD-10-CM.

A choice of the form is a text that carries its version: "428" and "V57" are ICD-9-CM, "icd10:E11.9" is ICD-10-CM.
"""

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from unicodedata import combining, normalize

from readmission.domain import icd9, icd10
from readmission.domain.diagnoses import Version, versions_of

_TABLE: Final = Path(__file__).parents[1] / "icd9_names.csv"
_ICD10_TABLE: Final = Path(__file__).parents[1] / "icd10_names.txt"
_ICD10: Final = "icd10:"
_CATEGORY: Final = 3  # characters of an ICD-10-CM code before its decimal point
_REMEMBERED: Final = 256  # searches
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


def name(choice: str, language: str) -> str | None:
    """The name of the code, else of the next wider one: 250.13, 250.1, 250. None if its category does not exist.

    A code of ICD-10-CM has its English name in both languages; None if the table does not have it.
    """
    if version(choice) == "icd10":
        return _icd10_names().get(code_of(choice).replace(".", ""))
    named = names(language)
    wider = choice
    while wider not in named and "." in wider:
        wider = wider[:-1].removesuffix(".")
    return named.get(wider)


def version(choice: str) -> Version:
    """The version of ICD that a choice is of."""
    return "icd10" if choice.startswith(_ICD10) else "icd9"


def code_of(choice: str) -> str:
    """The code of a choice, without its version."""
    return choice.removeprefix(_ICD10)


def taken(text: str) -> str | None:
    """The choice that a typed or chosen code is; None for what no forecast can be made from.

    A code that fits both versions is ICD-9-CM, unless the text is a choice of the other one.
    """
    return as_code(text) or as_icd10(text)


def as_code(text: str) -> str | None:
    """The text as an ICD-9-CM code in the data's notation ("008.45 " → "8.45", "e885" → "E885"), or None."""
    code = icd9.normal(text.strip().upper())
    return code if "icd9" in versions_of(code) and name(code, "en") else None


def as_icd10(text: str) -> str | None:
    """The text as a choice of an ICD-10-CM code ("e119" → "icd10:E11.9"); None if it has no single equivalent."""
    code = code_of(text.strip()).upper()
    return _choice(code) if "icd10" in versions_of(code) and _usable(code) else None


def is_icd10(text: str) -> bool:
    """Whether the text has the form of an ICD-10-CM code: E11.9, I50, but also E885, which can be ICD-9-CM too."""
    return "icd10" in versions_of(text.strip().upper())


def read_as(choice: str) -> str:
    """What the models read of a choice, as an ICD-9-CM code."""
    return icd10.to_icd9(code_of(choice)) if version(choice) == "icd10" else choice


def sent(choices: Mapping[str, str]) -> dict[str, str]:
    """The choices by field as fields of a request, with the version where the codes alone leave it open.

    A request has one version. Beside ICD-9-CM codes, those of ICD-10-CM are sent as what the models read of them.
    """
    versions = {version(choice) for choice in choices.values()}
    if versions == {"icd10"}:
        return {name: code_of(choice) for name, choice in choices.items()} | {"diag_version": "icd10"}
    codes = {name: read_as(choice) for name, choice in choices.items()}
    if any(len(versions_of(code)) > 1 for code in codes.values()):
        codes["diag_version"] = "icd9"
    return codes


def _usable(code: str) -> bool:
    return icd10.to_icd9(code) not in (icd10.AMBIGUOUS, icd10.UNMAPPED)


def _choice(code: str) -> str:
    digits = code.replace(".", "")
    return f"{_ICD10}{digits[:_CATEGORY]}.{digits[_CATEGORY:]}".removesuffix(".")


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
        or [code for code, entry in entries.items() if all(_begins(entry.words, word) for word in asked)]
    )


def find_icd10(text: str) -> list[str]:
    """The choices of ICD-10-CM codes whose names contain all words of the text.

    Names that begin with the text come first, then shorter ones.

    A code with exactly this name is the only one found. Only codes that a forecast can be made from are found.
    """
    return [_choice(code) for code in _icd10_found(text) if _usable(code)]


def unusable(text: str) -> list[str]:
    """The ICD-10-CM codes that the text names and that no forecast can be made from, each with its name."""
    named = _icd10_names()
    return [f"{code_of(_choice(code))} · {named[code]}" for code in _icd10_found(text) if not _usable(code)]


@lru_cache(_REMEMBERED)
def _icd10_found(text: str) -> tuple[str, ...]:
    asked, whole = _words(text), _plain(text)
    if not asked:
        return ()
    # Names that have all the letters, before they are cut into words: cutting all of them takes a second.
    some = {code: name for code, name in _icd10_plain().items() if all(word in name for word in asked)}
    words = {code: _words(name) for code, name in some.items()}
    found = (
        [code for code, name in some.items() if name == whole]
        or [code for code, own in words.items() if set(asked) <= set(own)]
        or [code for code, own in words.items() if all(_begins(own, word) for word in asked)]
    )
    return tuple(sorted(found, key=lambda code: (not some[code].startswith(whole), len(words[code]), code)))


@cache
def _icd10_names() -> Mapping[str, str]:
    """Names by code, without decimal points."""
    lines = _ICD10_TABLE.read_text(encoding="utf-8").splitlines()
    return {code: name for code, _, name in (line.partition(" ") for line in lines if not line.startswith("#"))}


@cache
def _icd10_plain() -> Mapping[str, str]:
    return {code: _plain(name) for code, name in _icd10_names().items()}


def _begins(words: Collection[str], word: str) -> bool:
    return word in words or (len(word) > _SHORT and any(one.startswith(word) for one in words))


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(_plain(text)) if word not in _IGNORED]


def _plain(text: str) -> str:
    return "".join(letter for letter in normalize("NFD", text.strip().casefold()) if not combining(letter))
