"""What was done about forecasts is kept, or the answer says that it is not."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from readmission.domain.predictions import FeedbackMessage, Message
from readmission.errors import PredictionNotLogged
from readmission.pipeline import feedback as kept
from readmission.serving.cards import suggestion_of
from readmission.serving.feedback import PATH
from readmission.serving.prediction_log import PredictionLog

from tests import cds_hooks
from tests.unit.readmission.serving.fakes import LOGGER, Api

CARD = "4e0a3a1e-3283-4575-ab82-028d55fe2719"
OF_CARD = "/cds-services/readmission-at-discharge/feedback"
AT = "2026-01-31T12:00:00Z"
DISAGREE = {"code": "disagree", "system": "urn:readmission:override-reasons"}


class FakeQueue:
    def __init__(self) -> None:
        self.messages: list[FeedbackMessage] = []
        self.problem: Exception | None = None

    def open(self) -> None: ...

    def key_of(self, site: str, patient_nbr: int) -> str:
        return ""

    def send(self, message: Message) -> None: ...

    def keep(self, message: FeedbackMessage) -> None:
        if self.problem:
            raise self.problem
        self.messages.append(message)


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def api(queue: FakeQueue) -> Api:
    return Api(prediction_log=PredictionLog(queue, 30, LOGGER))


def sent(api: Api, path: str, *entries: Any) -> Any:
    return api.post(path, json.dumps({"feedback": entries}))


def test_feedback_is_kept_as_what_record_reads(api: Api, queue: FakeQueue) -> None:
    given = {
        "request_id": "ward-7",
        "position": 3,
        "outcome": "contacted",
        "outcome_at": AT,
        "reason": " called ",
        "by": "Ada",
    }
    answer = sent(api, PATH, given, {"request_id": "ward-8", "outcome": "accepted", "outcome_at": AT})
    assert (answer.status_code, answer.json()) == (200, {"kept": 2})
    rows = kept.rows_of(queue.messages[0])
    assert [(row["request_id"], row["position"], row["outcome"], row["reason"], row["by"]) for row in rows] == [
        ("ward-7", 3, "contacted", "called", "Ada"),
        ("ward-8", 0, "accepted", None, None),
    ]
    assert {row["route"] for row in rows} == {PATH}


@pytest.mark.parametrize(
    ("entry", "outcome", "code", "reason"),
    [
        ({"outcome": "accepted", "acceptedSuggestions": [{"id": suggestion_of(CARD)}]}, "accepted", None, None),
        ({"outcome": "overridden"}, "overridden", None, None),
        (
            {"outcome": "overridden", "overrideReason": {"reason": DISAGREE, "userComment": "too high"}},
            "overridden",
            "disagree",
            "too high",
        ),
    ],
    ids=["accepted", "overridden", "with a reason"],
)
def test_feedback_of_cds_hooks_is_kept(
    api: Api, queue: FakeQueue, entry: dict[str, Any], outcome: str, code: str | None, reason: str | None
) -> None:
    whole = {"card": CARD, "outcomeTimestamp": AT, **entry}
    Draft202012Validator(cds_hooks.FEEDBACK).validate({"feedback": [whole]})
    assert sent(api, OF_CARD, whole).status_code == 200
    ((row,),) = (kept.rows_of(message) for message in queue.messages)
    assert (row["request_id"], row["outcome"], row["reason_code"], row["reason"]) == (CARD, outcome, code, reason)


@pytest.mark.parametrize(
    ("path", "entry", "field"),
    [
        (PATH, {"outcome": "accepted", "outcome_at": AT}, "feedback[0].request_id"),
        (PATH, {"request_id": "x", "outcome": "liked", "outcome_at": AT}, "feedback[0].outcome"),
        (PATH, {"request_id": "x", "outcome": "accepted", "outcome_at": "2026-01-31"}, "feedback[0].outcome_at"),
        (PATH, {"request_id": "x", "outcome": "accepted", "outcome_at": AT, "position": -1}, "feedback[0].position"),
        (
            PATH,
            {"request_id": "x", "outcome": "accepted", "outcome_at": "0001-01-01T00:00:00+09:00"},
            "feedback[0].outcome_at",
        ),
        (PATH, {"request_id": "x\0", "outcome": "accepted", "outcome_at": AT}, "feedback[0].request_id"),
        (PATH, {"request_id": "x", "outcome": "accepted", "outcome_at": AT, "by": "\ud800"}, "feedback[0].by"),
        (PATH, {"request_id": "x", "outcome": "accepted", "outcome_at": AT, "patient": 1}, "feedback[0]"),
        (PATH, {"request_id": "x", "outcome": "accepted", "outcome_at": AT, "reason": "y" * 501}, "feedback[0].reason"),
        (OF_CARD, {"card": "x", "outcome": "overridden", "outcomeTimestamp": AT}, "feedback[0].card"),
        (OF_CARD, {"card": CARD, "outcome": "contacted", "outcomeTimestamp": AT}, "feedback[0].outcome"),
        (
            OF_CARD,
            {"card": CARD, "outcome": "accepted", "outcomeTimestamp": AT},
            "feedback[0].acceptedSuggestions",
        ),
        (
            OF_CARD,
            {"card": CARD, "outcome": "overridden", "outcomeTimestamp": AT, "overrideReason": 5},
            "feedback[0].overrideReason",
        ),
    ],
)
def test_feedback_that_is_invalid_is_refused_as_a_whole_by_field(
    api: Api, queue: FakeQueue, path: str, entry: dict[str, Any], field: str
) -> None:
    answer = sent(api, path, entry)
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, [field])
    assert queue.messages == []


@pytest.mark.parametrize("document", [[], {}, {"feedback": []}, {"feedback": [1]}, {"feedback": [{}] * 51}])
def test_what_is_no_list_of_feedback_is_refused(api: Api, document: Any) -> None:
    answer = api.post(PATH, json.dumps(document))
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "feedback"


def test_the_sender_is_told_if_the_queue_does_not_take_it(api: Api, queue: FakeQueue) -> None:
    queue.problem = PredictionNotLogged("SendMessage: AccessDenied")
    entry = {"request_id": "x", "outcome": "accepted", "outcome_at": AT}
    assert sent(api, PATH, entry).status_code == 503
    assert sent(api, PATH, entry).status_code == 503  # at once, as the queue rests


def test_without_a_prediction_log_nothing_is_kept() -> None:
    answer = sent(Api(), PATH, {"request_id": "x", "outcome": "accepted", "outcome_at": AT})
    assert answer.status_code == 404 and "PredictionLog" in answer.json()["detail"]


def test_the_same_feedback_is_the_same_row() -> None:
    one = {
        "request_id": "x",
        "position": 0,
        "outcome": "accepted",
        "outcome_at": AT,
        "reason_code": None,
        "reason": None,
        "by": None,
    }
    rows = [
        kept.rows_of({"received_at": at, "route": PATH, "feedback": [one]})[0]["feedback_id"]
        for at in ("2026-01-31T12:00:00Z", "2026-02-01T12:00:00Z")
    ]
    assert rows[0] == rows[1]
