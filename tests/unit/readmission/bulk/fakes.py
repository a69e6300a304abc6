"""A bucket, a registry and a database of histories in memory, and a job that runs on them as the state machine does."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

from readmission.bulk import plan, score
from readmission.bulk.job_files import JobFiles
from readmission.bulk.score import Databases
from readmission.domain import jobs
from readmission.domain.features import PATIENT_HISTORY
from readmission.serving.encounters import Patient
from readmission.serving.patient_history import EarlierStays
from readmission.settings import SourceSettings

from tests.unit.readmission.builders import BUCKET, FakeS3, client_error
from tests.unit.readmission.documents import CONTEXT, document, stump
from tests.unit.readmission.serving.fakes import FakeRegistry

STARTED = "2026-11-27T01:00:00+00:00"
KEY = "scoring/incoming/night.csv"
LIMITS = SourceSettings()
# Uses the features, and a field of the history: two trees, of which one splits by number_inpatient.
MODEL = document(
    {
        "type": "boosting",
        "baseline": [-1.5, -0.5, 0.5],
        "trees": [[stump(0, 1.5, -0.25, 0.75)], [stump(1, 2.5, 0.1, 0.2)], [stump(2, 0.5, 0.3, -0.3)]],
    },
    features=("number_inpatient", "num_medications", "prior_encounters"),
    context=CONTEXT,
)
PREPARED = {
    "age_numeric": 55,
    "time_in_hospital": 3,
    "num_lab_procedures": 45,
    "num_procedures": 1,
    "num_medications": 15,
    "number_outpatient": 0,
    "number_emergency": 0,
    "number_inpatient": 0,
    "number_diagnoses": 9,
    "max_glu_serum_encoded": 0,
    "a1cresult_encoded": 0,
    "change_encoded": 1,
    "diabetesmed_encoded": 1,
    "num_diabetes_meds": 2,
}


class Bucket(FakeS3):
    """All calls of S3 that a job makes. `fails_at` are the keys at whose next write the step breaks off."""

    def __init__(self, **objects: bytes) -> None:
        super().__init__(**objects)
        self.fails_at: list[str] = []

    def put_object(self, *, IfNoneMatch: str | None = None, **given: Any) -> None:  # type: ignore[override]
        for ending in self.fails_at:
            if given["Key"].endswith(ending):
                self.fails_at.remove(ending)
                raise Killed
        if IfNoneMatch and given["Key"] in self.objects:
            raise client_error("PreconditionFailed")
        super().put_object(**given)

    def upload_fileobj(self, file: Any, bucket: str, key: str, ExtraArgs: Any) -> None:
        self.put_object(Bucket=bucket, Key=key, Body=file.read(), **ExtraArgs)

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        del self.objects[Key]

    def get_paginator(self, name: str) -> Any:
        assert name == "list_objects_v2"
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        found = [key for key in sorted(self.objects) if key.startswith(Prefix)]
        order = {key: place for place, key in enumerate(self.objects)}
        yield {
            "Contents": [
                {
                    "Key": key,
                    "Size": len(self.objects[key]),
                    "ETag": f"etag of {hash(self.objects[key])}",
                    "LastModified": datetime.fromtimestamp(order[key], UTC),
                }
                for key in found
            ]
        }


class Killed(BaseException):
    """The process of the function ended."""


class Job:
    """A job over a file. `stays` are the numbers of earlier stays that the database knows, by patient."""

    def __init__(self, content: bytes, *, job: str = "job", model: Any = MODEL, bucket: Bucket | None = None) -> None:
        self.bucket = bucket or Bucket()
        self.bucket.objects[KEY] = content
        self.files = JobFiles(self.bucket, BUCKET, job)  # type: ignore[arg-type]
        self.registry = FakeRegistry()
        self.registry.promote("1", model)
        self.stays: dict[int, int] = {}
        self.asked: list[Patient] = []

    def plan(self, **changes: Any) -> jobs.JobPlan:
        event = {"task": "plan", "execution": self.files.job, "started_at": STARTED, "input": {"source": KEY} | changes}
        return plan.plan(event, self.files, self.registry, nullcontext(), LIMITS)  # type: ignore[arg-type]

    def score(self, chunk: int) -> jobs.ChunkResult:
        return score.score(chunk, self.files, self.registry, Databases(self._no_connection))  # type: ignore[arg-type]

    def run(self, **changes: Any) -> jobs.JobResult:
        for chunk in self.plan(**changes)["chunks"]:
            self.score(chunk)
        return score.finish(self.files)

    def look_up(self, patients: Sequence[Patient], data_kind: str, _: Any) -> list[EarlierStays]:
        """Stands for `rows.look_up`."""
        self.asked += patients
        none = dict.fromkeys(PATIENT_HISTORY)
        return [
            EarlierStays(count, none | {"prior_encounters": count, "prior_early_readmissions": 0})
            for count in (self.stays.get(one.patient_nbr, 0) for one in patients)
        ]

    def table(self, name: str) -> list[dict[str, str]]:
        """The lines of a CSV of the job."""
        content = self.files.read(name)
        assert content is not None
        return list(csv.DictReader(io.StringIO(content.decode(), newline="")))

    def written(self) -> dict[str, bytes]:
        """All files of the job."""
        prefix = self.files.key("")
        return {key: content for key, content in self.bucket.objects.items() if key.startswith(prefix)}

    @contextmanager
    def _no_connection(self) -> Iterator[Any]:
        yield None


def csv_file(*encounters: dict[str, Any], header: Sequence[str] | None = None) -> bytes:
    """A CSV of encounters, whose first one has all columns."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, header or list(encounters[0]), restval="")
    writer.writeheader()
    writer.writerows(encounters)
    return out.getvalue().encode()
