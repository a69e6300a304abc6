"""A stay's resources as the fields of a request, in the prepared format."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from readmission.domain.features import FEATURES
from readmission.ehr import conditions, laboratory, medications, visits
from readmission.ehr.found import Found
from readmission.ehr.resources import (
    Answer,
    Resource,
    answer,
    codings,
    is_referred,
    listed,
    name_of,
    named,
    of_bundle,
    text,
)

PROCEDURES: Final = "num_procedures"
_NOT_DONE: Final = ("preparation", "not-done", "entered-in-error")
# By the key of each query in a request's prefetch: the kind of the resources, and the query.
QUERIES: Final[Mapping[str, tuple[str, str]]] = {
    "patient": ("Patient", "Patient/{{context.patientId}}"),
    "encounter": ("Encounter", "Encounter/{{context.encounterId}}"),
    "encounters": ("Encounter", "Encounter?patient={{context.patientId}}"),
    "conditions": ("Condition", "Condition?encounter={{context.encounterId}}"),
    "medications": ("MedicationRequest", "MedicationRequest?encounter={{context.encounterId}}"),
    "laboratory": ("Observation", "Observation?encounter={{context.encounterId}}&category=laboratory"),
    "procedures": ("Procedure", "Procedure?encounter={{context.encounterId}}"),
}


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The systems of the identifiers that are a hospital's numbers of patients and stays; empty if none is named."""

    patient: str = ""
    encounter: str = ""


@dataclass(frozen=True, slots=True)
class Stay:
    """What an EHR gave about one stay, by the keys of `QUERIES`."""

    answers: Mapping[str, Answer]

    @classmethod
    def of_prefetch(cls, prefetch: Mapping[str, Any], patient: str, encounter: str) -> Self:
        """The stay of a prefetch. A resource that is of another patient or stay than these makes its kind unknown."""
        answers = {key: answer(prefetch, key, kind) for key, (kind, _) in QUERIES.items()}
        others = [one for one in answers["encounter"].resources or () if text(one, "id") != encounter]
        if others:
            problem = (
                f"the request is about Encounter/{encounter[:64]}, but its prefetch 'encounter' has {named(others)}"
            )
            answers["encounter"] = Answer(None, problem)
        return cls({key: _of(its, key, patient, encounter, strict=False) for key, its in answers.items()})

    @classmethod
    def of_bundle(cls, bundle: Resource, patient: str, encounter: str, none: frozenset[str]) -> Self:
        """The stay `encounter` of a Bundle that has everything about it, and perhaps other stays of the patient.

        A kind of which the Bundle has no resource is unknown, unless `none` names it: then there are none.
        """
        found: dict[str, Answer] = {}
        for key, (kind, _) in QUERIES.items():
            its = of_bundle(bundle, kind, "the Bundle")
            if its.resources == [] and kind not in none:
                its = Answer(None, f"the Bundle has no {kind}, and the request does not say that there is none")
            if its.resources is not None and key == "encounter":
                its = Answer([one for one in its.resources if text(one, "id") == encounter])
            elif its.resources is not None and key == "laboratory":
                its = Answer([one for one in its.resources if _is_of_laboratory(one)])
            found[key] = _of(its, key, patient, encounter, strict=True)
        return cls(found)

    @property
    def encounter(self) -> Resource | None:
        """The Encounter of the stay, if there is one and no other of its id."""
        its = self.answers["encounter"].resources
        return its[0] if its and len(its) == 1 else None


def read(stay: Stay, now: datetime, identifiers: Identifiers) -> Found:
    """The fields of the stay. Those of `FEATURES` that are neither known nor conflicting are `missing`."""
    found, encounter = Found(), stay.encounter
    if encounter is None:
        its = stay.answers["encounter"]
        if its.resources and len(its.resources) > 1:
            found.refuse(FEATURES, f"there are several Encounters of the stay: {named(its.resources)}")
            return found
        found.miss(FEATURES, its.problem or "the Encounter of the stay is not there")
        return found
    visits.read_patient(found, stay.answers["patient"], encounter)
    visits.read_stay(found, encounter, now)
    visits.read_earlier(found, stay.answers["encounters"], encounter)
    conditions.read(found, stay.answers["conditions"], encounter)
    medications.read(found, stay.answers["medications"])
    laboratory.read(found, stay.answers["laboratory"])
    _read_procedures(found, stay.answers["procedures"])
    patient = (stay.answers["patient"].resources or [{}])[0]
    _read_number(found, "patient_nbr", patient, identifiers.patient)
    _read_number(found, "encounter_id", encounter, identifiers.encounter)
    return found


def _read_procedures(found: Found, procedures: Answer) -> None:
    if procedures.resources is None:
        found.miss([PROCEDURES], procedures.problem)
        return
    done = [one for one in procedures.resources if text(one, "status") not in _NOT_DONE]
    found.give(PROCEDURES, len(done), named(done) if done else "no Procedure of the stay")


def _read_number(found: Found, name: str, resource: Resource, system: str) -> None:
    """The number that the resource's identifier of this system has."""
    if not system:
        return
    values = {text(one, "value") for one in listed(resource, "identifier") if text(one, "system") == system} - {""}
    if len(values) > 1:
        found.refuse([name], f"{name_of(resource)} has several identifiers of the system for {name}")
    elif values and (number := values.pop()).isascii() and number.isdigit() and len(number) < 20:
        found.give(name, int(number), f"{name_of(resource)}.identifier")
    elif values or resource:
        found.note(f"{name_of(resource)} has no identifier that is a number for {name}")


def _of(its: Answer, key: str, patient: str, encounter: str, *, strict: bool) -> Answer:
    """The resources that are of the stay, or None if one is of another patient.

    `strict`: one that does not say of which stay it is makes all of them unknown. Else the query has said it.
    """
    if its.resources is None:
        return its
    if key == "patient":
        strangers = [one for one in its.resources if text(one, "id") != patient]
    else:
        subjects = [(one, one["subject"]) for one in its.resources if isinstance(one.get("subject"), Mapping)]
        strangers = [one for one, subject in subjects if not is_referred(subject, "Patient", patient)]
    if strangers:
        return Answer(None, f"{named(strangers)} is of another patient")
    if key in ("patient", "encounter", "encounters"):
        return its
    silent = [one for one in its.resources if not text(one, "encounter", "reference")]
    if silent and strict:
        return Answer(None, f"{named(silent)} does not say of which stay it is")
    own = [one for one in its.resources if is_referred(one.get("encounter"), "Encounter", encounter)]
    return Answer([*own, *silent])


def _is_of_laboratory(observation: Resource) -> bool:
    codes = (code for one in listed(observation, "category") for _, code in codings(one))
    return "laboratory" in codes
