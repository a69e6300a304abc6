"""A stack of the release before deliveries is taken over with its rows."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import pytest
from pg8000.native import Connection
from readmission.domain.contract import NAMES, sql_name
from readmission.domain.features import fields_of, inputs_of
from readmission.domain.payloads import DataKind
from readmission.domain.splits import split_of
from readmission.evaluation import dataset
from readmission.pipeline import data_report, deliveries, synthetic
from readmission.pipeline.adoption import adopt
from readmission.pipeline.ingest import row_hash
from readmission.pipeline.publication import withdraw
from readmission.storage import migrations
from readmission.storage.migrations import migrate

from tests.integration.readmission.conftest import Stores, changed

OLD = {"raw": ("0001_encounters.sql",), "clean": tuple(f"000{number}_" for number in range(1, 6))}
TIMES = ("2025-01-01T00:00:00.5Z", "2025-02-01T00:00:00Z")
ENCOUNTER = "SELECT encounter_id, row_hash, readmitted, num_medications FROM diabetes_clean ORDER BY encounter_id"


@pytest.fixture
def before(stores: Stores) -> Stores:
    """Both databases as the release before left them, empty."""
    for database, connection in (("raw", stores.raw), ("clean", stores.clean)):
        connection.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.run("CREATE TABLE schema_migrations (name text PRIMARY KEY, applied_at timestamptz DEFAULT now())")
        folder = files(migrations) / database
        for name in sorted(one.name for one in folder.iterdir() if one.name.startswith(OLD[database])):
            connection.run((folder / name).read_text())
            connection.run("INSERT INTO schema_migrations (name) VALUES (:name)", name=name)
    return stores


def loaded(raw: Connection, rows: Sequence[Sequence[str]], batch: str, time: str, kind: DataKind = "real") -> None:
    """Rows in the raw table as the release before loaded them."""
    columns = ("row_hash", "split", "row_number", "batch_id", "data_kind", "delivered_at", *map(sql_name, NAMES))
    values = ", ".join(f":v{index}" for index in range(len(columns)))
    for number, row in enumerate(rows, start=1):
        line = (row_hash(row), split_of(row[1]), number, batch, kind, time, *row)
        parameters = {f"v{index}": value for index, value in enumerate(line)}
        raw.run(f"INSERT INTO diabetes_raw ({', '.join(columns)}) VALUES ({values})", **parameters)


def cleaned(stores: Stores, rows: Sequence[Sequence[str]], batch: str, time: str) -> None:
    """Rows in the clean table as the release before cleaned them: made by today's code, cut to its columns."""
    columns = [
        name
        for (name,) in stores.clean.run(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'diabetes_clean'"
        )
    ]
    for number, row in enumerate(rows, start=1):
        named: dict[str, Any] = dict(zip(map(sql_name, NAMES), row, strict=True))
        named |= inputs_of(fields_of(dict(zip(NAMES, row, strict=True))))
        named |= {
            "data_kind": "real",
            "split": split_of(row[1]),
            "row_hash": row_hash(row),
            "batch_id": batch,
            "delivered_at": time,
            "row_number": number,
            "cleaned_at": time,
        }
        values = ", ".join(f":{name}" for name in columns)
        stores.clean.run(
            f"INSERT INTO diabetes_clean ({', '.join(columns)}) VALUES ({values})"
            " ON CONFLICT (data_kind, encounter_id) DO UPDATE SET row_hash = excluded.row_hash,"
            " readmitted = excluded.readmitted, batch_id = excluded.batch_id, delivered_at = excluded.delivered_at",
            **{name: named[name] for name in columns},
        )


def upgraded(stores: Stores) -> int:
    migrate(stores.raw, "raw")
    migrate(stores.clean, "clean")
    return adopt(stores.raw, stores.clean)


def corrected(row: list[str]) -> list[str]:
    return changed(row, readmitted="<30" if row[-1] != "<30" else "NO")


@pytest.fixture
def stack(before: Stores, rows: list[list[str]]) -> Stores:
    """Forty encounters in two batches, of which a second delivery corrected ten."""
    for name, some in (("a", rows[:20]), ("b", rows[20:])):
        loaded(before.raw, some, name, TIMES[0])
        cleaned(before, some, name, TIMES[0])
    later = [corrected(row) for row in rows[:10]]
    loaded(before.raw, later, "c", TIMES[1])
    cleaned(before, later, "c", TIMES[1])
    report = {"rows": 20, "cleaned": 20, "quarantined": 0, "rules": {}, "missing": {}, "classes": {}, "splits": {}}
    before.clean.run("INSERT INTO batch_report (batch_id, report) VALUES ('b', :report)", report=json.dumps(report))
    return before


def test_the_rows_stay_and_become_deliveries(stack: Stores) -> None:
    rows = stack.clean.run(ENCOUNTER)
    assert upgraded(stack) == 2
    assert stack.clean.run(ENCOUNTER) == rows
    assert stack.raw.run("SELECT count(*) FROM diabetes_raw") == [[50]]
    found = deliveries.read(stack.clean, 10)
    assert [(one["delivery_id"], one["status"], one["rows"]) for one in found] == [
        ("earlier-real-20250201T000000.000000", "accepted", 10),
        ("earlier-real-20250101T000000.500000", "accepted", 40),
    ]
    assert len(dataset.read(stack.clean, "real")) + sum(dataset.excluded(stack.clean, "real").values()) == 40


def test_it_happens_once(stack: Stores) -> None:
    upgraded(stack)
    assert upgraded(stack) == 0


def test_the_report_on_a_batch_goes_with_its_rows(stack: Stores) -> None:
    upgraded(stack)
    # The batch with rows that were replaced was cleaned again; that of the corrections has no report yet.
    assert [report["rows"] for report in data_report.of_clean_rows(stack.clean, "real").values()] == [20, 20]


def test_a_run_from_clean_gives_the_same_rows(stack: Stores) -> None:
    upgraded(stack)
    rows = stack.clean.run(ENCOUNTER)
    planned = stack.plan(start_at="clean")
    stack.clean_batches(planned)
    assert stack.check(planned, 0) == {"rows": 50, "cleaned": 50, "quarantined": 0, "duplicates": 0}
    assert stack.clean.run(ENCOUNTER) == rows


def test_a_delivery_of_the_earlier_release_can_be_withdrawn(stack: Stores, rows: list[list[str]]) -> None:
    upgraded(stack)
    withdraw({"delivery": "earlier-real-20250201T000000.000000"}, stack.clean)
    assert [[one[0], one[2]] for one in stack.clean.run(ENCOUNTER)] == [[int(row[0]), row[-1]] for row in rows]


def test_the_same_source_delivered_again_adds_nothing(stack: Stores, rows: list[list[str]]) -> None:
    upgraded(stack)
    before = stack.clean.run(ENCOUNTER)
    loaded_now, _ = stack.load(rows, batch_size=20)
    assert sum(one["added"] for one in loaded_now) == 0
    assert stack.clean.run(ENCOUNTER) == before


def test_a_new_stack_has_nothing_to_take_over(stores: Stores) -> None:
    assert adopt(stores.raw, stores.clean) == 0


def test_synthetic_rows_are_deliveries_of_their_own(before: Stores) -> None:
    loaded(before.raw, list(synthetic.rows(5, seed=1)), "s", TIMES[0], "synthetic")
    assert upgraded(before) == 1
    assert [one["data_kind"] for one in deliveries.read(before.clean, 10)] == ["synthetic"]
