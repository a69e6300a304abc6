"""How a message gets into the queue, and what its failures mean."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from readmission.domain.predictions import MAX_MESSAGE_BYTES, Forecast, Message
from readmission.errors import PredictionNotLogged
from readmission.identity.patient_key import patient_key
from readmission.serving.prediction_queue import PredictionQueue
from readmission.settings import PatientKeySettings, PredictionLogSettings

from tests.unit.readmission.serving.fakes import Clock

KEY = "k" * 32
URL = "https://sqs.example/queue"
SETTINGS = PredictionLogSettings(URL, "bucket", 0.5, PatientKeySettings("", KEY))


class Client:
    """A fake of SQS and S3. Raises each of `errors` in turn."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.sent: list[Any] = []
        self.objects: dict[str, Any] = {}
        self.closed = 0

    def send_message(self, **asked: str) -> None:
        assert asked["QueueUrl"] == URL
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(json.loads(asked["MessageBody"]))

    def put_object(self, **asked: Any) -> None:
        assert asked["Bucket"] == "bucket"
        if self.errors:
            raise self.errors.pop(0)
        self.objects[asked["Key"]] = json.loads(asked["Body"])

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()

    def made(service: str, config: Any) -> Client:
        assert config.read_timeout == 0.5 and config.retries["total_max_attempts"] == 1
        return client

    monkeypatch.setattr(boto3, "client", made)
    return client


def _message(forecasts: int) -> Message:
    one: Forecast = {
        "position": 0,
        "model_version": "7",
        "data_kind": "real",
        "answered_by": "production",
        "site": "default",
        "encounter_id": None,
        "patient_key": None,
        "history": None,
        "inputs": {"age": "[50-60)", "number_inpatient": 2, "max_glu_serum": None},
        "probabilities": [0.2, 0.3, 0.5],
    }
    return {
        "format": "readmission-predictions",
        "format_version": 1,
        "log_id": "abc",
        "request_id": "ward-7",
        "answered_at": "2026-11-27T06:00:00.000000+00:00",
        "route": "/predict/batch",
        "model_name": "readmission",
        "forecasts": [one | {"position": position} for position in range(forecasts)],  # type: ignore[typeddict-item]
    }


def test_a_message_is_one_call_of_the_queue(client: Client) -> None:
    PredictionQueue(SETTINGS).send(_message(1))
    assert client.sent == [_message(1)] and client.objects == {}


def test_a_message_that_is_too_large_is_claimed_by_one_call_of_the_queue(client: Client) -> None:
    large = _message(1000)
    assert len(json.dumps(large)) > MAX_MESSAGE_BYTES
    PredictionQueue(SETTINGS).send(large)
    key = "predictions/2026-11-27/abc.json"
    assert client.sent == [{"format": "readmission-predictions", "format_version": 1, "object": key}]
    assert client.objects == {key: large}


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessage"),
        EndpointConnectionError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
    ],
    ids=["refused", "away", "no connection"],
)
@pytest.mark.parametrize("forecasts", [1, 1000])
def test_what_was_not_taken_is_an_error(client: Client, error: Exception, forecasts: int) -> None:
    client.errors = [error]
    with pytest.raises(PredictionNotLogged):
        PredictionQueue(SETTINGS).send(_message(forecasts))
    assert client.sent == []


def test_of_a_queue_that_does_not_answer_nobody_knows_whether_it_has_the_message(client: Client) -> None:
    client.errors = [ReadTimeoutError(endpoint_url=URL)]
    with pytest.raises(TimeoutError):
        PredictionQueue(SETTINGS).send(_message(1))


def test_a_bucket_that_does_not_answer_leaves_no_doubt(client: Client) -> None:
    client.errors = [ReadTimeoutError(endpoint_url=URL)]
    with pytest.raises(PredictionNotLogged):
        PredictionQueue(SETTINGS).send(_message(1000))


def test_a_connection_that_the_other_end_had_closed_is_opened_again_at_once(client: Client) -> None:
    client.errors = [ConnectionClosedError(endpoint_url=URL)]
    PredictionQueue(SETTINGS).send(_message(1))
    assert len(client.sent) == 1


def test_a_connection_that_was_idle_for_long_is_not_used_again(client: Client) -> None:
    clock = Clock()
    queue = PredictionQueue(SETTINGS, clock)
    clock.now += 19
    queue.send(_message(1))
    clock.now += 19
    queue.send(_message(1))
    assert client.closed == 0
    clock.now += 21
    queue.send(_message(1))
    assert client.closed == 2  # those to SQS and S3


def test_a_patient_is_hashed_with_the_key_of_the_settings(client: Client) -> None:
    assert PredictionQueue(SETTINGS).key_of("north", 12) == patient_key(KEY.encode(), "north", 12)
