"""Executions that must be refused, and two of the same source at once."""

import time
from dataclasses import dataclass
from random import Random
from typing import Any

from tests import poison
from tests.chaos import facts
from tests.chaos.faults.interface import Injected, Verified
from tests.chaos.faults.on_a_run import RUN_SECONDS, OnARun, words
from tests.chaos.system import Ending, Step, System


@dataclass(frozen=True)
class RunTwice(OnARun):
    """Two executions of the same new source at once."""

    any_step: bool = False

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        source = system.new_source()
        at = time.monotonic()
        first, second = (system.start("clean", source) for _ in range(2))
        ending = system.finish(second, RUN_SECONDS) or Ending("RUNNING")
        broken = [] if ending.succeeded else [f"the second execution {words(ending)}: {ending.message[:200]}"]
        return Injected(at, "", before, first, broken)


@dataclass(frozen=True)
class Poison(OnARun):
    """Sources and inputs that must be refused by name."""

    any_step: bool = False
    files: bool = True

    def inject(self, system: System, step: Step, random: Random) -> Injected:
        before = facts.take(system)
        at = time.monotonic()
        broken = _send_files(system, random) if self.files else _send_inputs(system, random)
        return Injected(at, "", before, broken=broken)

    def verify(self, system: System, injected: Injected) -> Verified:
        sent = len(poison.FILES) + len(poison.SOURCES) if self.files else len(poison.REQUESTS)
        return Verified(f"{sent} sent", facts.unchanged(injected.before, facts.take(system)))


def _send_files(system: System, random: Random) -> list[str]:
    """In a random order; what was not refused as it should be."""
    broken = []
    for label, (content, error, message) in random.sample(sorted(poison.FILES.items()), len(poison.FILES)):
        source = system.put_source("chaos-poison.csv", content)
        broken += _refusal(system, label, {"source": source}, error.partition(": ")[2], message)
    for label, (key, error, message) in sorted(poison.SOURCES.items()):
        source = f"s3://{system.stack.data_bucket}/{key}"
        broken += _refusal(system, label, {"source": source}, error.partition(": ")[2], message)
    return broken


def _send_inputs(system: System, random: Random) -> list[str]:
    broken = []
    for label, (request, named) in random.sample(sorted(poison.REQUESTS.items()), len(poison.REQUESTS)):
        broken += _refusal(system, label, request, "InvalidRequest", named)
    return broken


def _refusal(system: System, label: str, request: dict[str, Any], error: str, message: str) -> list[str]:
    """What is wrong with how an execution of that input ended: it has to fail with the error, and say the message."""
    ending = system.finish(system.start_request(request), RUN_SECONDS) or Ending("RUNNING")
    if ending.error != error:
        return [f"{label}: {words(ending)}, not {error}"]
    return [] if message in ending.message else [f"{label}: {error} does not say {message!r}: {ending.message[:200]}"]
