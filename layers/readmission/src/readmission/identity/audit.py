"""The audit log: who read which patient's forecast.

A patient is recorded as a keyed hash (HMAC-SHA-256) of the patient number. With the key one can find a patient's
entries; without it nobody can tell whose they are.
"""

import hashlib
import hmac
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import AuditUnavailable
from readmission.identity.actor import Actor
from readmission.settings import AuditSettings

type Action = Literal["forecast", "explained forecast", "batch of forecasts"]
type Write = Callable[[str], None]

# Short, because a person waits for the answer that the entry comes before.
CONFIG: Final = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})


class AuditLog:
    """Records who read what. `write` keeps one line, and raises `AuditUnavailable` if it cannot."""

    def __init__(self, key: bytes, write: Write) -> None:
        self._key, self._write = key, write

    def record(
        self, actor: Actor, action: Action, patients: Iterable[object], *, rows: int, request_id: str, version: str
    ) -> None:
        """Record that `actor` read the forecasts of `rows` encounters; `patients` are their patient numbers, if given.

        Raises `AuditUnavailable`.
        """
        hashes = {self.hash_of(patient) for patient in patients}
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "actor": {"subject": actor.subject, "name": actor.name, "kind": actor.kind},
            "action": action,
            "rows": rows,
            "patients": sorted(hashes),
            "request_id": request_id,
            "model_version": version,
        }
        self._write(json.dumps(entry, ensure_ascii=False))

    def hash_of(self, patient: object) -> str:
        """The patient number as it is in the log; 8222157 and "8222157" are the same."""
        return hmac.new(self._key, str(patient).strip().encode(), hashlib.sha256).hexdigest()


class CloudWatchLogs:
    """Writes lines to a log group, as a stream of its own. `client` is a boto3 client of CloudWatch Logs."""

    def __init__(self, client: Any, group: str) -> None:
        self._client, self._group = client, group
        self._lock = Lock()
        self._stream = ""

    def write(self, line: str) -> None:
        """Returns when CloudWatch has the line. Raises `AuditUnavailable`."""
        try:
            answer = self._client.put_log_events(
                logGroupName=self._group,
                logStreamName=self._stream_of_this_process(),
                logEvents=[{"timestamp": int(time.time() * 1000), "message": line}],
            )
        except (BotoCoreError, ClientError) as error:
            raise AuditUnavailable("the audit log cannot be written; try again later") from error
        if answer.get("rejectedLogEventsInfo"):
            raise AuditUnavailable("the audit log rejected an entry; is the clock of this machine right?")

    def _stream_of_this_process(self) -> str:
        with self._lock:
            if not self._stream:
                name = f"{datetime.now(UTC):%Y/%m/%d}/{uuid.uuid4().hex}"
                self._client.create_log_stream(logGroupName=self._group, logStreamName=name)
                self._stream = name
            return self._stream


def to_output(line: str) -> None:
    """Write an entry to the process's log."""
    try:
        sys.stdout.write(f'{{"audit": {line}}}\n')
        sys.stdout.flush()
    except OSError as error:
        raise AuditUnavailable("the audit log cannot be written; try again later") from error


def open_log(settings: AuditSettings) -> AuditLog:
    """The audit log of these settings. Raises `AuditUnavailable` if the key cannot be read."""
    write = to_output
    if settings.log_group:
        write = CloudWatchLogs(boto3.client("logs", config=CONFIG), settings.log_group).write
    return AuditLog(_key(settings), write)


def _key(settings: AuditSettings) -> bytes:
    if not settings.key_secret:
        return settings.key.encode()
    try:
        client = boto3.client("secretsmanager", config=CONFIG)
        key: str = client.get_secret_value(SecretId=settings.key_secret)["SecretString"]
    except (BotoCoreError, ClientError, KeyError) as error:
        raise AuditUnavailable(f"cannot read the secret {settings.key_secret}: {error}") from error
    if not key:
        raise AuditUnavailable(f"the secret {settings.key_secret} is empty")
    return key.encode()
