"""Starting the state machine and watching it: each state with its time, and the batches done of all."""

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from readmission.pipeline import executions
from readmission.pipeline.executions import Execution, State

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack

POLL_SECONDS = 0.5
LIMIT_SECONDS = 3 * 3600


def run(settings: Settings, stack: Stack, request: dict[str, Any]) -> dict[str, Any]:
    """Runs one execution and answers its output.

    Raises LocalError with the failed step, the error's name and its message.
    """
    client = aws.client(settings, "stepfunctions")
    arn = executions.start(client, stack.pipeline_arn, request)
    print(f"pipeline    execution {arn.rpartition(':')[2]}, input {json.dumps(request)}", flush=True)
    progress = Progress(live=sys.stdout.isatty())
    for _ in _until(time.monotonic() + LIMIT_SECONDS):
        execution = executions.describe(client, arn)
        progress.show(executions.states(client, arn))
        if execution.status != executions.RUNNING:
            return _outcome(execution)
    raise LocalError(f"The execution still runs after {LIMIT_SECONDS} s; it goes on: {arn}")


def _until(deadline: float) -> Iterator[None]:
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)


def _outcome(execution: Execution) -> dict[str, Any]:
    if execution.error is None:
        return execution.output
    raise LocalError(f"The pipeline failed in step {execution.step or '?'}: {execution.error}: {execution.message}")


class Progress:
    """Prints a line a state: on a terminal one that moves, elsewhere one when the state ends."""

    def __init__(self, live: bool) -> None:
        self.live = live
        self.ended: set[str] = set()

    def show(self, states: Iterable[State]) -> None:
        for state in states:
            if state.exited and state.name not in self.ended:
                self.ended.add(state.name)
                print(f"{self._clear()}{line(state)}", flush=True)
            elif self.live and not state.exited:
                print(f"{self._clear()}{line(state)} …", end="", flush=True)

    def _clear(self) -> str:
        return "\r\033[K" if self.live else ""


def line(state: State) -> str:
    done = f"{state.done}/{state.of}" if state.of is not None else ""
    facts = ", ".join(f"{count:,} {what}" for what, count in state.facts.items())
    seconds = f"({state.seconds(state.exited):.1f} s)" if state.exited else ""
    return (
        "            " + " ".join(part for part in (f"{state.name:<16}", f"{done:<7}", facts, seconds) if part).rstrip()
    )
