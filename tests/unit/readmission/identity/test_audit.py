"""Where the audit log is written, and what happens when it cannot be."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from readmission.errors import AuditUnavailable
from readmission.identity import audit
from readmission.identity.actor import Actor
from readmission.identity.audit import AuditLog, CloudWatchLogs
from readmission.settings import AuditSettings

KEY = "0123456789abcdef0123456789abcdef"


class Logs:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.streams: list[str] = []
        self.events: list[Any] = []
        self.rejected: dict[str, int] = {}

    def create_log_stream(self, **asked: str) -> None:
        assert asked["logGroupName"] == "group"
        self.streams.append(asked["logStreamName"])

    def put_log_events(self, **asked: Any) -> dict[str, Any]:
        if self.errors:
            raise self.errors.pop()
        assert asked["logStreamName"] == self.streams[-1]
        self.events += asked["logEvents"]
        return {"rejectedLogEventsInfo": self.rejected} if self.rejected else {}


def test_entries_of_a_process_are_in_one_stream_of_its_own() -> None:
    logs = Logs()
    for log in (CloudWatchLogs(logs, "group"), CloudWatchLogs(logs, "group")):
        log.write("{}")
        log.write("{}")
    assert len(set(logs.streams)) == 2 and len(logs.events) == 4
    assert all(event["timestamp"] > 1_700_000_000_000 for event in logs.events)


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "PutLogEvents"),
        EndpointConnectionError(endpoint_url="https://logs.example"),
    ],
)
def test_a_log_that_cannot_be_written_is_named(error: Exception) -> None:
    logs = Logs(error)
    log = CloudWatchLogs(logs, "group")
    with pytest.raises(AuditUnavailable, match="audit log"):
        log.write("{}")
    log.write("{}")
    assert len(logs.events) == 1


def test_an_entry_that_is_rejected_is_not_taken_for_written() -> None:
    logs = Logs()
    logs.rejected = {"tooOldLogEventEndIndex": 1}
    with pytest.raises(AuditUnavailable, match="clock"):
        CloudWatchLogs(logs, "group").write("{}")


def test_without_a_group_entries_are_lines_of_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    log = audit.open_log(AuditSettings("", "", KEY))
    log.record(Actor("u-17", "Añá"), "forecast", ["1"], rows=1, request_id="r", version="3")
    entry = json.loads(capsys.readouterr().out)["audit"]
    assert entry["actor"]["name"] == "Añá" and entry["patients"] == [log.hash_of("1")]


def test_a_patient_cannot_be_found_without_the_key() -> None:
    one, other = AuditLog(b"one", print), AuditLog(b"other", print)
    assert one.hash_of("8222157") == one.hash_of(8222157) == one.hash_of(" 8222157 ")
    assert one.hash_of("8222157") != other.hash_of("8222157") != one.hash_of("8222158")


@pytest.mark.parametrize("answer", [{"SecretString": ""}, {}])
def test_a_key_that_cannot_be_read_stops_the_start(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    class Secrets:
        def get_secret_value(self, **asked: str) -> Any:
            return answer

    monkeypatch.setattr(audit.boto3, "client", lambda *_, **__: Secrets())
    with pytest.raises(AuditUnavailable, match="the-secret"):
        audit.open_log(AuditSettings("", "the-secret", ""))
