"""What the API tells the prediction log, and that a forecast is answered whatever becomes of it."""

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from math import nan
from typing import Any

import pytest
from readmission.domain.features import INPUTS, inputs_of
from readmission.domain.predictions import Message
from readmission.errors import PatientKeyUnavailable, PredictionNotLogged
from readmission.identity.patient_key import patient_key
from readmission.registry.production import Version
from readmission.scoring.scorer import load
from readmission.serving.encounters import Asked, encounter_of
from readmission.serving.limited import PAUSE_SECONDS
from readmission.serving.model_cache import Served
from readmission.serving.prediction_log import Answered, Other, PredictionLog, message
from readmission.serving.schemas import EXAMPLE, RAW_EXAMPLE
from readmission.telemetry.metrics import PREDICTIONS_NOT_LOGGED, NullMeter

from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import LOGGER, Api, Clock

KEY = b"k" * 32
NUMBER = 87654321  # of a patient; neither a message nor a log may contain it
AT = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)


class FakeQueue:
    """Keeps messages. Raises `problem` while it is set, and waits while `answers` is clear."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.messages: list[Message] = []
        self.opened = 0

    def open(self) -> None:
        self.opened += 1
        if self.problem:
            raise self.problem

    def key_of(self, site: str, patient_nbr: int) -> str:
        return patient_key(KEY, site, patient_nbr)

    def send(self, message: Message) -> None:
        assert self.answers.wait(60)
        if self.problem:
            raise self.problem
        self.messages.append(message)


class Counts(NullMeter):
    """The forecasts that were not logged, by reason."""

    def __init__(self) -> None:
        self.not_logged: dict[str, float] = {}

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        if name == PREDICTIONS_NOT_LOGGED:
            reason = dimensions["reason"]
            self.not_logged[reason] = self.not_logged.get(reason, 0) + value


@pytest.fixture
def queue() -> Iterator[FakeQueue]:
    queue = FakeQueue()
    yield queue
    queue.answers.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def api(queue: FakeQueue, clock: Clock, counts: Counts) -> Api:
    return _api(PredictionLog(queue, 30, LOGGER, counts, clock))


def _api(log: PredictionLog | None) -> Api:
    api = Api(prediction_log=log)
    api.registry.promote("7", constant(0.2, 0.3, 0.5))
    return api


def _served() -> Served:
    content = json.dumps(constant(0.2, 0.3, 0.5)).encode()
    digest = sha256(content).hexdigest()
    return Served(Version("readmission", "7", "run", "random_forest", "synthetic", digest), load(content, digest))


def _message(*answered: Answered) -> Message:
    return message("ward-7", "/predict", answered, AT, lambda site, number: patient_key(KEY, site, number))


@pytest.mark.parametrize("example", [EXAMPLE, RAW_EXAMPLE], ids=["14", "raw"])
def test_an_answered_forecast_is_logged_with_the_inputs_as_the_model_saw_them(
    api: Api, queue: FakeQueue, example: dict[str, Any]
) -> None:
    answer = api.post("/predict", json.dumps(example), **{"x-request-id": "ward-7"}).json()
    (sent,) = queue.messages
    (forecast,) = sent["forecasts"]
    assert (sent["request_id"], sent["route"], sent["model_name"]) == ("ward-7", "/predict", "readmission")
    assert forecast["probabilities"] == [answer["probabilities"][name] for name in ("<30", ">30", "NO")]
    assert forecast["inputs"] == inputs_of(encounter_of(example).fields)
    assert forecast["inputs"].keys() == set(INPUTS)
    assert {name: forecast[name] for name in ("position", "model_version", "data_kind", "answered_by")} == {  # type: ignore[literal-required]
        "position": 0,
        "model_version": "7",
        "data_kind": "synthetic",
        "answered_by": "production",
    }


def test_the_log_knows_site_encounter_and_a_hash_of_the_patient_also_if_the_history_is_given(
    api: Api, queue: FakeQueue
) -> None:
    api.predict({**EXAMPLE, "patient_nbr": NUMBER, "encounter_id": 55, "site": "north", "prior_encounters": 0})
    (forecast,) = queue.messages[0]["forecasts"]
    assert (forecast["site"], forecast["encounter_id"]) == ("north", 55)
    assert forecast["patient_key"] == patient_key(KEY, "north", NUMBER)
    assert str(NUMBER) not in json.dumps(queue.messages)


def test_a_request_that_says_nothing_of_the_patient_is_logged_without(api: Api, queue: FakeQueue) -> None:
    api.predict(EXAMPLE)
    (forecast,) = queue.messages[0]["forecasts"]
    assert (forecast["site"], forecast["encounter_id"], forecast["patient_key"]) == ("default", None, None)
    assert forecast["history"] is None and "other" not in forecast


def test_a_batch_is_one_message_with_the_rows_that_were_answered(api: Api, queue: FakeQueue) -> None:
    batch = {"encounters": [EXAMPLE, {"age": 7}, {**EXAMPLE, "encounter_id": 3}]}
    assert api.post("/predict/batch", json.dumps(batch)).json()["refused"] == 1
    (sent,) = queue.messages
    assert sent["route"] == "/predict/batch"
    assert [(one["position"], one["encounter_id"]) for one in sent["forecasts"]] == [(0, None), (2, 3)]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_nothing_is_logged_of_a_request_without_a_forecast(api: Api, queue: FakeQueue, path: str) -> None:
    api.post(path, json.dumps({"encounters": [{}]}))
    assert queue.messages == []


def test_requests_with_the_same_id_have_ids_of_their_own_in_the_log(api: Api, queue: FakeQueue) -> None:
    for _ in range(2):
        api.post("/predict", json.dumps(EXAMPLE), **{"x-request-id": "always-this"})
    assert [sent["request_id"] for sent in queue.messages] == ["always-this"] * 2
    assert len({sent["log_id"] for sent in queue.messages}) == 2


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (PredictionNotLogged("SendMessage: QueueDoesNotExist"), "failed"),
        (PatientKeyUnavailable("the secret is away"), "failed"),
        (TimeoutError(), "late"),
        (TypeError(f"the value {NUMBER} is of the wrong type"), "failed"),
    ],
    ids=["queue", "key", "silence", "fault"],
)
def test_a_forecast_that_cannot_be_logged_is_answered_counted_and_listed(
    api: Api, queue: FakeQueue, counts: Counts, caplog: pytest.LogCaptureFixture, problem: Exception, reason: str
) -> None:
    queue.problem = problem
    batch = {"encounters": [{**EXAMPLE, "patient_nbr": NUMBER}] * 3}
    with caplog.at_level(logging.WARNING):
        answer = api.post("/predict/batch", json.dumps(batch), **{"x-request-id": "ward-7"})
    assert answer.json()["answered"] == 3
    assert counts.not_logged == {reason: 3}
    (line,) = [record for record in caplog.records if "not logged" in record.getMessage()]
    assert (vars(line)["request_id"], vars(line)["forecasts"], vars(line)["reason"]) == ("ward-7", 3, reason)
    assert str(NUMBER) not in line.getMessage()


def test_an_answer_does_not_wait_for_a_queue_that_hangs(queue: FakeQueue, counts: Counts) -> None:
    api = _api(PredictionLog(queue, 0.01, LOGGER, counts))
    queue.answers.clear()
    assert api.predict(EXAMPLE).status_code == 200
    assert counts.not_logged == {"late": 1}


def test_while_the_queue_is_away_one_request_in_a_while_tries_it(
    api: Api, queue: FakeQueue, counts: Counts, clock: Clock
) -> None:
    queue.problem = PredictionNotLogged("away")
    for _ in range(3):
        api.predict(EXAMPLE)
    assert counts.not_logged == {"failed": 1, "paused": 2}
    queue.problem = None
    clock.now += PAUSE_SECONDS
    api.predict(EXAMPLE)
    api.predict(EXAMPLE)
    assert len(queue.messages) == 2 and counts.not_logged == {"failed": 1, "paused": 2}


def test_what_another_version_said_is_logged_beside_the_answer() -> None:
    other = Other("8", {"<30": 0.1, ">30": 0.2, "NO": 0.7}, None, 0.0001)
    answered = Answered(0, Asked({}), _served(), {"<30": 0.2, ">30": 0.3, "NO": 0.5}, "canary", other)
    (forecast,) = _message(answered)["forecasts"]
    assert forecast["answered_by"] == "canary"
    assert forecast["other"] == {"version": "8", "probabilities": [0.1, 0.2, 0.7], "error": None, "seconds": 0.0001}


@pytest.mark.parametrize(
    ("probabilities", "error", "logged"),
    [(None, "ScorerInvalid", "ScorerInvalid"), ({"<30": nan, ">30": 0.2, "NO": 0.7}, None, "NotFinite")],
    ids=["failed", "NaN"],
)
def test_a_version_that_is_broken_is_logged_as_an_error(probabilities: Any, error: str | None, logged: str) -> None:
    answered = Answered(
        0, Asked({}), _served(), {"<30": 0.2, ">30": 0.3, "NO": 0.5}, other=Other("8", probabilities, error, 0.1)
    )
    (forecast,) = _message(answered)["forecasts"]
    assert (forecast["other"]["probabilities"], forecast["other"]["error"]) == (None, logged)


def test_the_log_gets_ready_before_the_first_request_and_does_without(
    queue: FakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    log = PredictionLog(queue, 30, LOGGER)
    queue.problem = PatientKeyUnavailable("the secret 'name' cannot be read")
    with caplog.at_level(logging.WARNING):
        log.open()
    assert queue.opened == 1 and "'name'" in caplog.text


def test_what_was_asked_shows_no_number_of_a_patient() -> None:
    asked = encounter_of({**EXAMPLE, "patient_nbr": NUMBER, "encounter_id": 12345678})
    assert str(NUMBER) not in repr(asked) and "12345678" not in repr(asked)
