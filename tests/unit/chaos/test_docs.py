from tests.chaos.faults.catalog import FAULTS
from tests.documents import DOCS, code_in, rows

PAGE = DOCS / "guarantees.md"
HEADINGS = ("## Data", "## Executions", "## Models", "## Forecasts", "## The platform on one machine")


def test_every_fault_shows_a_promise_and_every_promise_is_shown() -> None:
    promises = [row for heading in HEADINGS for row in rows(PAGE, heading)[2:]]
    named = set().union(*(code_in(row[2]) for row in promises))
    assert named == {fault.name for fault in FAULTS}
    assert all(code_in(row[2]) or "](" in row[2] or "every fault" in row[2] for row in promises)
