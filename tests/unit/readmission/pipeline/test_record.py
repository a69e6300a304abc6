"""Which messages are read as which rows, and which nobody can read."""

import io
import json
from collections.abc import Callable, Mapping
from math import nan
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from pg8000.exceptions import DatabaseError
from readmission.domain.contract import CLASSES
from readmission.errors import MessageInvalid
from readmission.pipeline.record import COLUMNS, Received, is_not_migrated, record, rows_of

FORECAST = {
    "position": 2,
    "model_version": "7",
    "data_kind": "real",
    "answered_by": "production",
    "site": "north",
    "encounter_id": 55,
    "patient_key": "ab" * 32,
    "history": "found",
    "inputs": {"age": "[50-60)", "number_inpatient": 2, "max_glu_serum": None},
    "probabilities": [0.1, 0.2, 0.7],
}
OTHER = {"version": "8", "probabilities": [0.3, 0.3, 0.4], "error": None, "seconds": 0.0001}
MESSAGE = {
    "format": "readmission-predictions",
    "format_version": 1,
    "log_id": "abc",
    "request_id": "ward-7",
    "answered_at": "2026-11-27T06:00:00.000001+00:00",
    "route": "/predict/batch",
    "model_name": "readmission",
    "forecasts": [FORECAST],
}
CLAIM = {"format": "readmission-predictions", "format_version": 1, "object": "predictions/2026-11-27/abc.json"}


class Bucket:
    """A fake of S3 with one object, or with a problem."""

    def __init__(self, content: Any = None, problem: Exception | None = None) -> None:
        self.content, self.problem = content, problem

    def get_object(self, **asked: str) -> dict[str, Any]:
        assert asked == {"Bucket": "bucket", "Key": CLAIM["object"]}
        if self.problem:
            raise self.problem
        return {"Body": io.BytesIO(json.dumps(self.content).encode())}


class Database:
    """A fake of a connection that takes every row: SQL has its tests on Postgres."""

    row_count = 0

    def run(self, sql: str, stream: Any = None, **params: Any) -> None:
        if stream:
            self.row_count = sum(block.count(b"\n") for block in stream)


def _failure(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")


def _named(forecast: Mapping[str, Any]) -> dict[str, Any]:
    ((row,),) = [rows_of(MESSAGE | {"forecasts": [forecast]})]
    return dict(zip(COLUMNS, row, strict=True))


def test_a_forecast_is_a_row_with_what_its_message_says_of_the_request() -> None:
    row = _named(FORECAST)
    assert json.loads(row.pop("inputs")) == FORECAST["inputs"]
    assert row == {
        **{name: MESSAGE[name] for name in ("log_id", "request_id", "answered_at", "route", "model_name")},
        **{name: value for name, value in FORECAST.items() if name not in ("inputs", "probabilities")},
        **{"p_early": 0.1, "p_late": 0.2, "p_none": 0.7},
        **{name: None for name in COLUMNS if name.startswith("other_")},
    }


@pytest.mark.parametrize(
    ("other", "columns"),
    [
        (OTHER, ["8", 0.3, 0.3, 0.4, None, 0.0001]),
        (OTHER | {"probabilities": None, "error": "ScorerInvalid"}, ["8", None, None, None, "ScorerInvalid", 0.0001]),
    ],
    ids=["answered", "failed"],
)
def test_what_another_version_said_is_in_the_row(other: Any, columns: list[Any]) -> None:
    row = _named(FORECAST | {"other": other})
    assert [value for name, value in row.items() if name.startswith("other_")] == columns


def test_the_probabilities_of_a_message_are_those_of_the_classes_in_this_order() -> None:
    assert set(CLASSES) == {"<30", ">30", "NO"}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda message: message.pop("log_id"), "log_id"),
        (lambda message: message.update(request_id=7), "request_id"),
        (lambda message: message.update(forecasts={}), "forecasts"),
        (lambda message: message.update(forecasts=[7]), "forecast 0"),
        (lambda message: message["forecasts"][0].pop("site"), "site"),
        (lambda message: message["forecasts"][0].update(position=True), "position"),
        (lambda message: message["forecasts"][0].update(encounter_id="secret"), "encounter_id"),
        (lambda message: message["forecasts"][0].update(inputs=[]), "inputs"),
        (lambda message: message["forecasts"][0].update(probabilities=[0.5, 0.5]), "probabilities"),
        (lambda message: message["forecasts"][0].update(probabilities=[0.5, 0.5, nan]), "probabilities"),
        (lambda message: message["forecasts"][0].update(probabilities=[0.5, 0.5, "secret"]), "probabilities"),
        (lambda message: message["forecasts"][0].update(other=7), "other"),
        (lambda message: message["forecasts"][0].update(other={"version": "8"}), "other"),
    ],
)
def test_a_message_that_is_not_as_it_should_be_is_refused_by_the_name_of_the_field(
    spoil: Callable[[Any], Any], named: str
) -> None:
    message = json.loads(json.dumps(MESSAGE))
    spoil(message)
    with pytest.raises(MessageInvalid, match=named) as raised:
        rows_of(message)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("{", "not JSON"),
        ("[]", "format"),
        (json.dumps(MESSAGE | {"format": "other"}), "format"),
        (json.dumps(MESSAGE | {"format_version": 2}), "format"),
        (json.dumps(CLAIM | {"object": "pipeline/secrets.csv"}), "below predictions/"),
    ],
)
def test_a_message_that_nobody_can_read_is_refused_and_the_others_are_written(body: str, why: str) -> None:
    received = [Received("bad", body), Received("good", json.dumps(MESSAGE))]
    result = record(received, "bucket", Bucket(), Database())  # type: ignore[arg-type]
    assert result.refused.keys() == {"bad"} and why in result.refused["bad"]
    assert (result.added, result.again) == (1, {})


def test_a_claim_is_the_message_in_its_object() -> None:
    two = MESSAGE | {"forecasts": [FORECAST, FORECAST | {"position": 3}]}
    result = record([Received("1", json.dumps(CLAIM))], "bucket", Bucket(two), Database())  # type: ignore[arg-type]
    assert (result.added, result.refused, result.again) == (2, {}, {})


@pytest.mark.parametrize(
    ("problem", "refused"),
    [
        (_failure("NoSuchKey", 404), True),
        (_failure("AccessDenied", 403), False),
        (_failure("SlowDown", 503), False),
        (EndpointConnectionError(endpoint_url="https://s3.example"), False),
    ],
    ids=["missing", "denied", "slow", "away"],
)
def test_a_claim_to_an_object_that_cannot_be_read_now_comes_again(problem: Exception, refused: bool) -> None:
    received = [Received("1", json.dumps(CLAIM)), Received("2", json.dumps(MESSAGE))]
    result = record(received, "bucket", Bucket(problem=problem), Database())  # type: ignore[arg-type]
    assert (result.refused.keys() == {"1"}) is refused
    assert (result.again.keys() == {"1"}) is not refused
    assert result.added == 1


@pytest.mark.parametrize(("code", "migrate"), [("42P01", True), ("42703", True), ("42501", False)])
def test_a_table_or_column_that_is_missing_wants_a_migration(code: str, migrate: bool) -> None:
    assert is_not_migrated(DatabaseError({"C": code})) is migrate
