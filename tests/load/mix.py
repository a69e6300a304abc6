"""The requests of a hospital's systems, and how often each is sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from readmission.serving.ehr import FHIR, SERVICE

from tests import fhir_stays
from tests.load.patients import Patient

SHARES: Final[Mapping[str, int]] = {
    **{"predict": 60, "history": 10, "hook": 8, "fhir": 4},
    **{"batch": 5, "refused": 4, "job": 1, "health": 8},
}
"""Per cent of the requests, by the name of the kind, which is that of its method of `Mix`."""
BATCH_ROWS = 50


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the status and body content of a correct answer."""

    name: str
    method: str
    path: str
    body: str | None
    status: int
    holds: str

    def complaint(self, status: int, text: str) -> str | None:
        """What is wrong with an answer; None when it is correct."""
        if status != self.status:
            return f"status {status or 'none'}, not {self.status}"
        return None if self.holds in text else f"no {self.holds} in the answer"


class Mix:
    """Makes requests for varied patients; the same ones for the same seed. Each kind has a method of its name."""

    def __init__(self, patients: Sequence[Patient], seed: int) -> None:
        self._patients = patients
        self._random = Random(seed)

    def predict(self) -> Asked:
        """One patient, alternately as the 14 fields and as a raw row, which has the patient's number."""
        patient = self._random.choice(self._patients)
        document = patient.prepared if self._random.random() < 0.5 else patient.raw
        return Asked("predict", "POST", "/predict", json.dumps(document), 200, '"early_risk"')

    def history(self) -> Asked:
        """One patient by number, whose history an API with `PatientHistory` looks up."""
        document = self._random.choice(self._patients).named
        return Asked("history", "POST", "/predict", json.dumps(document), 200, '"early_risk"')

    def batch(self) -> Asked:
        """Patients with their numbers."""
        rows = [patient.named for patient in self._random.choices(self._patients, k=BATCH_ROWS)]
        body = json.dumps({"encounters": rows})
        return Asked("batch", "POST", "/predict/batch", body, 200, f'"index":{BATCH_ROWS - 1},')

    def hook(self) -> Asked:
        """The discharge of one patient, as an EHR sends it by CDS Hooks."""
        document = fhir_stays.stay_of(self._random.choice(self._patients).raw).hook()
        return Asked("hook", "POST", SERVICE, json.dumps(document), 200, "Readmission within 30 days")

    def fhir(self) -> Asked:
        """The stay of one patient as a FHIR Bundle."""
        stay = fhir_stays.stay_of(self._random.choice(self._patients).raw)
        resources = list(stay.resources())
        none = sorted(fhir_stays.KINDS - {one["resourceType"] for one in resources})
        path = f"{FHIR}?encounter={stay.encounter['id']}&none={','.join(none)}"
        return Asked(
            "fhir", "POST", path, json.dumps(fhir_stays.bundle(resources, "collection")), 200, "RiskAssessment"
        )

    def job(self) -> Asked:
        """A look at a scoring job that does not exist: what starts one is limited by its executions."""
        return Asked("job", "GET", "/jobs/load-test", None, 404, '"detail"')

    def refused(self) -> Asked:
        """A patient with a missing field. The correct answer is 422, and costs as much work as others."""
        fields = dict(self._random.choice(self._patients).prepared)
        missing = self._random.choice(sorted(fields))
        del fields[missing]
        return Asked("refused", "POST", "/predict", json.dumps(fields), 422, missing)

    def health(self) -> Asked:
        return Asked("health", "GET", "/health", None, 200, '"model_version"')
