"""The diagnoses of an encounter in either version of ICD, read as the ICD-9-CM codes that models learn from.

Requests and deliveries go through `read`, so that training and serving translate alike. The version is stated, or
inferred from the format of the codes. A code that fits both versions, such as V57 or E885, is refused beside codes of
ICD-10-CM.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from readmission.domain import icd10
from readmission.domain.contract import DIAG_VERSION, ICD9_PATTERN, ICD10_PATTERN, MISSING

type Version = Literal["icd9", "icd10"]
type Fault = Literal[
    "diagnosis_of_other_version",
    "diagnosis_versions_mixed",
    "diagnosis_version_missing",
    "icd10_ambiguous",
    "icd10_unmapped",
]

VERSIONS: Final[tuple[Version, ...]] = ("icd9", "icd10")
FIELDS: Final = ("diag_1", "diag_2", "diag_3", "last_diag_1")
NAMES: Final[Mapping[Version, str]] = {"icd9": "ICD-9-CM", "icd10": "ICD-10-CM"}
_PATTERNS: Final[Mapping[Version, str]] = {"icd9": ICD9_PATTERN, "icd10": ICD10_PATTERN}
_CACHED_CODES: Final = 4096


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a code. `message` does not repeat it; `params` are the names in it."""

    fault: Fault
    message: str
    params: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """The known diagnoses of an encounter as ICD-9-CM codes, by field, and what is wrong with those that are None.

    `version` is that of the codes as given; None if no diagnosis is known, or if the version cannot be told.
    """

    version: Version | None
    codes: dict[str, str | None]
    wrong: Mapping[str, Wrong]


def read(
    given: Mapping[str, str | None], version: Version | None = None, otherwise: Version | None = "icd9"
) -> Diagnoses:
    """Read the known diagnoses among the fields; each must have the form of a code of either version.

    `version` is the one that is stated, if any. Codes that all fit both are of the version `otherwise`; None: refused.
    """
    codes = {name: code for name in FIELDS if (code := given.get(name)) and code != MISSING}
    if not codes:
        return Diagnoses(None, {}, {})
    if version != "icd10" and otherwise == "icd9" and all("icd9" in versions_of(code) for code in codes.values()):
        return Diagnoses("icd9", {**codes}, {})  # the short way for all of UCI's rows
    found = version or _told_by_form(codes.values(), otherwise)
    if found is None:
        return Diagnoses(None, dict.fromkeys(codes), _untold(codes))
    if wrong := {name: _other_version(found) for name, code in codes.items() if found not in versions_of(code)}:
        return Diagnoses(found, dict.fromkeys(codes), wrong)
    if found == "icd9":
        return Diagnoses(found, {**codes}, {})
    equivalents = {name: icd10.to_icd9(code) for name, code in codes.items()}
    wrong = {name: _NO_EQUIVALENT[code] for name, code in equivalents.items() if code in _NO_EQUIVALENT}
    return Diagnoses(found, {name: None if name in wrong else code for name, code in equivalents.items()}, wrong)


@lru_cache(_CACHED_CODES)
def versions_of(code: str) -> tuple[Version, ...]:
    """The versions whose form the code has: none, one or both."""
    return tuple(version for version, pattern in _PATTERNS.items() if re.fullmatch(pattern, code))


def _told_by_form(codes: Iterable[str], otherwise: Version | None) -> Version | None:
    forms = set(map(versions_of, codes))
    clear = {form[0] for form in forms if len(form) == 1}
    if len(clear) == 1:
        (version,) = clear
        return None if version == "icd10" and len(forms) > 1 else version
    return None if clear else otherwise


def _untold(codes: Mapping[str, str]) -> dict[str, Wrong]:
    """What is wrong with codes whose version cannot be told by their forms."""
    forms = {name: versions_of(code) for name, code in codes.items()}
    clear = {form[0] for form in forms.values() if len(form) == 1}
    if len(clear) == 1 or not clear:
        return {name: _VERSION_MISSING for name, form in forms.items() if len(form) > 1}
    return {name: _mixed(form[0]) for name, form in forms.items() if len(form) == 1}


def _other_version(stated: Version) -> Wrong:
    message = f"is not an {NAMES[stated]} code, although {DIAG_VERSION} is {stated}"
    return Wrong("diagnosis_of_other_version", message, {"name": [NAMES[stated]], "version": [stated]})


def _mixed(version: Version) -> Wrong:
    (other,) = (name for one, name in NAMES.items() if one != version)
    message = f"is an {NAMES[version]} code, but there are {other} codes too"
    return Wrong("diagnosis_versions_mixed", message, {"name": [NAMES[version]], "other": [other]})


_VERSION_MISSING: Final = Wrong(
    "diagnosis_version_missing", f"can be ICD-9-CM or ICD-10-CM; {DIAG_VERSION} must say which: icd9 or icd10"
)
_NO_EQUIVALENT: Final[Mapping[str, Wrong]] = {
    icd10.AMBIGUOUS: Wrong(
        "icd10_ambiguous",
        "is too short, or too new for CMS's mappings: the ICD-10-CM codes that begin like it differ in ICD-9-CM. Use a"
        " longer or older code, or ? to leave the diagnosis out",
    ),
    icd10.UNMAPPED: Wrong(
        "icd10_unmapped",
        "has no equivalent in ICD-9-CM by CMS's mappings. Use another code, or ? to leave the diagnosis out",
    ),
}
