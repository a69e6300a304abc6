"""Outcomes on a real Postgres, and the view that gives each logged forecast its label."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import Any

import pytest
from readmission import settings
from readmission.domain.contract import NAMES
from readmission.pipeline.outcomes import Outcome, store
from readmission.storage.database import connect

from tests.integration.readmission.conftest import Stores, changed

DATED = (*NAMES, "discharge_date")


@pytest.fixture(autouse=True)
def forecasts(stores: Stores) -> Iterator[None]:
    """No forecasts and no outcomes."""
    stores.clean.run("TRUNCATE prediction, outcome")
    yield
    stores.clean.run("TRUNCATE prediction, outcome")


def forecast(stores: Stores, encounter_id: int | str, **columns: Any) -> None:
    """Log a forecast of 1 January 2026."""
    fields = {"site": "default", "data_kind": "real", "answered_at": "2026-01-01T12:00:00Z", **columns}
    stores.clean.run(
        "INSERT INTO prediction (log_id, request_id, position, answered_at, route, model_name, model_version,"
        " data_kind, site, encounter_id, inputs, p_early, p_late, p_none) VALUES (gen_random_uuid()::text, 'ward-7', 0,"
        " CAST(:answered_at AS timestamptz), '/predict', 'readmission', '1', :data_kind, :site,"
        " CAST(:encounter_id AS bigint), '{}', 0.1, 0.3, 0.6)",
        encounter_id=str(encounter_id),
        **fields,
    )


def label(stores: Stores, encounter_id: int | str) -> tuple[str | None, datetime | None, date]:
    ((readmitted, known_at, discharged_on),) = stores.clean.run(
        "SELECT readmitted, known_at, discharged_on FROM forecast_outcome WHERE encounter_id = CAST(:id AS bigint)",
        id=str(encounter_id),
    )
    return readmitted, known_at, discharged_on


def report(stores: Stores, readmitted: str, encounter_id: int | str, when: str, **fields: Any) -> None:
    """An outcome that was reported at that time."""
    outcome = Outcome(0, fields.pop("site", "default"), int(encounter_id), readmitted, **fields)
    assert store(stores.clean, [outcome], f"{when} {readmitted}", None) == {0: "stored"}
    stores.clean.run(
        "UPDATE outcome SET reported_at = CAST(:at AS timestamptz) WHERE request_id = :id",
        at=when,
        id=f"{when} {readmitted}",
    )


def load(stores: Stores, row: list[str], taken_on: str) -> None:
    """Deliver a row with a date, and accept it."""
    planned = stores.deliver([row], DATED, taken_on=taken_on)
    stores.ingest(planned)
    stores.tidy(planned)


def reported(stores: Stores) -> list[Any]:
    return stores.clean.run(
        "SELECT site, encounter_id, readmitted, discharge_date, reported_by, request_id, position FROM outcome"
        " ORDER BY id"
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# ---------------------------------------------------------------- storing
def test_outcomes_are_stored_once_however_often_the_request_comes(stores: Stores) -> None:
    outcomes = [Outcome(0, "north", 2**62, "<30", date(2026, 1, 31)), Outcome(3, "default", 7, "NO")]
    assert store(stores.clean, outcomes, "ward-7", "token:u-17") == {0: "stored", 3: "stored"}
    assert store(stores.clean, outcomes, "ward-7", "token:u-17") == {0: "repeated", 3: "repeated"}
    assert reported(stores) == [
        ["north", 2**62, "<30", date(2026, 1, 31), "token:u-17", "ward-7", 0],
        ["default", 7, "NO", None, "token:u-17", "ward-7", 3],
    ]


@pytest.mark.parametrize(
    "other",
    [
        Outcome(0, "north", 7, "NO"),
        Outcome(0, "default", 8, "NO"),
        Outcome(0, "default", 7, "<30"),
        Outcome(0, "default", 7, "NO", date(2026, 1, 31)),
    ],
)
def test_another_outcome_in_the_same_place_of_a_request_is_a_conflict_and_changes_nothing(
    stores: Stores, other: Outcome
) -> None:
    first, more = Outcome(0, "default", 7, "NO"), Outcome(1, "default", 9, "NO")
    store(stores.clean, [first], "ward-7", None)
    assert store(stores.clean, [other, more], "ward-7", None) == {0: "conflict", 1: "stored"}
    assert [line[1:3] for line in reported(stores)] == [[7, "NO"], [9, "NO"]]


def test_requests_with_the_same_id_at_once_store_each_outcome_once(stores: Stores) -> None:
    outcomes = [Outcome(place, "default", place + 1, "NO") for place in range(200)]
    database = settings.DatabaseSettings.from_environment()

    def run(_: int) -> dict[int, str]:
        with connect("clean", database) as clean:
            return dict(store(clean, outcomes, "ward-7", None))

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(run, range(4)))
    assert len(reported(stores)) == 200
    for place in range(200):
        assert sorted(one[place] for one in answers) == ["repeated"] * 3 + ["stored"]


# ---------------------------------------------------------------- labels of forecasts
def test_a_forecast_without_a_label_is_in_the_view_with_none(stores: Stores) -> None:
    forecast(stores, 7)
    assert label(stores, 7) == (None, None, date(2026, 1, 1))


def test_the_newest_report_counts_and_its_repetition_confirms_it(stores: Stores) -> None:
    forecast(stores, 7)
    report(stores, "NO", 7, "2026-01-10T00:00:00Z")
    report(stores, "<30", 7, "2026-01-20T00:00:00Z", discharge_date=date(2025, 12, 31))
    assert label(stores, 7) == ("<30", utc("2026-01-20"), date(2025, 12, 31))
    report(stores, "NO", 7, "2026-02-20T00:00:00Z")
    assert label(stores, 7) == ("NO", utc("2026-02-20"), date(2025, 12, 31))
    report(stores, "NO", 7, "2026-02-25T00:00:00Z")
    assert label(stores, 7)[:2] == ("NO", utc("2026-02-25"))


def test_of_one_request_the_last_outcome_of_an_encounter_counts(stores: Stores) -> None:
    forecast(stores, 7)
    store(stores.clean, [Outcome(0, "default", 7, "NO"), Outcome(1, "default", 7, ">30")], "ward-7", None)
    assert label(stores, 7)[0] == ">30"


def test_sites_have_outcomes_of_their_own(stores: Stores) -> None:
    forecast(stores, 7)
    report(stores, "<30", 7, "2026-01-20T00:00:00Z", site="north")
    assert label(stores, 7)[0] is None


def test_a_delivered_row_is_a_label_of_its_site_and_kind_once_its_delivery_is_accepted(
    stores: Stores, rows: list[list[str]]
) -> None:
    encounter, outcome = rows[0][0], rows[0][-1]
    forecast(stores, encounter)
    planned = stores.deliver(rows)
    stores.ingest(planned)
    stores.clean_batches(planned)
    assert label(stores, encounter)[0] is None
    stores.check(planned, 1)
    readmitted, known_at, discharged_on = label(stores, encounter)
    assert (readmitted, discharged_on) == (outcome, date(2026, 1, 1))
    assert known_at and known_at.date() == date(2026, 1, 1)
    stores.clean.run("TRUNCATE prediction")
    forecast(stores, encounter, data_kind="synthetic")
    assert label(stores, encounter)[0] is None
    stores.clean.run("TRUNCATE prediction")
    forecast(stores, encounter, site="north")
    assert label(stores, encounter)[0] is None
    stores.clean.run("TRUNCATE prediction")
    forecast(stores, encounter)
    stores.withdraw(planned)
    assert label(stores, encounter)[0] is None


def test_a_row_that_comes_again_confirms_its_label_but_does_not_replace_what_was_reported_since(
    stores: Stores, rows: list[list[str]]
) -> None:
    row = [*changed(rows[0], readmitted="NO"), "2025-11-20"]
    forecast(stores, row[0])
    load(stores, row, "2025-11-25")
    assert label(stores, row[0]) == ("NO", utc("2025-11-25"), date(2025, 11, 20))
    load(stores, row, "2025-12-30")
    assert label(stores, row[0]) == ("NO", utc("2025-12-30"), date(2025, 11, 20))
    report(stores, "<30", row[0], "2026-01-05T00:00:00Z")
    load(stores, row, "2025-12-31")
    assert label(stores, row[0]) == ("<30", utc("2026-01-05"), date(2025, 11, 20))


def test_a_corrected_row_replaces_an_older_report(stores: Stores, rows: list[list[str]]) -> None:
    forecast(stores, rows[0][0])
    report(stores, "NO", rows[0][0], "2025-12-01T00:00:00Z")
    stores.load([changed(rows[0], readmitted=">30")])
    assert label(stores, rows[0][0])[0] == ">30"


def test_the_view_has_every_column_of_the_forecast(stores: Stores) -> None:
    def columns(name: str) -> list[str]:
        found = stores.clean.run(
            "SELECT column_name FROM information_schema.columns WHERE table_name = :name ORDER BY ordinal_position",
            name=name,
        )
        return [column for (column,) in found]

    assert columns("forecast_outcome") == [*columns("prediction"), "readmitted", "known_at", "discharged_on"]
