"""Servers, processes of functions and connections that are gone from one moment to the next."""

import time
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.chaos import facts
from tests.chaos.faults.interface import Injected, NotInjected
from tests.chaos.faults.on_a_run import RUN_SECONDS, OnARun
from tests.chaos.system import ROWS, STEPS, Run, Step, System, wait_until

_ATTEMPTS: Final = 4
_GROWTH: Final = 4
_CUTS: Final = 3


@dataclass(frozen=True)
class KillServer(OnARun):
    """`kill -9` of a server while a step works."""

    program: str = ""
    needs_up: bool = False
    """Whether the operator has to run `make up`."""

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        run = system.start(step.stage)
        system.wait_for_task(run, step.state)
        time.sleep(random.uniform(0, step.seconds))
        at = time.monotonic()
        system.kill_server(self.program)
        return Injected(at, step.name, before, run)

    def repair(self, system: System) -> None:
        if self.needs_up:
            system.up()


@dataclass(frozen=True)
class CutConnections(OnARun):
    """Ends all sessions in Postgres, a few times, while a step works."""

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        run = system.start(step.stage)
        system.wait_for_task(run, step.state)
        at = time.monotonic()
        for _ in range(_CUTS):
            time.sleep(random.uniform(0, step.seconds))
            system.cut_connections()
        return Injected(at, step.name, before, run)


@dataclass(frozen=True)
class KillStep(OnARun):
    """`kill -9` of the processes of a step's function while it works."""

    any_step: bool = False
    must_succeed: bool = True
    step: Step = STEPS[0]

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        for attempt in range(_ATTEMPTS):
            before = facts.take(system)
            # Looking for processes takes as long as a short step. Those that wait for the step are known before it.
            waiting = system.function_processes(self.step.function)
            # The kill comes too early, before the function works, or too late: next time, it has more to do.
            more = _GROWTH**attempt
            run = system.start(self.step.stage, rows=ROWS * more)
            system.wait_for_task(run, self.step.state)
            time.sleep(random.uniform(0, self.step.seconds / 2) * more)
            at = time.monotonic()
            if not system.kill(waiting):
                system.kill_function(self.step.function)
            if _wait_for_hit(system, run):
                return Injected(at, self.step.name, before, run)
            wait_until(system.is_healthy, RUN_SECONDS)
        raise NotInjected(f"no process of {self.step.name} was killed while it worked, in {_ATTEMPTS} attempts")


def _wait_for_hit(system: System, run: Run) -> bool:
    """False if the execution ended without a step whose process was killed."""
    wait_until(lambda: _was_hit(system, run) or system.ending(run) is not None, RUN_SECONDS)
    return _was_hit(system, run)


def _was_hit(system: System, run: Run) -> bool:
    failures = (event.get("taskFailedEventDetails", {}) for event in system.history(run))
    return any(failure.get("error") == "Runtime.ExitError" for failure in failures)


@dataclass(frozen=True)
class KillPredict(OnARun):
    """`kill -9` of every process that answers predictions."""

    any_step: bool = False

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        time.sleep(random.uniform(0, 1))
        at = time.monotonic()
        if not system.kill_function("predict"):
            raise NotInjected("no process of predict was found")
        return Injected(at, "", before)
