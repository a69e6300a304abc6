"""The patient's age, the days of the stay, and the visits in the year before it."""

from datetime import UTC, date, datetime
from typing import Final

from readmission.ehr.found import Found
from readmission.ehr.resources import Answer, Resource, birthdays, codings, day_of, instant_of, name_of, named, text

AGE: Final = "age_numeric"
STAY: Final = "time_in_hospital"
COUNTS: Final = ("number_outpatient", "number_emergency", "number_inpatient")
# Of HL7's v3 ActCode, which FHIR R4 prescribes for Encounter.class.
_KINDS: Final = {
    "AMB": "number_outpatient",
    "EMER": "number_emergency",
    "IMP": "number_inpatient",
    "ACUTE": "number_inpatient",
    "NONAC": "number_inpatient",
}
_NEVER_WAS: Final = ("planned", "cancelled", "entered-in-error")
# Of FHIR R4's discharge-disposition: those of which UCI's IDs_mapping.csv has one with the same meaning.
_DISPOSITIONS: Final = {"home": 1, "snf": 3, "aadvice": 7, "exp": 11, "rehab": 22, "psy": 28}
_HOSPICE: Final = "hosp"
# Of HL7's v3 ActPriority.
_PRIORITIES: Final = {"EM": 1, "UR": 2, "EL": 3}


def read_patient(found: Found, patient: Answer, stay: Resource) -> None:
    """The age on the day of the admission."""
    if not patient.resources:
        found.miss([AGE], patient.problem or "there is no Patient")
        return
    one = patient.resources[0]
    if len(patient.resources) > 1:
        found.refuse([AGE], f"there are several patients: {named(patient.resources)}")
        return
    if one.get("deceasedBoolean") is True or text(one, "deceasedDateTime"):
        found.refuse([AGE], f"{name_of(one)} has died, so readmission is not forecast")
        return
    born, admitted = birthdays(text(one, "birthDate")), day_of(text(stay, "period", "start"))
    if born is None or admitted is None:
        found.miss(
            [AGE], f"{name_of(one)} has no birthDate" if born is None else f"{name_of(stay)} has no period.start"
        )
        return
    oldest, youngest = (_years(day, admitted) for day in born)
    if oldest != youngest:
        found.refuse([AGE], f"the birthDate of {name_of(one)} has no day, and leaves two ages: {youngest} or {oldest}")
    else:
        found.give(AGE, oldest, f"{name_of(one)}.birthDate, on the day of the admission")


def read_stay(found: Found, stay: Resource, now: datetime) -> None:
    """The days in hospital, and how the patient came and leaves."""
    kind = text(stay, "class", "code")
    if kind and _KINDS.get(kind) != "number_inpatient":
        found.refuse([STAY], f"{name_of(stay)} is not an inpatient stay by its class, {kind[:20]}")
        return
    start, end = (text(stay, "period", name) for name in ("start", "end"))
    admitted, left = day_of(start), day_of(end)
    if admitted is None or (end and left is None):
        which = "start" if admitted is None else "end"
        found.miss([STAY], f"{name_of(stay)} has no day in its period.{which}")
    elif left is None:
        begun = instant_of(start)
        today = now.astimezone(begun.tzinfo if begun else UTC).date()
        found.give(STAY, (today - admitted).days, f"{name_of(stay)}.period, until today, as it has no end")
    else:
        found.give(STAY, (left - admitted).days, f"{name_of(stay)}.period")
    if (days := found.fields.get(STAY, 0)) < 0:
        del found.fields[STAY], found.sources[STAY]
        found.refuse([STAY], f"{name_of(stay)} ends {-days} days before it starts")
    _read_disposition(found, stay)
    priorities = {code for _, code in codings(stay.get("priority")) if code in _PRIORITIES}
    if len(priorities) > 1:
        found.refuse(["admission_type_id"], f"{name_of(stay)} has two priorities: {', '.join(sorted(priorities))}")
    elif priorities:
        found.give("admission_type_id", _PRIORITIES[priorities.pop()], f"{name_of(stay)}.priority")


def read_earlier(found: Found, encounters: Answer, stay: Resource) -> None:
    """The visits in the year before the admission, by kind."""
    if encounters.resources is None:
        found.miss(COUNTS, encounters.problem)
        return
    start = text(stay, "period", "start")
    admitted = day_of(start)
    if admitted is None:
        found.miss(COUNTS, f"{name_of(stay)} has no period.start")
        return
    counted: dict[str, list[Resource]] = {name: [] for name in COUNTS}
    for one in encounters.resources:
        if text(one, "id") != text(stay, "id") and text(one, "status") not in _NEVER_WAS:
            _count(found, counted, one, _is_before(one, start, admitted))
    for name, visits in counted.items():
        if name not in found.missing and name not in found.conflicting:
            which = named(visits) if visits else "no such Encounter among those of the patient"
            found.give(name, len(visits), f"{which}, in the year before the admission")


def _count(found: Found, counted: dict[str, list[Resource]], visit: Resource, before: bool | None) -> None:
    """Count a visit that was in the year before the admission; None if that cannot be told."""
    code = text(visit, "class", "code")
    kind = _KINDS.get(code)
    if before is None:
        which = [kind] if kind else COUNTS
        found.refuse(which, f"{name_of(visit)} does not say whether it began in the year before the admission")
    elif before and kind:
        counted[kind].append(visit)
    elif before and code:
        found.note(f"{name_of(visit)} is not an outpatient, emergency or inpatient visit, by its class")
    elif before:
        found.miss(COUNTS, f"{name_of(visit)} has no class")


def _is_before(encounter: Resource, start: str, admitted: date) -> bool | None:
    """Whether it began in the year before the admission; None if that cannot be told."""
    began = text(encounter, "period", "start")
    day = day_of(began)
    if day is None:
        return None
    if day != admitted:
        return _year_before(admitted) <= day < admitted
    its, ours = instant_of(began), instant_of(start)
    return its < ours if its and ours else None


def _read_disposition(found: Found, stay: Resource) -> None:
    name = "discharge_disposition_id"
    codes = {code for _, code in codings(_part(stay, "hospitalization", "dischargeDisposition"))}
    if _HOSPICE in codes:
        found.refuse([name], f"{name_of(stay)} ends in a hospice, so readmission is not forecast")
    known = {_DISPOSITIONS[code] for code in codes if code in _DISPOSITIONS}
    if len(known) == 1:
        found.give(name, known.pop(), f"{name_of(stay)}.hospitalization.dischargeDisposition")
    elif known:
        found.refuse([name], f"{name_of(stay)} has two discharge dispositions: {', '.join(sorted(codes))}")


def _part(resource: Resource, *path: str) -> object:
    found: object = resource
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _years(born: date, on: date) -> int:
    return on.year - born.year - ((on.month, on.day) < (born.month, born.day))


def _year_before(day: date) -> date:
    if day.year == 1:
        return date.min
    return day.replace(year=day.year - 1, day=28) if (day.month, day.day) == (2, 29) else day.replace(year=day.year - 1)
