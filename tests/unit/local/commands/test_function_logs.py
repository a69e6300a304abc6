"""The functions' logs as readable lines: each event once, without metrics and Lambda's own lines."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.commands.function_logs import OVERLAP_MS, Follower, Selection, shown

ENTRY = {
    "level": "INFO",
    "location": "handler:27",
    "message": "ingested",
    "timestamp": "2026-01-02 03:04:05,678+0000",
    "service": "ingest",
    "correlation_id": "run-1",
    "cold_start": True,
    "function_name": "readmission-ingest",
    "xray_trace_id": "1-2-3",
    "rows": 10,
    "source": "a file",
}


class FakeLogs:
    """CloudWatch Logs with pages of two events."""

    def __init__(self) -> None:
        self.groups: dict[str, list[dict[str, Any]]] = {}
        self.start_times: list[int] = []

    def put(self, group: str, timestamp: int, *messages: str) -> None:
        events = self.groups.setdefault(group, [])
        events.extend(
            {"eventId": f"{group}-{len(events) + number}", "timestamp": timestamp, "message": message}
            for number, message in enumerate(messages)
        )

    def filter_log_events(self, logGroupName: str, startTime: int, nextToken: str = "0") -> dict[str, Any]:
        if logGroupName not in self.groups:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "FilterLogEvents")
        self.start_times.append(startTime)
        found = [event for event in self.groups[logGroupName] if event["timestamp"] >= startTime]
        end = int(nextToken) + 2
        more = {"nextToken": str(end)} if end < len(found) else {}
        return {"events": found[int(nextToken) : end], **more}


def _messages(follower: Follower) -> list[str]:
    return [event["message"] for event in follower.new_events()]


def test_events_with_the_same_time_are_returned_once() -> None:
    logs = FakeLogs()
    follower = Follower(logs, ["a"], since=0)
    logs.put("a", 1000, "1", "2", "3")
    assert _messages(follower) == ["1", "2", "3"]
    logs.put("a", 1000, "4")
    assert _messages(follower) == ["4"]
    assert _messages(follower) == []


def test_an_event_that_arrives_out_of_order_is_returned() -> None:
    logs = FakeLogs()
    follower = Follower(logs, ["a"], since=0)
    logs.put("a", 50_000, "later")
    assert _messages(follower) == ["later"]
    logs.put("a", 1000, "late")
    assert _messages(follower) == ["late"]


def test_old_events_are_not_requested_again() -> None:
    logs = FakeLogs()
    follower = Follower(logs, ["a"], since=7)
    logs.put("a", 10 * OVERLAP_MS, "1")
    follower.new_events()
    follower.new_events()
    assert logs.start_times == [7, 9 * OVERLAP_MS]


def test_events_before_the_start_are_left_out() -> None:
    logs = FakeLogs()
    logs.put("a", 99, "before")
    logs.put("a", 100, "at")
    follower = Follower(logs, ["a"], since=100)
    assert _messages(follower) == ["at"]
    assert _messages(follower) == []


def test_events_of_several_functions_are_sorted_by_time() -> None:
    logs = FakeLogs()
    logs.put("a", 1000, "1")
    logs.put("a", 3000, "3")
    logs.put("b", 2000, "2")
    assert _messages(Follower(logs, ["a", "b"], since=0)) == ["1", "2", "3"]


def test_a_function_that_has_not_run_yet_has_no_events() -> None:
    logs = FakeLogs()
    follower = Follower(logs, ["a"], since=0)
    assert _messages(follower) == []
    logs.put("a", 1, "first")
    assert _messages(follower) == ["first"]


def test_other_errors_are_raised() -> None:
    class Refusing:
        def filter_log_events(self, **request: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "FilterLogEvents")

    with pytest.raises(ClientError, match="AccessDenied"):
        Follower(Refusing(), ["a"], since=0).new_events()


def _shown(message: Any, **selection: Any) -> str | None:
    text = message if isinstance(message, str) else json.dumps(message)
    return shown({"timestamp": 1_767_323_045_678, "message": f"{text}\n"}, Selection(**selection))


def test_a_line_shows_time_level_function_correlation_and_message_then_the_other_fields() -> None:
    assert _shown(ENTRY) == ('2026-01-02 03:04:05.678  INFO     ingest    run-1  ingested  rows=10  source="a file"')


def test_a_stack_trace_follows_its_line() -> None:
    line = _shown({**ENTRY, "message": "failed", "exception": "Traceback:\n  File x", "exception_name": "KeyError"})
    assert line is not None
    assert line.splitlines()[1:] == ["    Traceback:", "      File x"]


def test_a_raw_line_is_unchanged() -> None:
    assert json.loads(_shown(ENTRY, raw=True) or "") == ENTRY


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1 Version: $LATEST",
        "END RequestId: 1",
        "REPORT RequestId: 1",
        "INIT_START x",
        {"_aws": {}},
        "",
    ],
    ids=str,
)
def test_metrics_and_lambdas_own_lines_are_shown_only_on_request(message: Any) -> None:
    assert _shown(message) is None
    assert _shown(message, everything=True) is not None


@pytest.mark.parametrize("message", ["not JSON", "[1]", "7", '{"a": 1}'])
def test_an_unstructured_line_is_shown_with_its_time(message: str) -> None:
    assert _shown(message) == f"2026-01-02 03:04:05.678  {message}"


def test_lines_of_other_executions_are_left_out() -> None:
    assert _shown(ENTRY, correlation="run-1") is not None
    assert _shown(ENTRY, correlation="run-2") is None
    assert _shown("not JSON", correlation="run-1") is None
