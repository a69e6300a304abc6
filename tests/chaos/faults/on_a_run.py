"""What faults have in common that hit an execution."""

from dataclasses import dataclass
from typing import Final

from readmission import errors

from tests.chaos import facts
from tests.chaos.faults.interface import Injected, Verified
from tests.chaos.system import Ending, System, wait_until

RUN_SECONDS: Final = 300.0
"""The longest that an execution of chaos's few rows may take, retries included."""
_LOST: Final = "lost with LocalStack"
_OF_LAMBDA: Final = "Lambda.ServiceException"


@dataclass(frozen=True)
class OnARun:
    """A fault that hits an execution."""

    name: str
    promise: str
    most_failures: int | None = 0
    any_step: bool = True
    must_succeed: bool = False
    """Whether the execution has to succeed by its own retries."""

    def obstacle(self) -> str | None:
        return None

    def repair(self, system: System) -> None:
        return None

    def put_back(self, system: System) -> None:
        return None

    def has_recovered(self, system: System, injected: Injected) -> bool:
        ended = injected.run is None or system.ending(injected.run) is not None
        return ended and system.is_healthy()

    def verify(self, system: System, injected: Injected) -> Verified:
        if injected.run is None:
            return Verified("nothing was lost")
        run = injected.run
        ending = system.ending(run) or Ending("RUNNING")
        verified = _judge(ending, self.must_succeed)
        verified.broken += facts.whole_batches(injected.before, facts.take(system), run)
        if not ending.succeeded:
            run = system.start(run.stage, run.request["source"], run.rows)
            again = system.finish(run, RUN_SECONDS) or Ending("RUNNING")
            verified.came += f"; run again: {words(again)}"
            if not again.succeeded:
                verified.broken.append(f"the same execution, run again, {words(again)}: {again.message[:200]}")
                return verified
        wait_until(system.is_healthy, RUN_SECONDS)
        after = facts.take(system)
        verified.broken += facts.complete(injected.before, after, run) + facts.decided(after, run)
        return verified


def _judge(ending: Ending, must_succeed: bool) -> Verified:
    verified = Verified(f"execution {words(ending)}")
    if must_succeed and not ending.succeeded:
        verified.broken.append(f"the execution did not succeed: {ending.error}: {ending.message[:200]}")
    elif not ending.succeeded and not ending.lost and not is_named(ending.error):
        verified.broken.append(f"the execution failed without a named error: {ending.error}: {ending.message[:200]}")
    return verified


def words(ending: Ending) -> str:
    if ending.lost:
        return _LOST
    return ending.status.lower() + (f" ({ending.error})" if ending.error else "")


def is_named(error: str) -> bool:
    """Whether it is one of the pipeline's own errors, or that of the Lambda service, whose message has the cause."""
    if error == _OF_LAMBDA:
        return True
    kind = getattr(errors, error, None)
    return isinstance(kind, type) and issubclass(kind, errors.ReadmissionError)
