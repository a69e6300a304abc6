"""Starts executions of the pipeline and reads their state from Step Functions."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from readmission.domain.payloads import OF_DELIVERY, Failure, error_name
from readmission.domain.redaction import redacted
from readmission.domain.triggers import STARTERS, Starter, as_request
from readmission.errors import InvalidRequest

STATES: Final = (
    "Plan",
    "Ingest batches",
    "Clean batches",
    "Check data",
    "Look for models",
    "Train models",
    "Promote",
    "Model card",
)
RUNNING: Final = "RUNNING"
# What a new execution can skip because an earlier one has done it. Batches are always ingested and cleaned again, which
# is quick: a later execution cannot know that exactly these batches are in the tables.
_RESUMED_AT: Final = {
    "Look for models": "train",
    "Train models": "train",
    "Promote": "promote",
    "Model card": "promote",
}
_MOST_EVENTS: Final = 1000  # that Step Functions returns at a time
_FIRST_EVENTS: Final = 30  # contain the result of Plan, even after all retries
_COUNTED: Final = ("rows", "added", "cleaned", "quarantined")


@dataclass(slots=True)
class State:
    """A state that does work. `of` and `done` count the iterations of a map (batches or models)."""

    name: str
    entered: datetime
    exited: datetime | None = None
    of: int | None = None
    done: int = 0
    facts: Counter[str] = field(default_factory=Counter)

    def seconds(self, now: datetime) -> float:
        return ((self.exited or now) - self.entered).total_seconds()


type Part = Literal["family", "plots", "card"]


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What an execution went on without: a `family`, the `plots` of one, or the model `card`."""

    what: Part
    error: str
    message: str
    family: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution.

    `request` is in the form that people write it in, also if an event was the input. `rows` is None if unknown; `step`,
    `error` and `message` are None if it has not failed.
    """

    arn: str
    status: str
    started: datetime
    ended: datetime | None
    request: dict[str, Any]
    output: dict[str, Any]
    rows: int | None = None
    step: str | None = None
    error: str | None = None
    message: str | None = None

    @property
    def name(self) -> str:
        return self.arn.rpartition(":")[2]

    @property
    def decision(self) -> str | None:
        """The promotion's decision; None if the execution did not reach it."""
        return (self.output.get("promotion") or {}).get("decision")

    @property
    def started_by(self) -> Starter | None:
        """What started it; None if the input is none that *plan* accepts."""
        found = self.request.get("started_by", "person") if isinstance(self.request, dict) else None
        return next((one for one in STARTERS if one == found), None)

    @property
    def skipped(self) -> str | None:
        """Why the execution ended before it did anything; None if it did not."""
        return self.output.get("skipped")

    @property
    def decided_by_execution(self) -> str | None:
        """The earlier execution whose decision stands, because there was nothing new to learn; None otherwise."""
        found = self.output.get("earlier") or {}
        return found.get("execution") if found.get("outcome") == "decided" else None

    @property
    def shortfalls(self) -> list[Shortfall]:
        """What failed without failing the execution, in order."""
        found: list[Shortfall] = []
        for one in self.output.get("candidates") or []:
            if failure := one.get("failure"):
                found.append(_shortfall("family", failure, one["model"]))
            if failure := one.get("plots_failure"):
                found.append(_shortfall("plots", failure, one["model"]))
        if failure := self.output.get("card_failure"):
            found.append(_shortfall("card", failure))
        return found

    def seconds(self, now: datetime | None = None) -> float:
        return ((self.ended or now or datetime.now(UTC)) - self.started).total_seconds()


def start(client: Any, pipeline_arn: str, request: dict[str, Any]) -> str:
    """Start an execution and return its ARN."""
    arn: str = client.start_execution(stateMachineArn=pipeline_arn, input=json.dumps(request))["executionArn"]
    return arn


def newest(client: Any, pipeline_arn: str, limit: int) -> list[str]:
    """The ARNs of the newest executions, newest first."""
    found = client.list_executions(stateMachineArn=pipeline_arn, maxResults=limit)["executions"]
    newest_first = sorted(found, key=lambda execution: execution["startDate"], reverse=True)
    return [execution["executionArn"] for execution in newest_first[:limit]]


