"""The archive of executions keeps what Step Functions would."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from localstack_plugin.stepfunctions.archive import ABORTED, INTERRUPTED, RUNNING, Archive

START = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(tmp_path / "folder" / "executions.db")
    yield opened
    opened.close()


def _put(archive: Archive, arn: str, status: str = RUNNING, started: datetime = START, **more: Any) -> None:
    archive.put(arn, status, {"arn": arn, "status": status, "startDate": started, **more})


def _event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "type": "TaskSucceeded", "timestamp": START + timedelta(seconds=number), **more}


def test_executions_and_events_are_found_again_in_a_new_process(archive: Archive, tmp_path: Path) -> None:
    _put(archive, "second", "SUCCEEDED", START + timedelta(days=1), output={"a": [1]})
    _put(archive, "first")
    archive.add_event("first", _event(2, details={"output": "ä"}))
    archive.add_event("first", _event(1))
    again = Archive(tmp_path / "folder" / "executions.db")
    assert again.executions() == [
        {"arn": "first", "status": RUNNING, "startDate": START},
        {"arn": "second", "status": "SUCCEEDED", "startDate": START + timedelta(days=1), "output": {"a": [1]}},
    ]
    assert again.events("first") == [_event(1), _event(2, details={"output": "ä"})]
    assert again.events("second") == []
    again.close()


def test_an_execution_that_was_running_is_aborted_at_its_last_event(archive: Archive) -> None:
    _put(archive, "ended", "FAILED", error="E")
    _put(archive, "running")
    archive.add_event("running", _event(1))
    archive.abort_running()
    ended, running = archive.executions()
    assert ended == {"arn": "ended", "status": "FAILED", "startDate": START, "error": "E"}
    stopped = START + timedelta(seconds=1)
    assert running == {"arn": "running", "status": ABORTED, "startDate": START, "stopDate": stopped, **INTERRUPTED}
    assert archive.events("running")[-1] == {
        "id": 2,
        "previousEventId": 1,
        "type": "ExecutionAborted",
        "timestamp": stopped,
        "executionAbortedEventDetails": INTERRUPTED,
    }
    archive.abort_running()
    assert len(archive.events("running")) == 2


def test_an_execution_without_events_is_aborted_at_its_start(archive: Archive) -> None:
    _put(archive, "new")
    archive.abort_running()
    assert archive.executions()[0]["stopDate"] == START


def test_what_services_report_while_they_stop_changes_nothing(archive: Archive) -> None:
    _put(archive, "one")
    archive.abort_running()
    archive.freeze()
    _put(archive, "one", "FAILED")
    archive.add_event("one", _event(9))
    assert [document["status"] for document in archive.executions()] == [ABORTED]
    assert [event["id"] for event in archive.events("one")] == [1]


def test_executions_are_kept_for_90_days(archive: Archive) -> None:
    for days in (89, 91):
        _put(archive, f"{days} days ago", "SUCCEEDED", START - timedelta(days=days))
        archive.add_event(f"{days} days ago", _event(1))
    archive.drop_expired(START)
    assert [document["arn"] for document in archive.executions()] == ["89 days ago"]
    assert (len(archive.events("89 days ago")), archive.events("91 days ago")) == (1, [])
