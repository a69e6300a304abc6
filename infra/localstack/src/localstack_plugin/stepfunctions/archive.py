"""The SQLite file of Step Functions' executions and the events of their histories, which outlives LocalStack.

Both are written as they happen, so that a `kill -9` loses nothing. Executions are kept for 90 days, as on AWS.
"""

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

type Document = dict[str, Any]

KEPT = timedelta(days=90)
RUNNING = "RUNNING"
ABORTED = "ABORTED"
INTERRUPTED = {"error": "PlatformStopped", "cause": "LocalStack stopped while the execution was running"}
"""The error and cause of an execution that LocalStack did not end."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS execution (
    arn TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    started TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS event (
    arn TEXT NOT NULL,
    id INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (arn, id)
) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO execution VALUES (?, ?, ?, ?)"
_TIME = "$time"


class Archive:
    """Thread-safe. A document holds whatever JSON can and times; its field `startDate` is a time in UTC."""

    def __init__(self, path: Path) -> None:
        """Open the file; creates it and its folder if they do not exist."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._frozen = False
        # The lock lets one thread at a time use the connection.
        self._file = sqlite3.connect(path, check_same_thread=False, timeout=30)
        # A crash of the machine may lose the last transactions, never the file; a crash of LocalStack loses nothing.
        self._file.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    def put(self, arn: str, status: str, document: Mapping[str, Any]) -> None:
        """Add or replace an execution. Does nothing after `freeze`."""
        with self._lock:
            self._write(_PUT, (arn, status, document["startDate"].isoformat(), _encoded(document)))

    def add_event(self, arn: str, event: Mapping[str, Any]) -> None:
        """Add an event, which has its number in `id`, to an execution's history. Does nothing after `freeze`."""
        with self._lock:
            self._write("INSERT OR REPLACE INTO event VALUES (?, ?, ?)", (arn, event["id"], _encoded(event)))

    def executions(self) -> list[Document]:
        """The documents of all executions, oldest first."""
        with self._lock:
            found = self._file.execute("SELECT document FROM execution ORDER BY started, arn").fetchall()
        return [_decoded(document) for (document,) in found]

    def events(self, arn: str) -> list[Document]:
        """The history of an execution."""
        with self._lock:
            found = self._file.execute("SELECT document FROM event WHERE arn = ? ORDER BY id", (arn,)).fetchall()
        return [_decoded(document) for (document,) in found]

    def abort_running(self) -> None:
        """End every running execution at the time of its last event, with the error INTERRUPTED."""
        with self._lock:
            running = self._file.execute("SELECT arn, document FROM execution WHERE status = ?", (RUNNING,)).fetchall()
        for arn, text in running:
            self._abort(arn, _decoded(text))

    def drop_expired(self, now: datetime) -> None:
        """Delete the executions that AWS would no longer keep."""
        with self._lock, self._file:
            self._file.execute("DELETE FROM execution WHERE started < ?", ((now - KEPT).astimezone(UTC).isoformat(),))
            self._file.execute("DELETE FROM event WHERE arn NOT IN (SELECT arn FROM execution)")

    def freeze(self) -> None:
        """Later writes do nothing: what services do while they stop is not the executions' end. Reading goes on."""
        with self._lock:
            self._frozen = True

    def close(self) -> None:
        """Further reads fail."""
        with self._lock:
            self._file.close()

    def _abort(self, arn: str, document: Document) -> None:
        history = self.events(arn)
        last = history[-1] if history else {"id": 0, "timestamp": document["startDate"]}
        aborted = {
            "id": last["id"] + 1,
            "previousEventId": last["id"],
            "type": "ExecutionAborted",
            "timestamp": last["timestamp"],
            "executionAbortedEventDetails": INTERRUPTED,
        }
        self.put(arn, ABORTED, document | INTERRUPTED | {"status": ABORTED, "stopDate": last["timestamp"]})
        self.add_event(arn, aborted)

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        if not self._frozen:
            with self._file:
                self._file.execute(statement, values)


def _encoded(document: Mapping[str, Any]) -> str:
    return json.dumps(document, default=_encoded_time, separators=(",", ":"))


def _encoded_time(value: Any) -> dict[str, str]:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} cannot be archived")
    return {_TIME: value.astimezone(UTC).isoformat()}


def _decoded(text: str) -> Document:
    document: Document = json.loads(text, object_hook=_decoded_time)
    return document


def _decoded_time(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value[_TIME]) if set(value) == {_TIME} else value
