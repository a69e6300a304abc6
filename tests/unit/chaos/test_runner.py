import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, cast

import pytest

from infra.local.errors import LocalError
from tests.chaos import facts, runner
from tests.chaos.faults.interface import Fault, Injected, NotInjected, Verified
from tests.chaos.plan import Planned
from tests.chaos.runner import Outcome
from tests.chaos.system import STEPS, Step, System
from tests.unit.chaos.builders import AT, Traffic, answer, before


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Quake:
    """A fault of which each part does what the test says."""

    name: str = "quake"
    promise: str = "nothing falls"
    most_failures: int | None = 0
    any_step: bool = False
    during: Callable[[], None] = _nothing
    repairing: Callable[[], None] = _nothing
    recovers: Callable[[], bool] = lambda: True
    verified: Callable[[], Verified] = lambda: Verified("nothing fell")
    putting_back: Callable[[], None] = _nothing

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        self.during()
        return Injected(AT, "", before())

    def repair(self, system: System) -> None:
        self.repairing()

    def has_recovered(self, system: System, injected: Injected) -> bool:
        return self.recovers()

    def verify(self, system: System, injected: Injected) -> Verified:
        return self.verified()

    def put_back(self, system: System) -> None:
        self.putting_back()


class Calm:
    def is_healthy(self) -> bool:
        return True


class Ruined:
    def is_healthy(self) -> bool:
        return False


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "take", lambda system: before())
    monkeypatch.setattr(runner, "_SETTLE_SECONDS", 0)


def play(*faults: Quake, traffic: Traffic | None = None, system: Any = None, minutes: float = 1) -> list[Outcome]:
    planned = [Planned(cast(Fault, fault), 1, STEPS[0], "seed") for fault in faults]
    known = cast(Any, traffic or Traffic(answer(AT)))
    return list(runner.play(planned, system or cast(Any, Calm()), known, minutes, recovery_seconds=0.1))


def raising(error: Exception) -> Callable[[], Any]:
    def raise_it() -> None:
        raise error

    return raise_it


def test_a_promise_that_holds_is_told_with_the_answers_and_the_time() -> None:
    (found,) = play(Quake())
    assert found.held and found.broken == []
    assert found.came == "nothing fell; 0 of 1 requests failed"
    assert found.seconds is not None


def test_what_is_found_broken_is_told() -> None:
    (found,) = play(Quake(verified=lambda: Verified("a wall fell", ["the wall fell"])))
    assert not found.held and found.broken == ["the wall fell"]


def test_requests_that_failed_break_the_promise() -> None:
    (found,) = play(Quake(), traffic=Traffic(answer(AT, 502, "status 502, not 200")))
    assert found.broken == ["1 of 1 requests failed, such as predict: status 502, not 200"]


def test_lasting_facts_are_checked_after_every_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "take", lambda system: before(raw={}))
    (found,) = play(Quake())
    assert found.broken == ["1 batches in raw no longer have the rows that they had"]


def test_a_recovery_that_does_not_come_breaks_the_promise() -> None:
    (found,) = play(Quake(recovers=lambda: False))
    assert (found.broken, found.seconds) == (["not recovered within 0 s"], None)


def test_errors_while_it_recovers_only_mean_not_yet() -> None:
    times = itertools.count()

    def recovers() -> bool:
        if next(times) == 0:
            raise ConnectionResetError("not yet")
        return True

    (found,) = play(Quake(recovers=recovers))
    assert found.held


@pytest.mark.parametrize("part", ["during", "repairing", "verified"])
def test_an_error_of_the_platform_breaks_the_promise_and_is_told(part: str) -> None:
    (found,) = play(Quake(**{part: raising(LocalError("make up failed"))}))  # type: ignore[arg-type]
    assert found.broken == ["LocalError: make up failed"]


def test_a_fault_that_could_not_be_brought_about_is_no_broken_promise_and_not_held_either() -> None:
    (found,) = play(Quake(during=raising(NotInjected("too fast"))))
    assert (found.injected, found.held, found.broken) == (False, False, ())
    assert found.came == "not brought about: too fast"


def test_a_bug_of_chaos_itself_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        play(Quake(verified=raising(ZeroDivisionError())))


def test_no_fault_starts_after_the_time() -> None:
    assert play(Quake(), Quake(), minutes=-1) == []


def test_a_platform_that_stays_broken_ends_it() -> None:
    (found,) = play(Quake(), Quake(), system=Ruined())
    assert found.broken == ["the platform does not work any more"]


@pytest.mark.parametrize("error", [LocalError("no platform"), NotInjected("missed"), KeyboardInterrupt()])
def test_what_only_the_fault_needed_is_put_back_whatever_came(error: Any) -> None:
    done: list[str] = []
    with suppress(KeyboardInterrupt):
        play(Quake(during=raising(error), putting_back=lambda: done.append("put back")))
    assert done == ["put back"]
