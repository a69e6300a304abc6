from typing import Any, cast

import pytest

from tests.chaos import facts
from tests.chaos.faults.catalog import FAULTS
from tests.chaos.faults.interface import Injected
from tests.chaos.faults.kills import KillServer
from tests.chaos.faults.on_a_run import is_named
from tests.chaos.system import Ending, Run, System
from tests.unit.chaos.builders import AT, RUN, after, before


class Executions:
    """A platform on which `RUN` has ended in one way, and the next execution ends in another."""

    def __init__(self, first: Ending, second: Ending) -> None:
        self.first, self.second = first, second
        self.started: list[tuple[str, str, int]] = []

    def ending(self, run: Run) -> Ending:
        return self.first

    def start(self, stage: str, source: str, rows: int) -> Run:
        self.started.append((stage, source, rows))
        return RUN

    def finish(self, run: Run, seconds: float) -> Ending:
        return self.second

    def is_healthy(self) -> bool:
        return True


SUCCEEDED = Ending("SUCCEEDED")
NAMED = Ending("FAILED", "DatabaseUnavailable", "database 'raw': closed")
UNNAMED = Ending("FAILED", "ConnectionResetError", "[Errno 104]")
FAULT = KillServer("kill-postgres", "promised", program="postgres")
STRICT = KillServer("kill-plan", "promised", must_succeed=True)


@pytest.fixture(autouse=True)
def facts_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "take", lambda system: after())


def verify(fault: KillServer, platform: Executions) -> Any:
    return fault.verify(cast(System, platform), Injected(AT, "", before(), RUN))


def test_an_execution_that_succeeded_is_not_run_again() -> None:
    platform = Executions(SUCCEEDED, SUCCEEDED)
    found = verify(FAULT, platform)
    assert (found.came, found.broken, platform.started) == ("execution succeeded", [], [])


@pytest.mark.parametrize("first", [NAMED, Ending("LOST"), Ending("ABORTED", "PlatformStopped")])
def test_one_that_failed_by_name_or_was_lost_is_run_again_from_the_same_source(first: Ending) -> None:
    platform = Executions(first, SUCCEEDED)
    found = verify(FAULT, platform)
    assert found.broken == [] and found.came.endswith("run again: succeeded")
    assert platform.started == [(RUN.stage, RUN.request["source"], RUN.rows)]


def test_one_that_failed_without_a_name_breaks_the_promise() -> None:
    found = verify(FAULT, Executions(UNNAMED, SUCCEEDED))
    assert found.broken == ["the execution failed without a named error: ConnectionResetError: [Errno 104]"]


def test_one_that_has_to_succeed_by_itself_breaks_it_also_with_a_named_error() -> None:
    found = verify(STRICT, Executions(NAMED, SUCCEEDED))
    assert found.broken == ["the execution did not succeed: DatabaseUnavailable: database 'raw': closed"]


def test_one_that_fails_again_breaks_it() -> None:
    found = verify(FAULT, Executions(NAMED, UNNAMED))
    assert found.broken == ["the same execution, run again, failed (ConnectionResetError): [Errno 104]"]


def test_rows_that_are_missing_afterwards_break_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "take", lambda system: after(raw={"old": 6000, "a": 1000, "b": 700}, clean={"a": 1000}))
    assert verify(FAULT, Executions(SUCCEEDED, SUCCEEDED)).broken == [
        "half-written batches in raw, with [700] of 1000 rows",
        "1700 rows in raw, not 3000",
        "1000 rows in clean and quarantine, not 3000",
    ]


def test_only_the_errors_of_the_pipeline_and_of_the_service_that_runs_it_count_as_names() -> None:
    assert all(map(is_named, ("DatabaseUnavailable", "StepTimedOut", "Lambda.ServiceException")))
    assert not any(map(is_named, ("ConnectionResetError", "Runtime.ExitError", "Exception", "Final", "")))


def test_every_fault_says_what_is_promised() -> None:
    assert all(fault.promise for fault in FAULTS)
