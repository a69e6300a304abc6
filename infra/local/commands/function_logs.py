"""`make logs FUNCTION=…`: polls CloudWatch Logs and prints the functions' structured logs as readable lines."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import NAME

ALL = "all"
POLL_SECONDS = 1.0
# Events can arrive out of order. One that is late by up to this much is still found.
OVERLAP_MS = 60_000
PLATFORM = ("START ", "END ", "REPORT ", "INIT_START ")
# Fields left out of the readable lines. `raw` shows them.
LEFT_OUT = {
    "level",
    "location",
    "message",
    "timestamp",
    "service",
    "correlation_id",
    "cold_start",
    "exception",
    "exception_name",
    "stack_trace",
    "taskName",
    "xray_trace_id",
    "function_name",
    "function_memory_size",
    "function_arn",
    "function_request_id",
}


@dataclass(frozen=True)
class Selection:
    """Which lines of which functions to print, and how."""

    function: str = ALL
    correlation: str | None = None
    everything: bool = False
    """Include metrics and Lambda's own lines."""
    raw: bool = False


def follow(settings: Settings, selection: Selection, since_minutes: float, once: bool) -> None:
    """Prints the lines of the last minutes, then, unless `once`, new ones as they arrive.

    Raises LocalError if there is no such function or LocalStack does not answer.
    """
    groups = _groups(settings, selection.function)
    follower = Follower(aws.client(settings, "logs"), groups, int((time.time() - since_minutes * 60) * 1000))
    try:
        while True:
            for event in follower.new_events():
                if (text := shown(event, selection)) is not None:
                    print(text)
            sys.stdout.flush()
            if once:
                return
            time.sleep(POLL_SECONDS)
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"The functions' logs cannot be read: {error}. To see what is running: make status") from error


def _groups(settings: Settings, function: str) -> list[str]:
    try:
        pages = aws.client(settings, "lambda").get_paginator("list_functions").paginate()
        groups = {one["FunctionName"]: one["LoggingConfig"]["LogGroup"] for page in pages for one in page["Functions"]}
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"LocalStack does not answer ({error}). Start the platform: make up") from error
    known = sorted(name.removeprefix(f"{NAME}-") for name in groups if name.startswith(f"{NAME}-"))
    if not known:
        raise LocalError("The application is not deployed. Deploy it: make deploy")
    if function not in (ALL, *known):
        raise LocalError(f"There is no function {function}. Available: {', '.join(known)}, or {ALL}")
    return [groups[f"{NAME}-{name}"] for name in known if function in (ALL, name)]


class Follower:
    """Returns each event of some log groups once, even if many have the same time."""

    def __init__(self, client: Any, groups: list[str], since: int) -> None:
        """`since` is in milliseconds since 1970, like all times in CloudWatch Logs."""
        self._client = client
        self._groups = groups
        self._since = since
        self._newest = since
        self._seen: dict[str, int] = {}

    def new_events(self) -> list[dict[str, Any]]:
        """The events since the last call, in order of time across all groups."""
        start = max(self._since, self._newest - OVERLAP_MS)
        events = [event for group in self._groups for event in self._events(group, start)]
        new = [event for event in events if event["eventId"] not in self._seen]
        self._seen = {event["eventId"]: event["timestamp"] for event in events}
        self._newest = max(self._seen.values(), default=self._newest)
        return sorted(new, key=lambda event: event["timestamp"])

    def _events(self, group: str, start: int) -> Iterator[dict[str, Any]]:
        request = {"logGroupName": group, "startTime": start}
        while True:
            try:
                page = self._client.filter_log_events(**request)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ResourceNotFoundException":
                    return  # a function's log group does not exist before its first run
                raise
            yield from page["events"]
            if not (token := page.get("nextToken")):
                return
            request["nextToken"] = token


def shown(event: dict[str, Any], selection: Selection) -> str | None:
    """An event as it is printed; None if it is not selected."""
    text = str(event["message"]).rstrip("\n")
    entry = _entry(text)
    if selection.correlation and entry.get("correlation_id") != selection.correlation:
        return None
    if not selection.everything and (not text or "_aws" in entry or text.startswith(PLATFORM)):
        return None
    if selection.raw:
        return text
    if "message" not in entry:
        return f"{datetime.fromtimestamp(event['timestamp'] / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:23] + f"  {text}"
    return _line(entry)


def _entry(text: str) -> dict[str, Any]:
    """The fields of a structured line; empty for any other line."""
    try:
        entry = json.loads(text)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _line(entry: dict[str, Any]) -> str:
    when = str(entry.get("timestamp", ""))[:23].replace(",", ".")
    rest = [f"{name}={_value(value)}" for name, value in entry.items() if name not in LEFT_OUT]
    parts = [
        when,
        f"{entry.get('level', ''):<7}",
        f"{entry.get('service', ''):<8}",
        str(entry.get("correlation_id", "-")),
        str(entry["message"]),
        *rest,
    ]
    trace = str(entry.get("exception", "")).splitlines()
    return "\n    ".join(["  ".join(parts), *trace])


def _value(value: Any) -> str:
    if isinstance(value, str) and value and not any(character.isspace() for character in value):
        return value
    return json.dumps(value, ensure_ascii=False)
