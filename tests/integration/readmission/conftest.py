"""The package on real servers: Postgres, MLflow, and LocalStack for S3 and Secrets Manager."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import boto3
import pytest
from pg8000.native import Connection
from readmission import settings
from readmission.domain.contract import NAMES
from readmission.domain.payloads import CheckResult, CleanResult, IngestResult, Plan, PlanEvent, parse_request
from readmission.pipeline import synthetic
from readmission.pipeline.check import check
from readmission.pipeline.clean import clean
from readmission.pipeline.ingest import ingest
from readmission.pipeline.plan import plan, to_csv
from readmission.storage.database import connect
from readmission.storage.migrations import migrate

from tests.platforms import Platform

BUCKETS = ("readmission-data-000000000000", "readmission-mlflow-000000000000")
_deliveries = count(1)


@dataclass
class Stores:
    """The databases and buckets, and the pipeline's steps on them, called as the functions call them."""

    raw: Connection
    clean: Connection
    s3: Any
    plans: list[Plan] = field(default_factory=list)

    def deliver(self, rows: Sequence[Sequence[str]], **request: Any) -> Plan:
        """Plan a run over `rows`; each delivery is a second later than the one before."""
        number = next(_deliveries)
        key = f"sources/{number}.csv"
        self.s3.put_object(Bucket=BUCKETS[0], Key=key, Body=to_csv([NAMES, *rows]).encode())
        return self.plan(number, source=f"s3://{BUCKETS[0]}/{key}", **request)

    def plan(self, number: int = 0, **request: Any) -> Plan:
        event = PlanEvent(
            execution=f"run-{number or next(_deliveries)}",
            started_at=f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            input=request,
        )
        parsed = parse_request(request)
        return plan(event, parsed, parsed.source or "synthetic:rows=100", BUCKETS[0], self.s3, self.raw)

    def ingest(self, planned: Plan) -> list[IngestResult]:
        return [
            ingest({"manifest": planned["manifest"], "batch": number}, BUCKETS[0], self.s3, self.raw)
            for number in planned["batches"]
        ]

    def tidy(self, planned: Plan) -> list[CleanResult]:
        return [
            clean({"manifest": planned["manifest"], "batch": number}, BUCKETS[0], self.s3, self.raw, self.clean)
            for number in planned["batches"]
        ]

    def check(self, planned: Plan, max_share: float) -> CheckResult:
        return check({"manifest": planned["manifest"]}, BUCKETS[0], self.s3, self.clean, max_share)

    def load(self, rows: Sequence[Sequence[str]], **request: Any) -> tuple[list[IngestResult], list[CleanResult]]:
        planned = self.deliver(rows, **request)
        return self.ingest(planned), self.tidy(planned)


@pytest.fixture
def stores(system: Platform) -> Iterator[Stores]:
    """Both databases migrated and empty."""
    database = settings.DatabaseSettings.from_environment()
    s3 = boto3.client("s3")
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=bucket)
    with connect("raw", database) as raw, connect("clean", database) as clean_:
        migrate(raw, "raw")
        migrate(clean_, "clean")
        raw.run("TRUNCATE diabetes_raw")
        clean_.run("TRUNCATE diabetes_clean, quarantine, batch_report")
        yield Stores(raw, clean_, s3)
    s3.close()


@pytest.fixture(scope="session")
def trainings() -> dict[Any, Any]:
    """`Trainings` of the module `models` that tests on the same rows share."""
    return {}


@pytest.fixture
def rows() -> list[list[str]]:
    """Forty valid encounters."""
    return list(synthetic.rows(40, seed=3))


def changed(row: Sequence[str], **fields: str) -> list[str]:
    """The row with some changes."""
    return [fields.get(name, value) for name, value in zip(NAMES, row, strict=True)]


def manifest_of(stores: Stores, planned: Plan) -> Any:
    return json.loads(stores.s3.get_object(Bucket=BUCKETS[0], Key=planned["manifest"])["Body"].read())
