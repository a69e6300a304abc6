"""Encounters of requests, in the prepared or the raw format, as the fields from which model inputs are computed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from readmission.domain import diagnoses
from readmission.domain.contract import (
    DIAG_VERSION,
    ENDS_OF_CARE,
    MISSING,
    VERSIONS,
    Diagnosis,
    IntegerRange,
    OneOf,
    Rule,
    SiteName,
    Text,
)
from readmission.domain.diagnoses import Diagnoses
from readmission.domain.features import FEATURES, OPTIONAL, PATIENT_HISTORY, fields_of
from readmission.domain.payloads import DEFAULT_SITE
from readmission.http.problems import Code, FieldError, Refused, printable_name
from readmission.serving.schemas import IDENTITY, IGNORED, RAW_REQUIRED, RAW_RULES, Encounter, RawEncounter

PREPARED_RULES: Final[Mapping[str, Rule]] = {
    **FEATURES,
    **OPTIONAL,
    **PATIENT_HISTORY,
    **IDENTITY,
    DIAG_VERSION: VERSIONS,
}
# The required fields that only one of the two formats has.
RAW_ONLY: Final = frozenset(RAW_REQUIRED) - PREPARED_RULES.keys()
PREPARED_ONLY: Final = frozenset(FEATURES) - RAW_RULES.keys()

# More than any valid encounter has, and few enough to list an error for each.
MAX_FIELDS: Final = 200

_PREPARED: Final[TypeAdapter[Any]] = TypeAdapter(Encounter)
_RAW: Final[TypeAdapter[Any]] = TypeAdapter(RawEncounter)
_ENDS: Final[Mapping[str, Code]] = {"died": "patient_died", "went to a hospice": "patient_in_hospice"}
_LAST: Final = tuple(name for name in PATIENT_HISTORY if name.startswith("last_"))


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose earlier stays count as the history: those of a site before `encounter_id`, or all if it is None.

    Its text contains no number, so that none gets into a log.
    """

    site: str
    patient_nbr: int = field(repr=False)
    encounter_id: int | None = field(default=None, repr=False)


@dataclass(slots=True)
class Asked:
    """A valid encounter of a request.

    `fields` are those from which the inputs are computed, with all diagnoses as ICD-9-CM; unknown ones are None or
    missing. `patient` is whose history may be looked up: None without a number, or if the request has the history.
    `history` is what the look-up found, a `schemas.History`. Whose stay it is, `site`, `encounter_id` and `patient_nbr`
    say in any case, as far as the request does. Its text contains no number, so that none gets into a log.
    """

    fields: dict[str, Any]
    patient: Patient | None = None
    history: dict[str, Any] | None = None
    site: str = DEFAULT_SITE
    encounter_id: int | None = field(default=None, repr=False)
    patient_nbr: int | None = field(default=None, repr=False)


def fields_of_encounter(document: Any) -> dict[str, Any]:
    """The fields of an encounter's JSON document. Raises what `encounter_of` raises."""
    return encounter_of(document).fields


def encounter_of(document: Any) -> Asked:
    """The encounter of a JSON document.

    Raises `Refused` (422) with an error for every invalid field. Errors never contain values.
    """
    if not isinstance(document, dict):
        error = FieldError("encounter", "must be a JSON object", "not_an_object")
        raise Refused(422, "The encounter must be a JSON object", [error])
    if len(document) > MAX_FIELDS:
        error = FieldError("encounter", "has too many fields", "too_many_fields")
        raise Refused(422, "The encounter has too many fields", [error])
    if errors := mixed_formats(document):
        raise invalid(errors)
    raw = not RAW_ONLY.isdisjoint(document)
    try:
        known: dict[str, Any] = vars((_RAW if raw else _PREPARED).validate_python(document))
    except ValidationError as failure:
        # Raised without its cause, which contains the values.
        raise invalid(_errors(failure, RAW_RULES if raw else PREPARED_RULES)) from None
    asked = Asked({}, _patient(known), None, known["site"] or DEFAULT_SITE, known["encounter_id"], known["patient_nbr"])
    read = diagnoses.read(known, known[DIAG_VERSION])
    known = {name: value for name, value in known.items() if name not in IDENTITY and name != DIAG_VERSION}
    asked.fields = (_prepared(known) if raw else known) | read.codes
    if errors := [*_wrong_diagnoses(read), *_contradictions(asked.fields)]:
        raise invalid(errors)
    return asked


