"""The faults: each with what is promised, how it is brought about, and how the promise is checked."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from readmission import errors

from infra.local.errors import LocalError
from infra.local.servers import supervision
from infra.local.servers.keys import path_of
from tests import poison
from tests.chaos import facts
from tests.chaos.facts import Facts
from tests.chaos.system import STEPS, Ending, Run, Step, System, wait_until

RUN_SECONDS: Final = 300.0
"""The longest that an execution of chaos's few rows may take, retries included."""
_ATTEMPTS: Final = 3
_CUTS: Final = 3
_LOST: Final = "lost with LocalStack"


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that has happened: when (time.monotonic), where, to which execution, and what there was before.

    `broken` are promises that broke while it happened, `object_key` is the object by which a fault of S3 is checked.
    """

    at: float
    where: str
    before: Facts
    run: Run | None = None
    broken: Sequence[str] = ()
    object_key: str = ""


@dataclass(slots=True)
class Verified:
    """What came, in a few words, and the promises that are broken, each as a sentence."""

    came: str
    broken: list[str] = field(default_factory=list)


class NotInjected(LocalError):
    """The fault could not be brought about, so nothing is known about its promise."""


class Fault(Protocol):
    """`most_failures` is how many requests may fail from the fault to the recovery; None: any number."""

    @property
    def name(self) -> str: ...
    @property
    def promise(self) -> str: ...
    @property
    def most_failures(self) -> int | None: ...
    @property
    def any_step(self) -> bool:
        """Whether it can happen at each step of an execution."""
        ...

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        """Raises NotInjected, or LocalError if the platform does not work before the fault."""
        ...

    def repair(self, system: System) -> None:
        """What is left to the operator; nothing for most faults. Raises LocalError if it fails."""
        ...

    def has_recovered(self, system: System, injected: Injected) -> bool: ...

    def verify(self, system: System, injected: Injected) -> Verified:
        """Called after the recovery."""
        ...


@dataclass(frozen=True)
class _OnARun:
    """A fault that hits an execution."""

    name: str
    promise: str
    most_failures: int | None = 0
    any_step: bool = True
    must_succeed: bool = False
    """Whether the execution has to succeed by its own retries."""

    def repair(self, system: System) -> None:
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
        verified.broken += facts.whole_batches(injected.before, facts.take(system))
        if not ending.succeeded:
            run = system.start(run.stage, run.request["source"])
            again = system.finish(run, RUN_SECONDS) or Ending("RUNNING")
            verified.came += f"; run again: {_words(again)}"
            if not again.succeeded:
                verified.broken.append(f"the same execution, run again, {_words(again)}: {again.message[:200]}")
                return verified
        wait_until(system.is_healthy, RUN_SECONDS)
        after = facts.take(system)
        verified.broken += facts.complete(injected.before, after, run) + facts.decided(after, run)
        return verified


def _judge(ending: Ending, must_succeed: bool) -> Verified:
    verified = Verified(f"execution {_words(ending)}")
    if must_succeed and not ending.succeeded:
        verified.broken.append(f"the execution did not succeed: {ending.error}: {ending.message[:200]}")
    elif not ending.succeeded and not ending.lost and not is_named(ending.error):
        verified.broken.append(f"the execution failed without a named error: {ending.error}: {ending.message[:200]}")
    return verified


def _words(ending: Ending) -> str:
    if ending.lost:
        return _LOST
    return ending.status.lower() + (f" ({ending.error})" if ending.error else "")


def is_named(error: str) -> bool:
    """Whether it is one of the pipeline's own errors."""
    kind = getattr(errors, error, None)
    return isinstance(kind, type) and issubclass(kind, errors.ReadmissionError)


@dataclass(frozen=True)
class KillServer(_OnARun):
    """`kill -9` of a server while a step works."""

    program: str = ""
    needs_up: bool = False
    """Whether the operator has to run `make up`."""

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        run = system.start(step.stage)
        system.wait_for_state(run, step.state)
        time.sleep(random.uniform(0, step.seconds))
        at = time.monotonic()
        system.kill_server(self.program)
        return Injected(at, step.name, before, run)

    def repair(self, system: System) -> None:
        if self.needs_up:
            system.up()


@dataclass(frozen=True)
class CutConnections(_OnARun):
    """Ends all sessions in Postgres, a few times, while a step works."""

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        run = system.start(step.stage)
        system.wait_for_state(run, step.state)
        at = time.monotonic()
        for _ in range(_CUTS):
            time.sleep(random.uniform(0, step.seconds))
            system.cut_connections()
        return Injected(at, step.name, before, run)


@dataclass(frozen=True)
class KillStep(_OnARun):
    """`kill -9` of the processes of a step's function while it works."""

    any_step: bool = False
    must_succeed: bool = True
    step: Step = STEPS[0]

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        for _ in range(_ATTEMPTS):
            before = facts.take(system)
            run = system.start(self.step.stage)
            system.wait_for_state(run, self.step.state)
            time.sleep(random.uniform(0, self.step.seconds / 2))
            at = time.monotonic()
            system.kill_function(self.step.function)
            if _wait_for_hit(system, run):
                return Injected(at, self.step.name, before, run)
            wait_until(system.is_healthy, RUN_SECONDS)
        raise NotInjected(f"{self.step.name} ended before its process was killed, {_ATTEMPTS} times")


