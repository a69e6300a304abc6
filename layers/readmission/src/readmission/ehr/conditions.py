"""The diagnoses of the stay: how many there are, and the first three in the order in which the EHR ranks them."""

from collections.abc import Sequence
from typing import Final

from readmission.domain.contract import DIAG_VERSION
from readmission.domain.diagnoses import NAMES, VERSIONS, Version, versions_of
from readmission.ehr.found import Found
from readmission.ehr.resources import Answer, Resource, codings, is_referred, listed, name_of, named, text, words_of

COUNT: Final = "number_diagnoses"
RANKED: Final = ("diag_1", "diag_2", "diag_3")
# The names that FHIR and HL7 give the two code systems.
SYSTEMS: Final[dict[str, Version]] = {
    "http://hl7.org/fhir/sid/icd-10-cm": "icd10",
    "urn:oid:2.16.840.1.113883.6.90": "icd10",
    "http://hl7.org/fhir/sid/icd-9-cm": "icd9",
    "http://hl7.org/fhir/sid/icd-9-cm/diagnosis": "icd9",
    "urn:oid:2.16.840.1.113883.6.103": "icd9",
}
_EITHER: Final = " or ".join(NAMES.values())
_NO_DIAGNOSIS: Final = ("refuted", "entered-in-error")
_DISCHARGE: Final = "DD"  # of FHIR's diagnosis-role


def read(found: Found, conditions: Answer, stay: Resource) -> None:
    """The number of diagnoses, and the codes of those that `Encounter.diagnosis` ranks first, second and third.

    Without ranks, the three are unknown, which a request allows: the order of a list says nothing.
    """
    if conditions.resources is None:
        found.miss([COUNT], conditions.problem)
        return
    made = [one for one in conditions.resources if _status(one) not in _NO_DIAGNOSIS]
    found.give(COUNT, len({_identity(one) for one in made}), f"distinct codes of {len(made)} Conditions of the stay")
    ranked = {name: _of_rank(stay, made, rank) for rank, name in enumerate(RANKED, 1)}
    for name, some in ranked.items():
        if len({_identity(one) for one in some}) > 1:
            found.refuse([name], f"{named(some)} have the same rank")
            return
    first = {name: some[0] for name, some in ranked.items() if some}
    if first:
        _read_codes(found, first)


def _read_codes(found: Found, first: dict[str, Resource]) -> None:
    """The codes of the ranked conditions, all in one version: ICD-10-CM if every one has it."""
    codes = {name: _codes(one) for name, one in first.items()}
    for name, its in codes.items():
        if any(len(some) > 1 for some in its.values()):
            found.refuse([name], f"{name_of(first[name])} has several codes of one version of ICD")
            return
    for name, one in first.items():
        if not codes[name] and (which := _versionless(one)):
            found.refuse([name], f"{name_of(one)} has the code {which} without a system: it can be {_EITHER}")
            return
    coded = {name: its for name, its in codes.items() if its}
    for name in codes.keys() - coded.keys():
        found.note(f"{name_of(first[name])} has no code of ICD-10-CM or ICD-9-CM, so that {name} is unknown")
    version = next((one for one in reversed(VERSIONS) if coded and all(one in its for its in coded.values())), None)
    if version:
        found.give(DIAG_VERSION, version, "the systems of the codes")
        for name, its in coded.items():
            found.give(name, next(iter(its[version])), f"{name_of(first[name])}.code")
    elif coded:
        found.refuse(coded, f"{named(list(first.values()))} have codes of different versions of ICD")


def _codes(condition: Resource) -> dict[Version, set[str]]:
    """The condition's codes in each version of ICD that it has."""
    found: dict[Version, set[str]] = {}
    for system, code in codings(condition.get("code")):
        if version := SYSTEMS.get(system):
            found.setdefault(version, set()).add(code)
    return found


def _versionless(condition: Resource) -> str | None:
    """A code that has no system, and the form of both versions of ICD."""
    plain = (code.upper() for system, code in codings(condition.get("code")) if not system)
    return next((code for code in plain if len(versions_of(code)) > 1), None)


def _of_rank(stay: Resource, conditions: Sequence[Resource], rank: int) -> list[Resource]:
    """The conditions that have this rank in `Encounter.diagnosis`: among its discharge diagnoses, if there are any."""
    ranked = [one for one in listed(stay, "diagnosis") if isinstance(one.get("rank"), int)]
    discharge = [one for one in ranked if any(code == _DISCHARGE for _, code in codings(one.get("use")))]
    references = [one.get("condition") for one in discharge or ranked if one["rank"] == rank]
    return [
        condition
        for condition in conditions
        if any(is_referred(reference, "Condition", text(condition, "id")) for reference in references)
    ]


def _status(condition: Resource) -> str:
    return next((code for _, code in codings(condition.get("verificationStatus"))), "")


def _identity(condition: Resource) -> object:
    """What tells diagnoses apart: the codes, else the words, else the resource."""
    return frozenset(codings(condition.get("code"))) or tuple(words_of(condition.get("code"))) or name_of(condition)