def _patient(known: Mapping[str, Any]) -> Patient | None:
    number = known["patient_nbr"]
    if number is None or any(known[name] not in (None, MISSING) for name in PATIENT_HISTORY):
        return None
    return Patient(known["site"] or DEFAULT_SITE, number, known["encounter_id"])


def mixed_formats(names: Mapping[str, Any]) -> list[FieldError]:
    """An error for each field that belongs to only one format, if there are fields of both formats."""
    raw, prepared = RAW_ONLY.intersection(names), PREPARED_ONLY.intersection(names)
    if not (raw and prepared):
        return []
    return [
        *(
            FieldError(name, "is a raw field, but there are prepared fields too", "raw_field_among_prepared")
            for name in sorted(raw)
        ),
        *(
            FieldError(name, "is a prepared field, but there are raw fields too", "prepared_field_among_raw")
            for name in sorted(prepared)
        ),
    ]


def invalid(errors: list[FieldError]) -> Refused:
    """The answer to an encounter with these errors."""
    names = ", ".join(dict.fromkeys(error.field for error in errors[:5]))
    more = ", …" if len(errors) > 5 else ""
    return Refused(422, f"The encounter is invalid: {names}{more}", errors)


def _prepared(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields of a valid raw encounter."""
    row = {name: value for name, value in raw.items() if value is not None and name not in IGNORED}
    return fields_of(row) | {name: row[name] for name in PATIENT_HISTORY if name in row}


def _errors(error: ValidationError, rules: Mapping[str, Rule]) -> list[FieldError]:
    found: dict[str, FieldError] = {}
    for one in error.errors(include_url=False, include_context=False):
        if not one["loc"]:
            # A lone surrogate, which JSON can express, in a name.
            return [FieldError("encounter", "has a field whose name is not valid text", "invalid_name")]
        # A union has an error for each of its members; one error per field is enough.
        name = printable_name(str(one["loc"][0]))
        found.setdefault(name, _error(name, one["type"], rules.get(name)))
    return list(found.values())


def _error(name: str, kind: str, rule: Rule | None) -> FieldError:
    """The error of a field. It never repeats the value, which may identify a patient."""
    if rule is None:
        return FieldError(name, "is not a field of this format", "unknown_field")
    if kind == "missing":
        return FieldError(name, "is required", "required")
    match rule:
        case IntegerRange():
            return FieldError(name, f"must be {rule.expected}", "integer_range", {"low": rule.low, "high": rule.high})
        case OneOf():
            return FieldError(name, f"must be {rule.expected}, as text", "one_of", {"values": sorted(rule.values)})
        case Text():
            message = f"must be a text of {rule.expected}, or ? if unknown"
            return FieldError(name, message, "text_length", {"longest": rule.longest})
        case Diagnosis() | SiteName():
            code: Code = "diagnosis_code" if isinstance(rule, Diagnosis) else "site_name"
            return FieldError(name, f"must be {rule.expected}", code)


def _wrong_diagnoses(read: Diagnoses) -> list[FieldError]:
    return [FieldError(name, wrong.message, wrong.fault, wrong.params) for name, wrong in read.wrong.items()]


def _contradictions(fields: dict[str, Any]) -> list[FieldError]:
    """Errors for fields whose values contradict each other."""
    errors = []
    for how, places in ENDS_OF_CARE.items():
        if fields.get("discharge_disposition_id") in places:
            message = f"means that the patient {how}, so readmission is not forecast"
            errors.append(FieldError("discharge_disposition_id", message, _ENDS[how]))
    stays, early = fields.get("prior_encounters"), fields.get("prior_early_readmissions")
    if stays is not None and early is not None and early > stays:
        errors += _together(
            ("prior_early_readmissions", "prior_encounters"),
            "prior_early_readmissions exceeds prior_encounters",
            "more_early_readmissions_than_stays",
        )
    if stays == 0:
        given = [name for name in _LAST if fields.get(name) is not None]
        given += ["prior_days_in_hospital"] * bool(fields.get("prior_days_in_hospital"))
        if given:
            message = "describes an earlier stay, but prior_encounters is 0"
            errors += _together((*given, "prior_encounters"), message, "details_of_no_stay")
    up, down = fields.get("num_doses_up") or 0, fields.get("num_doses_down") or 0
    if up + down > fields["num_diabetes_meds"]:
        errors += _together(
            ("num_doses_up", "num_doses_down", "num_diabetes_meds"),
            "num_doses_up and num_doses_down together exceed num_diabetes_meds",
            "more_changed_doses_than_drugs",
        )
    return errors


def _together(names: tuple[str, ...], message: str, code: Code) -> list[FieldError]:
    return [FieldError(name, message, code) for name in names]