def shown(request: Any) -> Any:
    """An execution's input without the credentials in its source."""
    if isinstance(request, dict) and isinstance(request.get("source"), str):
        return request | {"source": redacted(request["source"])}
    return request


def _request(document: Any) -> Any:
    try:
        return shown(as_request(document))
    except InvalidRequest:  # the execution has failed with it
        return {"started_by": "an unknown event"}


def describe(client: Any, arn: str) -> Execution:
    """The state of an execution, with its error if it failed. `rows` is not filled in: see `rows`."""
    found = client.describe_execution(executionArn=arn)
    step, error, message = _failure(found)
    return Execution(
        arn=arn,
        status=found["status"],
        started=found["startDate"],
        ended=found.get("stopDate"),
        request=_request(json.loads(found.get("input") or "{}")),
        output=json.loads(found.get("output") or "{}"),
        step=step,
        error=error,
        message=message,
    )


def resumed(execution: Execution, states: list[State]) -> dict[str, Any]:
    """The request that takes up an execution that has failed or was stopped, given the states that it has entered."""
    # A person starts it this time, and an event starts one execution only.
    request = {name: value for name, value in execution.request.items() if name not in ("started_by", "event", "by")}
    stage = _RESUMED_AT.get(states[-1].name) if states else None
    if not stage:
        return request
    # The delivery is registered by then, and only a run that brings one may describe it.
    of_delivery = OF_DELIVERY if stage != "ingest" else ()
    return {name: value for name, value in request.items() if name not in of_delivery} | {"start_at": stage}


def states(client: Any, arn: str) -> list[State]:
    """The states that the execution has entered so far, in order."""
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn, maxResults=_MOST_EVENTS)
    return states_of([event for page in pages for event in page["events"]])


def rows(client: Any, arn: str) -> int | None:
    """The number of rows in the execution; None if they have not been counted."""
    events = client.get_execution_history(executionArn=arn, maxResults=_FIRST_EVENTS)["events"]
    return next((state.facts["rows"] for state in states_of(events) if "rows" in state.facts), None)


def states_of(events: list[dict[str, Any]]) -> list[State]:
    """The entered states, from the events of an execution's history."""
    found: dict[str, State] = {}
    current: State | None = None
    for event in events:
        kind = event["type"]
        name = event.get("stateEnteredEventDetails", event.get("stateExitedEventDetails", {})).get("name")
        if kind.endswith("StateEntered") and name in STATES:
            current = found.setdefault(name, State(name, event["timestamp"]))
        elif kind.endswith("StateExited") and name in STATES:
            found[name].exited = event["timestamp"]
        elif current is None:
            continue
        elif kind == "MapStateStarted":
            current.of = event["mapStateStartedEventDetails"]["length"]
        elif kind == "MapIterationSucceeded":
            current.done += 1
        elif kind == "TaskSucceeded":
            current.facts.update(_facts(event))
    return list(found.values())


def _facts(event: dict[str, Any]) -> dict[str, int]:
    """The row counts in a function's result."""
    payload = json.loads(event["taskSucceededEventDetails"]["output"]).get("Payload", {})
    return {name: payload[name] for name in _COUNTED if isinstance(payload.get(name), int)}


def _failure(found: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """The step, the error's name and its message. The state machine writes the cause as `<step> failed: <cause>`."""
    if found["status"] in (RUNNING, "SUCCEEDED"):
        return None, None, None
    cause = found.get("cause") or ""
    step, separator, rest = cause.partition(" failed: ")
    return (step if separator else None), found.get("error") or found["status"], _message(rest or cause)


def _shortfall(what: Part, failure: Failure, family: str = "") -> Shortfall:
    return Shortfall(what, error_name(failure), _message(failure["Cause"]), family)


def _message(cause: str) -> str:
    """The message in the cause of an error, which is a document if a function raised it."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause
