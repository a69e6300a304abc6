"""Starting the state machine and watching it: each state with its time, and the batches done of all."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack

POLL_SECONDS = 0.5
LIMIT_SECONDS = 3 * 3600
TASKS = ("Plan", "Ingest batches", "Clean batches", "Check data", "Train models", "Promote", "Model card")


def run(settings: Settings, stack: Stack, request: dict[str, Any]) -> dict[str, Any]:
    """Runs one execution and answers its output.

    Raises LocalError with the failed step, the error's name and its message.
    """
    client = aws.client(settings, "stepfunctions")
    started = client.start_execution(stateMachineArn=stack.pipeline_arn, input=json.dumps(request))
    arn = started["executionArn"]
    print(f"pipeline    execution {arn.rpartition(':')[2]}, input {json.dumps(request)}", flush=True)
    progress = Progress(live=sys.stdout.isatty())
    for _ in _until(time.monotonic() + LIMIT_SECONDS):
        description = client.describe_execution(executionArn=arn)
        progress.show(_events(client, arn))
        if description["status"] != "RUNNING":
            return _outcome(description)
    raise LocalError(f"The execution still runs after {LIMIT_SECONDS} s; it goes on: {arn}")


def _until(deadline: float) -> Iterator[None]:
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)


def _events(client: Any, arn: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    return [event for page in pages for event in page["events"]]


def _outcome(description: dict[str, Any]) -> dict[str, Any]:
    if description["status"] == "SUCCEEDED":
        output: dict[str, Any] = json.loads(description["output"])
        return output
    error = description.get("error", description["status"])
    step, _, cause = description.get("cause", "").partition(" failed: ")
    try:
        message = json.loads(cause)["errorMessage"]
    except (ValueError, KeyError, TypeError):
        message = cause or description.get("cause", "")
    raise LocalError(f"The pipeline failed in step {step or '?'}: {error}: {message}")


@dataclass
class State:
    """One of the state machine's working states, as its history tells."""

    entered: datetime
    exited: datetime | None = None
    of: int | None = None
    done: int = 0
    facts: Counter[str] = field(default_factory=Counter)


class Progress:
    """Prints a line a state: on a terminal one that moves, elsewhere one when the state ends."""

    def __init__(self, live: bool) -> None:
        self.live = live
        self.ended: set[str] = set()

    def show(self, events: list[dict[str, Any]]) -> None:
        for name, state in states(events).items():
            if state.exited and name not in self.ended:
                self.ended.add(name)
                print(f"{self._clear()}{line(name, state)}", flush=True)
            elif self.live and not state.exited:
                print(f"{self._clear()}{line(name, state)} …", end="", flush=True)

    def _clear(self) -> str:
        return "\r\033[K" if self.live else ""


def states(events: list[dict[str, Any]]) -> dict[str, State]:
    """The working states so far, in the order in which they were entered."""
    found: dict[str, State] = {}
    current: State | None = None
    for event in events:
        kind = event["type"]
        name = event.get("stateEnteredEventDetails", event.get("stateExitedEventDetails", {})).get("name")
        if kind.endswith("StateEntered") and name in TASKS:
            current = found.setdefault(name, State(entered=event["timestamp"]))
        elif kind.endswith("StateExited") and name in TASKS:
            found[name].exited = event["timestamp"]
        elif current is None:
            continue
        elif kind == "MapStateStarted":
            current.of = event["mapStateStartedEventDetails"]["length"]
        elif kind == "MapIterationSucceeded":
            current.done += 1
        elif kind == "TaskSucceeded":
            current.facts.update(_facts(event))
    return found


def _facts(event: dict[str, Any]) -> dict[str, int]:
    """The counts in a function's answer."""
    payload = json.loads(event["taskSucceededEventDetails"]["output"]).get("Payload", {})
    counted = ("rows", "added", "cleaned", "quarantined")
    return {name: payload[name] for name in counted if isinstance(payload.get(name), int)}


def line(name: str, state: State) -> str:
    done = f"{state.done}/{state.of}" if state.of is not None else ""
    facts = ", ".join(f"{count:,} {what}" for what, count in state.facts.items())
    seconds = f"({(state.exited - state.entered).total_seconds():.1f} s)" if state.exited else ""
    return "            " + " ".join(part for part in (f"{name:<16}", f"{done:<7}", facts, seconds) if part).rstrip()