def _wait_for_hit(system: System, run: Run) -> bool:
    """False if the execution ended without a step whose process was killed."""
    wait_until(lambda: _was_hit(system, run) or system.ending(run) is not None, RUN_SECONDS)
    return _was_hit(system, run)


def _was_hit(system: System, run: Run) -> bool:
    failures = (event.get("taskFailedEventDetails", {}) for event in system.history(run))
    return any(failure.get("error") == "Runtime.ExitError" for failure in failures)


@dataclass(frozen=True)
class KillPredict(_OnARun):
    """`kill -9` of every process that answers predictions."""

    any_step: bool = False

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        time.sleep(random.uniform(0, 1))
        at = time.monotonic()
        if not system.kill_function("predict"):
            raise NotInjected("no process of predict was found")
        return Injected(at, "", before)


@dataclass(frozen=True)
class FullDisk(_OnARun):
    """Files of the S3 mirror cannot grow, as on a full disk, until the operator makes space."""

    any_step: bool = False

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        at = time.monotonic()
        _limit_files(system, 0)
        key = system.put_source(f"chaos-{random.getrandbits(32):08x}", b"kept").partition("//")[2].partition("/")[2]
        # The mirror copies every three seconds.
        time.sleep(7)
        broken = ["the mirror holds an object that it could not write"] if _copy(system, key) else []
        return Injected(at, "", before, broken=broken, object_key=key)

    def repair(self, system: System) -> None:
        _limit_files(system, resource.RLIM_INFINITY)

    def has_recovered(self, system: System, injected: Injected) -> bool:
        return _copy(system, injected.object_key) == b"kept" and system.is_healthy()

    def verify(self, system: System, injected: Injected) -> Verified:
        return Verified("copying resumed, nothing was lost")


def _limit_files(system: System, size: int) -> None:
    pid = supervision.states(system.settings)["s3-mirror"].pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def _copy(system: System, key: str) -> bytes | None:
    path = system.settings.mirror / system.stack.data_bucket / path_of(key)
    return path.read_bytes() if path.exists() else None


@dataclass(frozen=True)
class Poison(_OnARun):
    """Sources and inputs that must be refused by name."""

    any_step: bool = False
    files: bool = True

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        at = time.monotonic()
        broken = _send_files(system, random) if self.files else _send_inputs(system, random)
        return Injected(at, "", before, broken=broken)

    def verify(self, system: System, injected: Injected) -> Verified:
        sent = len(poison.FILES if self.files else poison.REQUESTS)
        return Verified(f"{sent} sent", facts.unchanged(injected.before, facts.take(system)))


def _send_files(system: System, random: Random) -> list[str]:
    """In a random order; what was not refused as it should be."""
    broken = []
    for label, (content, error, message) in random.sample(sorted(poison.FILES.items()), len(poison.FILES)):
        source = system.put_source("chaos-poison.csv", content)
        ending = system.finish(system.start_request({"source": source}), RUN_SECONDS) or Ending("RUNNING")
        step, _, name = error.partition(": ")
        if ending.error != name or message not in ending.message:
            broken.append(f"{label}: {_words(ending)}, not {name} in {step}")
    return broken


def _send_inputs(system: System, random: Random) -> list[str]:
    broken = []
    for label, (request, named) in random.sample(sorted(poison.REQUESTS.items()), len(poison.REQUESTS)):
        ending = system.finish(system.start_request(request), RUN_SECONDS) or Ending("RUNNING")
        if ending.error != "InvalidRequest" or named not in ending.message:
            broken.append(f"{label}: {_words(ending)}, not InvalidRequest of {named}")
    return broken


_TRIED_AGAIN: Final = (
    "forecasts go on; the run succeeds, or fails by name and succeeds when run again; no row lost or doubled"
)
_AFTER_UP: Final = "after make up, all is served as before; the run can be run again; no row lost or doubled"

FAULTS: Final[Sequence[Fault]] = (
    KillServer("kill-postgres", _TRIED_AGAIN, program="postgres"),
    KillServer("kill-mlflow", _TRIED_AGAIN, program="mlflow"),
    KillServer("kill-localstack", _AFTER_UP, most_failures=None, program="localstack", needs_up=True),
    KillServer("kill-s3-mirror", "nobody notices", must_succeed=True, program="s3-mirror"),
    KillServer("kill-supervisor", _AFTER_UP, most_failures=None, program="supervisor", needs_up=True),
    CutConnections("cut-connections", _TRIED_AGAIN),
    *(
        KillStep(
            f"kill-{step.name}", "forecasts go on; the step runs again and the run succeeds, exactly once", step=step
        )
        for step in STEPS
    ),
    KillPredict("kill-predict", "at most the request in flight fails, and the next is answered", most_failures=1),
    Poison("poison-files", "each file is refused by name; nothing of it is kept"),
    Poison("poison-inputs", "each input is refused by the name of its field; nothing changes", files=False),
    FullDisk("full-disk", "copying S3 stops, says so, and resumes when there is space; forecasts go on"),
)
