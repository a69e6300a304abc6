"""What a hospital's systems ask of the API, and how often."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.load.patients import Patient

# Of a hundred requests.
PREDICT, BATCH, REFUSED, HEALTH = 80, 5, 5, 10
BATCH_ROWS = 50
KINDS = ("predict", "batch", "refused", "health")  # names of `Asked`


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and how a right answer to it looks: its status, and what stands in its body."""

    name: str
    method: str
    path: str
    body: str | None
    status: int
    holds: str

    def complaint(self, status: int, text: str) -> str | None:
        """What is wrong with an answer; None when it is as it should be."""
        if status != self.status:
            return f"status {status or 'none'}, not {self.status}"
        return None if self.holds in text else f"no {self.holds} in the answer"


class Mix:
    """Makes requests of varied patients; the same ones for the same seed."""

    def __init__(self, patients: Sequence[Patient], seed: int) -> None:
        self._patients = patients
        self._random = Random(seed)

    def predict(self) -> Asked:
        """One patient: every second in the 14 fields, every second as a raw row."""
        patient = self._random.choice(self._patients)
        document = patient.prepared if self._random.random() < 0.5 else patient.raw
        return Asked("predict", "POST", "/predict", json.dumps(document), 200, '"early_risk"')

    def batch(self) -> Asked:
        rows = [patient.prepared for patient in self._random.choices(self._patients, k=BATCH_ROWS)]
        body = json.dumps({"encounters": rows})
        return Asked("batch", "POST", "/predict/batch", body, 200, f'"index":{BATCH_ROWS - 1},')

    def refused(self) -> Asked:
        """A patient with a field that is missing: 422 is the right answer, and as much work as another."""
        fields = dict(self._random.choice(self._patients).prepared)
        missing = self._random.choice(sorted(fields))
        del fields[missing]
        return Asked("refused", "POST", "/predict", json.dumps(fields), 422, missing)

    def health(self) -> Asked:
        return Asked("health", "GET", "/health", None, 200, '"model_version"')
