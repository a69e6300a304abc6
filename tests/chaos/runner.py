"""Brings about one fault after the other, and judges each against its promise."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import psutil
from botocore.exceptions import BotoCoreError, ClientError
from pg8000.exceptions import DatabaseError, InterfaceError

from infra.local.errors import LocalError
from tests.chaos import facts
from tests.chaos.faults.interface import Injected, NotInjected
from tests.chaos.plan import Planned
from tests.chaos.system import System, wait_until
from tests.chaos.traffic import Traffic

_SETTLE_SECONDS = 2.0
_REQUEST_SECONDS = 60.0
"""Within which a request is sent after the recovery: the one before may be waiting for its answer."""
_PLATFORM_ERRORS = (LocalError, BotoCoreError, ClientError, DatabaseError, InterfaceError, OSError, psutil.Error)
"""What looking at a broken platform raises. It is part of the result; anything else is a bug of chaos."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`seconds` is the time from the fault to the recovery; None if there was none. `broken` are the promises that did
    not hold; `injected` is whether the fault happened at all."""

    title: str
    round: int
    promise: str
    came: str
    seconds: float | None = None
    broken: Sequence[str] = ()
    injected: bool = True

    @property
    def held(self) -> bool:
        return self.injected and not self.broken


def play(
    planned: Sequence[Planned], system: System, traffic: Traffic, minutes: float, recovery_seconds: float
) -> Iterator[Outcome]:
    """The outcome of each, as it comes. Ends early after so many minutes, or when the platform stays broken."""
    until = time.monotonic() + 60 * minutes
    for one in planned:
        if time.monotonic() > until:
            return
        try:
            outcome = _play(one, system, traffic, recovery_seconds)
        finally:
            one.fault.put_back(system)
        if not wait_until(system.is_healthy, recovery_seconds):
            yield replace(outcome, broken=[*outcome.broken, "the platform does not work any more"])
            return
        yield outcome


def _play(one: Planned, system: System, traffic: Traffic, recovery_seconds: float) -> Outcome:
    def outcome(came: str, broken: Sequence[str], seconds: float | None = None) -> Outcome:
        return Outcome(one.title, one.round, one.fault.promise, came, seconds, broken)

    try:
        injected = one.fault.inject(system, one.step, Random(one.seed))
    except NotInjected as error:
        return Outcome(one.title, one.round, one.fault.promise, f"not brought about: {error}", injected=False)
    except _PLATFORM_ERRORS as error:
        return outcome("the platform failed before the fault was over", [_line(error)])
    try:
        one.fault.repair(system)
        if not wait_until(lambda: _recovered(one, system, injected), recovery_seconds):
            return outcome("no recovery", [*injected.broken, f"not recovered within {recovery_seconds:.0f} s"])
        recovered = time.monotonic()
        verified = one.fault.verify(system, injected)
        time.sleep(_SETTLE_SECONDS)
        wait_until(lambda: bool(traffic.between(recovered, time.monotonic())), _REQUEST_SECONDS)
        broken = [*injected.broken, *verified.broken, *facts.kept(injected.before, facts.take(system))]
    except _PLATFORM_ERRORS as error:
        return outcome("the platform failed while it was checked", [*injected.broken, _line(error)])
    during = traffic.between(injected.at, recovered)
    since = traffic.between(recovered, time.monotonic())
    broken += facts.answered(during, since, one.fault.most_failures)
    failed = sum(answer.failed for answer in during)
    came = f"{verified.came}; {failed} of {len(during)} requests failed"
    return outcome(came, broken, recovered - injected.at)


def _recovered(one: Planned, system: System, injected: Injected) -> bool:
    try:
        return one.fault.has_recovered(system, injected)
    except _PLATFORM_ERRORS:
        return False  # it is being asked while it recovers; the limit of time says when that is too long


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
