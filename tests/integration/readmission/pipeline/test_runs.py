"""Which executions go on, and why each was started."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from readmission import settings
from readmission.domain.payloads import parse_request
from readmission.pipeline import runs
from readmission.storage.database import connect

from tests.integration.readmission.conftest import Stores

PAUSE = timedelta(hours=24)


@pytest.fixture(autouse=True)
def no_runs(stores: Stores) -> None:
    stores.clean.run("TRUNCATE pipeline_run")


def register(
    stores: Stores, execution: str, hour: int = 0, day: int = 1, pause: timedelta = PAUSE, **request: Any
) -> str | None:
    return runs.register(
        stores.clean, execution, f"2026-01-{day:02}T{hour:02}:00:00.123Z", parse_request(request), pause
    )


def test_a_run_is_recorded_with_who_started_it_and_why(stores: Stores) -> None:
    assert register(stores, "a", by="Ada", reason="new codes") is None
    assert register(stores, "b", started_by="schedule", event="e-1") is None
    found = stores.clean.run("SELECT execution, started_by, actor, reason, event FROM pipeline_run ORDER BY execution")
    assert found == [["a", "person", "Ada", "new codes", None], ["b", "schedule", "schedule", None, "e-1"]]


def test_an_event_that_is_delivered_twice_starts_one_run(stores: Stores) -> None:
    assert register(stores, "a", started_by="new object", event="e-1") is None
    for _ in range(2):  # plan may run twice
        assert register(stores, "b", started_by="new object", event="e-1") == (
            "the event e-1 has started the execution a already"
        )
        assert register(stores, "a", started_by="new object", event="e-1") is None


def test_an_event_delivered_twice_at_once_starts_one_run(stores: Stores) -> None:
    def one(name: str) -> str | None:
        with connect("clean", settings.DatabaseSettings.from_environment()) as clean:
            return runs.register(clean, name, "2026-01-01T00:00:00Z", parse_request({"event": "e-1"}), PAUSE)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, "abcd")).count(None) == 1


def test_between_two_runs_that_drift_starts_is_a_pause(stores: Stores) -> None:
    drift = {"started_by": "drift", "start_at": "train"}
    assert register(stores, "a", **drift) is None
    assert register(stores, "b", hour=23, **drift) == (
        "the execution a, which drift started at 2026-01-01 00:00 UTC, is less than 24 hours ago"
    )
    assert register(stores, "c", day=2, hour=1, **drift) is None  # the skipped run does not prolong the pause


def test_the_pause_concerns_runs_of_drift_only(stores: Stores) -> None:
    assert register(stores, "a", started_by="schedule") is None
    assert register(stores, "b", started_by="drift") is None
    assert register(stores, "c", started_by="schedule") is None
    assert register(stores, "d") is None


def test_without_a_pause_each_alert_starts_a_run(stores: Stores) -> None:
    for name in "ab":
        assert register(stores, name, pause=timedelta(), started_by="drift") is None
