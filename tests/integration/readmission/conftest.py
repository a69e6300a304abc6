"""The package on real servers: Postgres, MLflow, and LocalStack for S3 and Secrets Manager."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import boto3
import pytest
from pg8000.native import Connection
from readmission import settings
from readmission.domain.contract import NAMES
from readmission.domain.payloads import (
    CheckResult,
    CleanResult,
    IngestResult,
    Plan,
    PlanEvent,
    WithdrawalResult,
    parse_request,
)
from readmission.pipeline import mapping_file, synthetic
from readmission.pipeline.check import check
from readmission.pipeline.clean import clean
from readmission.pipeline.ingest import ingest
from readmission.pipeline.plan import Databases, plan, to_csv
from readmission.pipeline.publication import withdraw
from readmission.pipeline.sources import Reading
from readmission.storage.database import connect
from readmission.storage.migrations import migrate

from tests.platforms import Platform

RAW_TABLES = "diabetes_raw, batch, shared_row"
CLEAN_TABLES = "diabetes_clean, clean_row, quarantine, batch_report, delivery, delivery_batch"
BUCKETS = ("readmission-data-000000000000", "readmission-mlflow-000000000000")
_deliveries = count(1)
# The content of the tables by database and name, as COPY writes it.
type Snapshot = dict[tuple[str, str], bytes]


@dataclass
class Stores:
    """The databases and buckets, and the pipeline's steps on them, called as the functions call them."""

    raw: Connection
    clean: Connection
    s3: Any
    plans: list[Plan] = field(default_factory=list)
    snapshots: dict[Any, Snapshot] = field(default_factory=dict)

    def deliver(self, rows: Sequence[Sequence[str]], header: Sequence[str] = NAMES, **request: Any) -> Plan:
        """Plan a run over `rows`; each delivery is a second later than the one before."""
        number = next(_deliveries)
        key = f"sources/{number}.csv"
        self.s3.put_object(Bucket=BUCKETS[0], Key=key, Body=to_csv([header, *rows]).encode())
        return self.plan(number, source=f"s3://{BUCKETS[0]}/{key}", **request)

    def plan(self, number: int = 0, **request: Any) -> Plan:
        number = number or next(_deliveries)
        event = PlanEvent(
            execution=f"run-{number}",
            started_at=f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            input=request,
        )
        parsed = parse_request(request)
        source = parsed.source or "synthetic:rows=100"
        own = parsed.mapping or mapping_file.of_incoming(parsed, BUCKETS[0], self.s3)
        reading = Reading(mapping=mapping_file.read(own, source, self.s3))
        databases = Databases(self.raw, self.clean)
        return plan(event, parsed, source, BUCKETS[0], self.s3, databases, reading=reading)

    def ingest(self, planned: Plan) -> list[IngestResult]:
        return [
            ingest({"manifest": planned["manifest"], "batch": number}, BUCKETS[0], self.s3, self.raw)
            for number in planned["batches"]
        ]

    def tidy(self, planned: Plan) -> list[CleanResult]:
        """Clean every batch of the run, and accept its deliveries whatever their rows are."""
        results = self.clean_batches(planned)
        self.check(planned, 1)
        return results

    def clean_batches(self, planned: Plan) -> list[CleanResult]:
        return [
            clean({"manifest": planned["manifest"], "batch": number}, BUCKETS[0], self.s3, self.raw, self.clean)
            for number in planned["batches"]
        ]

    def withdraw(self, planned: Plan, reason: str = "") -> WithdrawalResult:
        return withdraw({"delivery": delivery_of(planned), "reason": reason}, self.clean)

    def empty(self) -> None:
        self.raw.run(f"TRUNCATE {RAW_TABLES}")
        self.clean.run(f"TRUNCATE {CLEAN_TABLES}")

    def load_once(self, key: Any, load: Callable[[], object]) -> None:
        """Run `load`, or restore the rows that it left behind when it ran under this key before."""
        if key in self.snapshots:
            self.empty()
            for (database, table), content in self.snapshots[key].items():
                self._database(database).run(f"COPY {table} FROM STDIN", stream=io.BytesIO(content))
        else:
            load()
            self.snapshots[key] = dict(self._tables())

    def _tables(self) -> Iterator[tuple[tuple[str, str], bytes]]:
        for database, tables in (("raw", RAW_TABLES), ("clean", CLEAN_TABLES)):
            for table in tables.split(", "):
                content = io.BytesIO()
                self._database(database).run(f"COPY {table} TO STDOUT", stream=content)
                yield (database, table), content.getvalue()

    def _database(self, name: str) -> Connection:
        return {"raw": self.raw, "clean": self.clean}[name]

    def check(self, planned: Plan, max_share: float) -> CheckResult:
        return check({"manifest": planned["manifest"]}, BUCKETS[0], self.s3, self.clean, max_share)

    def load(self, rows: Sequence[Sequence[str]], **request: Any) -> tuple[list[IngestResult], list[CleanResult]]:
        planned = self.deliver(rows, **request)
        return self.ingest(planned), self.tidy(planned)


class CachedCredentials:
    """A fake for the cached credentials."""

    def __init__(self, credentials: dict[str, object]) -> None:
        self.credentials = credentials

    def __call__(self, secret: str) -> dict[str, object]:
        return self.credentials

    def cache_clear(self) -> None:
        return


@pytest.fixture(scope="session")
def snapshots() -> dict[Any, Snapshot]:
    """The rows that tests load in the same way, by how they are loaded."""
    return {}


@pytest.fixture
def stores(system: Platform, snapshots: dict[Any, Snapshot]) -> Iterator[Stores]:
    """Both databases migrated and empty."""
    database = settings.DatabaseSettings.from_environment()
    s3 = boto3.client("s3")
    for bucket in BUCKETS:
        s3.create_bucket(Bucket=bucket)
    with connect("raw", database) as raw, connect("clean", database) as clean_:
        migrate(raw, "raw")
        migrate(clean_, "clean")
        stores = Stores(raw, clean_, s3, snapshots=snapshots)
        stores.empty()
        yield stores
    s3.close()


@pytest.fixture(scope="session")
def trainings() -> dict[Any, Any]:
    """`Trainings` of the module `models` that tests on the same rows share."""
    return {}


@pytest.fixture
def rows() -> list[list[str]]:
    """Forty valid encounters."""
    return list(synthetic.rows(40, seed=3))


def hashes_as_digits(raw: Connection) -> None:
    """Make the database `raw` that of the release before `0005_row_hash_bytes.sql`."""
    for table in ("diabetes_raw", "shared_row"):
        raw.run(f"ALTER TABLE {table} DROP CONSTRAINT {table}_row_hash_check")
        raw.run(f"""ALTER TABLE {table} ALTER row_hash TYPE text COLLATE "C" USING encode(row_hash, 'hex')""")
    raw.run("DELETE FROM schema_migrations WHERE name = '0005_row_hash_bytes.sql'")


def changed(row: Sequence[str], **fields: str) -> list[str]:
    """The row with some changes."""
    return [fields.get(name, value) for name, value in zip(NAMES, row, strict=True)]


def delivery_of(planned: Plan) -> str:
    """The id of the run's delivery."""
    return planned["manifest"].split("/")[2]


def manifest_of(stores: Stores, planned: Plan) -> Any:
    return json.loads(stores.s3.get_object(Bucket=BUCKETS[0], Key=planned["manifest"])["Body"].read())
