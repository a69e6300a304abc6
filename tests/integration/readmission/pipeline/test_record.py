"""The prediction log on real servers: SQS, S3 and Postgres. All forecasts are in it, and none twice."""

import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from readmission.domain.predictions import Message
from readmission.errors import DatabaseUnavailable
from readmission.identity.patient_key import patient_key
from readmission.pipeline import record as module
from readmission.pipeline.record import Received, Recorded, delete_old, record
from readmission.serving import limited
from readmission.serving.prediction_log import PredictionLog
from readmission.serving.prediction_queue import PredictionQueue
from readmission.serving.schemas import EXAMPLE
from readmission.settings import DatabaseSettings, PatientKeySettings, PredictionLogSettings
from readmission.storage.database import connect
from readmission.telemetry.metrics import PREDICTIONS_NOT_LOGGED, NullMeter

from infra.local.servers import supervision
from tests.integration.readmission.conftest import BUCKETS, Stores
from tests.platforms import Platform
from tests.unit.functions.lambdas import Context, load
from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import Api

LOGGER = logging.getLogger("serving")
KEY = "k" * 32
VISIBILITY_SECONDS = 2
RECEIVES = 3


@dataclass
class Queues:
    """The queue of the log and that of its dead letters, as the template makes them but quicker."""

    sqs: Any
    url: str
    dead_letters: str

    def receive(self) -> list[tuple[Received, str]]:
        """Up to ten messages, and what they are deleted by."""
        found = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        return [(Received(one["MessageId"], one["Body"]), one["ReceiptHandle"]) for one in found.get("Messages", [])]

    def delete(self, handle: str) -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=handle)

    def waiting(self, url: str) -> int:
        """Messages in the queue, those that somebody holds included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(map(int, self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()))


class Counts(NullMeter):
    def __init__(self) -> None:
        self.not_logged: Counter[str] = Counter()

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        if name == PREDICTIONS_NOT_LOGGED:
            self.not_logged[dimensions["reason"]] += int(value)


@pytest.fixture
def queues(system: Platform) -> Iterator[Queues]:
    sqs = boto3.client("sqs", config=Config(connect_timeout=3, read_timeout=60))
    dead_letters = sqs.create_queue(QueueName="predictions-dead-letters-test")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES})
    attributes = {"VisibilityTimeout": str(VISIBILITY_SECONDS), "RedrivePolicy": policy}
    url = sqs.create_queue(QueueName="predictions-test", Attributes=attributes)["QueueUrl"]
    # Loaded, so that the first message does not wait for LocalStack.
    sqs.receive_message(QueueUrl=url)
    yield Queues(sqs, url, dead_letters)
    for one in (url, dead_letters):
        sqs.delete_queue(QueueUrl=one)
    sqs.close()


@pytest.fixture
def log(stores: Stores) -> Stores:
    """With an empty prediction log."""
    stores.clean.run("TRUNCATE prediction")
    return stores


@pytest.fixture
def counts() -> Counts:
    return Counts()


def _queue(queues: Queues) -> PredictionQueue:
    # Longer than the default, for a machine that does more than this test.
    return PredictionQueue(PredictionLogSettings(queues.url, BUCKETS[0], 20, PatientKeySettings("", KEY)))


def _api(queue: PredictionQueue, counts: Counts) -> Api:
    api = Api(prediction_log=PredictionLog(queue, 20, LOGGER, counts))
    api.registry.promote("7", constant(0.2, 0.3, 0.5))
    return api


def _ask(api: Api, request_id: str, encounters: Sequence[int]) -> list[str]:
    """One request about these encounters; the places in the log that their forecasts have."""
    documents = [{**EXAMPLE, "patient_nbr": 900 + one, "encounter_id": 1 + one, "site": "north"} for one in encounters]
    single = len(documents) == 1
    path, body = ("/predict", documents[0]) if single else ("/predict/batch", {"encounters": documents})
    assert api.post(path, json.dumps(body), **{"x-request-id": request_id}).status_code == 200
    return [f"{request_id} {position}" for position in range(len(documents))]


def _logged(clean: Any) -> Counter[str]:
    return Counter(f"{row[0]} {row[1]}" for row in clean.run("SELECT request_id, position FROM prediction"))


def _record(received: Sequence[Received], s3: Any = None) -> Recorded:
    """As the function does, by a connection of its own."""
    with connect("clean", DatabaseSettings.from_environment()) as clean:
        return record(received, BUCKETS[0], s3 or boto3.client("s3", config=Config(connect_timeout=3)), clean)


def test_feedback_is_kept_once_however_often_it_is_sent_and_delivered(queues: Queues, stores: Stores) -> None:
    api = _api(_queue(queues), Counts())
    entry = {"request_id": "ward-7", "outcome": "contacted", "outcome_at": "2026-01-31T12:00:00Z", "reason": "called"}
    for _ in range(2):
        assert api.post("/feedback", json.dumps({"feedback": [entry]})).status_code == 200
    found = queues.receive()
    results = [_record([one for one, _ in found]) for _ in range(2)]
    assert [result.feedback for result in results] == [1, 0] and not any(result.refused for result in results)
    for _, handle in found:
        queues.delete(handle)
    assert stores.clean.run("SELECT request_id, position, outcome, reason, done_by FROM feedback") == [
        ["ward-7", 0, "contacted", "called", None]
    ]
    stores.clean.run("TRUNCATE feedback")


def _recorded(queues: Queues) -> int:
    """Record and delete whatever comes until the queue is empty; the number of forecasts that were there already."""
    repeated = 0
    deadline = time.monotonic() + 120
    while queues.waiting(queues.url) and time.monotonic() < deadline:
        found = queues.receive()
        result = _record([one for one, _ in found])
        repeated += result.repeated
        for one, handle in found:
            if one.message_id not in (*result.refused, *result.again):
                queues.delete(handle)
    return repeated


def _message(log_id: str, **changes: Any) -> Message:
    forecast = {
        "position": 0,
        "model_version": "7",
        "data_kind": "real",
        "answered_by": "production",
        "site": "north",
        "encounter_id": 5,
        "patient_key": "ab" * 32,
        "history": "not found",
        "inputs": {"age": "[50-60)", "max_glu_serum": None},
        "probabilities": [0.1, 0.2, 0.7],
    }
    head = {
        "format": "readmission-predictions",
        "format_version": 1,
        "log_id": log_id,
        "request_id": "ward-7",
        "answered_at": datetime.now(UTC).isoformat(),
        "route": "/predict",
        "model_name": "readmission",
    }
    return {**head, "forecasts": [forecast | changes]}  # type: ignore[return-value]


def _received(*messages: Message) -> list[Received]:
    return [Received(message["log_id"], json.dumps(message)) for message in messages]


def test_every_forecast_is_logged_once_although_record_and_postgres_are_killed(
    log: Stores, queues: Queues, counts: Counts, system: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = _api(_queue(queues), counts)
    asked = [place for number in range(12) for place in _ask(api, f"single-{number}", [number])]
    # The first fits into a message, the second is claimed from S3.
    for name, size in (("small", 3), ("large", 400)):
        asked += _ask(api, name, range(size))

    # Killed after it has written, and before the queue knows.
    written = queues.receive()
    assert _record([one for one, _ in written]).added > 0

    # The next has written a first part, and Postgres is killed in the middle.
    monkeypatch.setattr(module, "_CHUNK", 1)
    killed = _Killer(boto3.client("s3", config=Config(connect_timeout=3)), system)
    broke_off = 0
    deadline = time.monotonic() + 60
    while not killed.done and time.monotonic() < deadline:
        if found := queues.receive():
            # The claim is in the middle, so that something comes before and something after it.
            ordered = sorted((one for one, _ in found), key=lambda one: "single" in one.body)
            try:
                _record(ordered, killed)
            except DatabaseUnavailable:
                broke_off += 1
    assert killed.done and broke_off == 1
    system.run("up")

    # Its queue delivers all of it again.
    with connect("clean", DatabaseSettings.from_environment()) as clean:
        repeated = _recorded(queues)
        assert _logged(clean) == Counter(asked)
    assert repeated > 0 and counts.not_logged == {}
    assert queues.waiting(queues.url) == queues.waiting(queues.dead_letters) == 0


class _Killer:
    """S3, which kills Postgres when an object is read for the first time."""

    def __init__(self, s3: Any, system: Platform) -> None:
        self._s3, self._system = s3, system
        self.done = False

    def get_object(self, **asked: str) -> Any:
        if not self.done:
            self.done = True
            os.kill(supervision.states(self._system.settings)["postgres"].pid, signal.SIGKILL)
        return self._s3.get_object(**asked)


def test_what_is_logged_is_what_was_asked_and_answered(log: Stores, queues: Queues, counts: Counts) -> None:
    _ask(_api(_queue(queues), counts), "ward-7", [55])
    _recorded(queues)
    columns = "request_id, route, model_name, model_version, data_kind, answered_by, site, encounter_id, patient_key"
    assert log.clean.run(f"SELECT {columns}, p_early, p_late, p_none, inputs -> 'age_numeric' FROM prediction") == [
        [
            *("ward-7", "/predict", "readmission", "7", "synthetic", "production", "north", 56),
            patient_key(KEY.encode(), "north", 955),
            *(0.2, 0.3, 0.5, EXAMPLE["age_numeric"]),
        ]
    ]


def test_while_the_queue_is_away_all_is_answered_and_what_is_not_logged_is_counted(
    log: Stores, queues: Queues, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited, "PAUSE_SECONDS", 0.0)
    api = _api(_queue(queues), counts)
    answered = len(_ask(api, "before", [1]) + _ask(api, "before-batch", [2, 3]))
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    api.app.state.prediction_log = PredictionLog(_queue(queues), 20, LOGGER, counts)
    answered += len(_ask(api, "killed", [4]) + _ask(api, "killed-batch", range(300)))
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS")
    api.app.state.prediction_log = PredictionLog(_queue(queues), 20, LOGGER, counts)
    answered += len(_ask(api, "after", [5]))
    _recorded(queues)
    assert counts.not_logged == {"failed": 301}
    assert _logged(log.clean).total() + 301 == answered


def test_a_poisoned_message_goes_to_the_dead_letters_alone_and_can_be_sent_again(log: Stores, queues: Queues) -> None:
    messages = [_message("good-1"), _message("bad", answered_by="a stranger"), _message("good-2")]
    for message in messages:
        queues.sqs.send_message(QueueUrl=queues.url, MessageBody=json.dumps(message))
    _recorded(queues)
    assert queues.waiting(queues.dead_letters) == 1
    assert _logged(log.clean).total() == 2

    source = queues.sqs.get_queue_attributes(QueueUrl=queues.dead_letters, AttributeNames=["QueueArn"])
    queues.sqs.start_message_move_task(SourceArn=source["Attributes"]["QueueArn"])
    deadline = time.monotonic() + 30
    while queues.waiting(queues.dead_letters) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (queues.waiting(queues.url), queues.waiting(queues.dead_letters)) == (1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"answered_by": "a stranger"},
        {"data_kind": "invented"},
        {"site": "nul \0"},
        {"encounter_id": 10**30},
        {"position": -1},
        {"inputs": {"age": float("nan")}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_postgres_refuses_is_refused_alone_and_the_reason_names_no_value(
    log: Stores, changes: dict[str, Any]
) -> None:
    received = _received(_message("1"), _message("bad", **changes), _message("2"))
    result = record(received, BUCKETS[0], log.s3, log.clean)
    assert result.refused.keys() == {"bad"} and "SQLSTATE 2" in result.refused["bad"]
    assert (result.added, result.repeated) == (2, 0)
    assert _logged(log.clean).total() == 2


def test_two_forecasts_of_requests_with_the_same_id_are_both_logged(log: Stores) -> None:
    result = record(_received(_message("one"), _message("two")), BUCKETS[0], log.s3, log.clean)
    assert (result.added, _logged(log.clean)) == (2, Counter({"ward-7 0": 2}))


def test_what_another_version_said_is_logged(log: Stores) -> None:
    other = {"version": "8", "probabilities": [0.3, 0.3, 0.4], "error": None, "seconds": 0.5}
    record(_received(_message("one", answered_by="canary", other=other)), BUCKETS[0], log.s3, log.clean)
    columns = "answered_by, other_version, other_p_early, other_p_late, other_p_none, other_error, other_seconds"
    assert log.clean.run(f"SELECT {columns} FROM prediction") == [["canary", "8", 0.3, 0.3, 0.4, None, 0.5]]


def test_forecasts_are_deleted_when_they_are_older_than_they_may_get(
    log: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DELETED_AT_ONCE", 2)
    record(
        _received(*(_message(f"old-{number}") for number in range(5)), _message("young")), BUCKETS[0], log.s3, log.clean
    )
    old = datetime.now(UTC) - timedelta(days=31)
    log.clean.run("UPDATE prediction SET answered_at = :at WHERE log_id LIKE 'old-%'", at=old)
    assert delete_old(log.clean, 32) == 0
    turns = iter([True, False])
    assert delete_old(log.clean, 30, lambda: next(turns)) == 2
    assert delete_old(log.clean, 30) == 3
    assert log.clean.run("SELECT log_id FROM prediction") == [["young"]]


def test_the_function_migrates_a_database_in_which_no_run_has_been_since_the_upgrade(system: Platform) -> None:
    system.empty_databases()
    function = load("record")
    event = {"Records": [{"messageId": "1", "body": json.dumps(_message("one"))}]}
    for _ in range(2):
        assert function.handler(event, Context()) == {"batchItemFailures": []}
    assert system.query("clean", "SELECT log_id, site FROM prediction") == [["one", "north"]]
