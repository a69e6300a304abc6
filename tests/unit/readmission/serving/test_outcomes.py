"""`POST /outcomes` with a store in memory."""

import base64
import csv
import io
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter
from readmission.errors import DatabaseUnavailable
from readmission.http.bodies import MAX_BATCH_BYTES
from readmission.identity.actor import Actor
from readmission.pipeline.outcomes import Outcome, Result
from readmission.serving.outcomes import NoTable, respond
from readmission.serving.schemas import OutcomeReport

from tests.contracts import contract

LOGGER = logging.getLogger("outcomes")
OUTCOME = {"encounter_id": 2278392, "readmitted": "<30"}
JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}


class Stored:
    """Keeps what it is given, and returns `results`, or `stored` where there is none."""

    def __init__(self, results: Mapping[int, Result] | None = None, error: Exception | None = None) -> None:
        self.outcomes: list[Outcome] = []
        self.asked: list[tuple[str, str | None]] = []
        self._results, self._error = results or {}, error

    def __call__(self, outcomes: Sequence[Outcome], request_id: str, by: str | None) -> Mapping[int, Result]:
        if self._error:
            raise self._error
        self.outcomes += outcomes
        self.asked.append((request_id, by))
        return {one.position: self._results.get(one.position, "stored") for one in outcomes}


class Counted:
    def __init__(self) -> None:
        self.counts: dict[str, float] = {}

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        self.counts[dimensions["result"]] = value

    def observe(self, name: str, seconds: float, **dimensions: str) -> None: ...

    def set(self, name: str, value: float, **dimensions: str) -> None: ...


def event(body: str, headers: Mapping[str, str] = JSON, **others: Any) -> dict[str, Any]:
    context = {"requestId": "c6af9ac6", "identity": {"apiKeyId": "key1"}}
    fields = {"path": "/outcomes", "httpMethod": "POST", "headers": headers, "body": body, "requestContext": context}
    return fields | others


def ask(body: Any, store: Stored | None = None, **headers: str) -> dict[str, Any]:
    """The answer to a JSON document, or to a text as it is."""
    text = body if isinstance(body, str) else json.dumps(body)
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return respond(event(text, sent), store or Stored(), LOGGER)


def document(answer: Mapping[str, Any]) -> Any:
    return json.loads(answer["body"])


def errors(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(error["field"], error["code"]) for error in document(answer)["errors"]]


def test_one_outcome_is_stored_with_its_request_and_who_sent_it() -> None:
    store = Stored()
    answer = ask({**OUTCOME, "site": "north", "discharge_date": "2026-01-31"}, store)
    assert answer["statusCode"] == 200 and answer["headers"]["x-request-id"] == "c6af9ac6"
    assert document(answer) == {
        "request_id": "c6af9ac6",
        "stored": 1,
        "repeated": 0,
        "refused": 0,
        "outcomes": [{"index": 0, "result": "stored"}],
    }
    assert store.outcomes == [Outcome(0, "north", 2278392, "<30", date(2026, 1, 31))]
    assert store.asked == [("c6af9ac6", "api_key:key1")]


@pytest.mark.parametrize("more", [{}, {"site": None, "discharge_date": None}])
def test_the_site_is_the_default_one_and_the_date_unknown_if_they_are_left_out(more: dict[str, None]) -> None:
    store = Stored()
    ask({**OUTCOME, **more}, store)
    assert store.outcomes == [Outcome(0, "default", 2278392, "<30")]


def test_each_of_many_outcomes_is_answered_for_itself() -> None:
    store = Stored()
    answer = document(ask([OUTCOME, {"encounter_id": "17", "readmitted": "maybe"}, "x", {**OUTCOME}], store))
    assert [one.position for one in store.outcomes] == [0, 3]
    assert (answer["stored"], answer["refused"]) == (2, 2)
    assert [one["index"] for one in answer["outcomes"]] == [0, 1, 2, 3]
    problems = [one["problem"]["errors"][0] for one in answer["outcomes"] if "problem" in one]
    assert [(one["field"], one["code"]) for one in problems] == [("readmitted", "one_of"), ("outcome", "not_an_object")]
    assert problems[0]["params"] == {"values": ["<30", ">30", "NO"]}


def test_no_outcomes_are_no_mistake_and_ask_no_database() -> None:
    store = Stored()
    assert document(ask([], store))["outcomes"] == [] and store.asked == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"encounter_id": 0}, ("encounter_id", "integer_range")),
        ({"encounter_id": 2**63}, ("encounter_id", "integer_range")),
        ({"encounter_id": True}, ("encounter_id", "integer_range")),
        ({"encounter_id": 1.0}, ("encounter_id", "integer_range")),
        ({"encounter_id": None}, ("encounter_id", "integer_range")),
        ({"readmitted": "no"}, ("readmitted", "one_of")),
        ({"readmitted": None}, ("readmitted", "one_of")),
        ({"readmitted": 30}, ("readmitted", "one_of")),
        ({"site": "North Wing"}, ("site", "site_name")),
        ({"site": 7}, ("site", "site_name")),
        ({"discharge_date": "31/01/2026"}, ("discharge_date", "date")),
        ({"discharge_date": "2026-02-30"}, ("discharge_date", "date")),
        ({"discharge_date": 20260131}, ("discharge_date", "date")),
        ({"patient_nbr": 1}, ("patient_nbr", "unknown_field")),
    ],
)
def test_an_invalid_outcome_is_a_problem_that_names_the_field(change: dict[str, Any], wrong: tuple[str, str]) -> None:
    store = Stored()
    answer = ask({**OUTCOME, **change}, store)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (422, "application/problem+json")
    assert errors(answer) == [wrong] and store.outcomes == []


def test_a_missing_field_is_named() -> None:
    assert errors(ask({})) == [("encounter_id", "required"), ("readmitted", "required")]


def test_a_discharge_cannot_be_in_the_future_but_for_the_day_that_has_begun_elsewhere() -> None:
    today = datetime.now(UTC).date()
    tomorrow, later = (str(today + timedelta(days=days)) for days in (1, 3))
    assert ask({**OUTCOME, "discharge_date": tomorrow})["statusCode"] == 200
    assert errors(ask({**OUTCOME, "discharge_date": later})) == [("discharge_date", "date_in_future")]


def test_values_are_not_repeated() -> None:
    answer = ask([{"encounter_id": "the-secret", "readmitted": "the-secret", "site": "the secret"}])
    assert "secret" not in answer["body"]


def test_an_outcome_that_the_request_brought_before_is_repeated() -> None:
    answer = document(ask([OUTCOME, OUTCOME], Stored({1: "repeated"})))
    assert (answer["stored"], answer["repeated"], answer["refused"]) == (1, 1, 0)


def test_a_request_id_that_was_used_for_another_outcome_is_a_problem_of_that_row() -> None:
    answer = document(ask([OUTCOME, OUTCOME], Stored({0: "conflict"}), x_request_id="ward-7"))
    assert (answer["request_id"], answer["stored"], answer["refused"]) == ("ward-7", 1, 1)
    (error,) = answer["outcomes"][0]["problem"]["errors"]
    assert (error["field"], error["code"]) == ("x-request-id", "request_id_used")


# ---------------------------------------------------------------- CSV
def test_a_csv_is_read_by_its_header_and_answered_as_csv() -> None:
    store = Stored()
    text = "readmitted,encounter_id,discharge_date,site\nNO,17,,\n>30,x,2026-01-31,north\n\n<30,19,2026-01-31,north\n"
    answer = respond(event(text, CSV), store, LOGGER)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/csv")
    head, *rows = csv.reader(io.StringIO(answer["body"]))
    assert head == ["row", "result", "error"]
    assert [row[:2] for row in rows] == [["1", "stored"], ["2", ""], ["3", "stored"]]
    assert rows[1][2].startswith("encounter_id: must be a whole number from 1 to ")
    assert store.outcomes == [Outcome(0, "default", 17, "NO"), Outcome(2, "north", 19, "<30", date(2026, 1, 31))]


def test_the_answer_to_a_csv_may_be_json() -> None:
    answer = respond(event("encounter_id,readmitted\n1,NO\n", CSV | {"Accept": "application/json"}), Stored(), LOGGER)
    assert document(answer)["stored"] == 1


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("encounter_id;readmitted\n1;NO\n", ("body", "wrong_separator")),
        ("1,NO\n2,NO\n", ("body", "no_header")),
        ("encounter_id\n1\n", ("readmitted", "missing_column")),
        ("encounter_id,readmitted,ward\n1,NO,3\n", ("ward", "unknown_column")),
        ("encounter_id,readmitted,site,site\n1,NO,a,b\n", ("site", "repeated_column")),
        ('encounter_id,readmitted\n1,"NO\n', ("body", "invalid_csv")),
    ],
)
def test_a_csv_that_cannot_be_read_is_a_problem(text: str, wrong: tuple[str, str]) -> None:
    answer = respond(event(text, CSV), Stored(), LOGGER)
    assert answer["statusCode"] == 422 and errors(answer) == [wrong]


def test_a_row_of_another_length_is_that_rows_problem() -> None:
    text = "encounter_id,readmitted\n1,NO\n2\n"
    answer = document(respond(event(text, CSV | {"Accept": "application/json"}), Stored(), LOGGER))
    assert (answer["stored"], answer["refused"]) == (1, 1)
    assert answer["outcomes"][1]["problem"]["errors"][0]["code"] == "cell_count"


# ---------------------------------------------------------------- requests
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, "{}", 415),
        ({}, "{}", 415),
        (JSON | {"Content-Encoding": "gzip"}, "{}", 415),
        (JSON, "{", 422),
        (JSON, '{"encounter_id": 1, "encounter_id": 2}', 422),
        (JSON, "7", 422),
        (JSON, "", 422),
        (JSON, "\ud800", 422),
        (JSON, " " * (MAX_BATCH_BYTES + 1), 413),
        (JSON, json.dumps([OUTCOME] * 1001), 422),
        (CSV, "encounter_id,readmitted\n" + "1,NO\n" * 1001, 422),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_unreadable_body_is_a_problem(headers: dict[str, str], body: str, status: int) -> None:
    store = Stored()
    answer = respond(event(body, headers), store, LOGGER)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (status, "application/problem+json")
    assert document(answer)["instance"] == "/outcomes" and store.outcomes == []


def test_a_thousand_outcomes_are_taken() -> None:
    assert document(ask([OUTCOME] * 1000))["stored"] == 1000


def test_a_body_may_be_encoded_in_base_64() -> None:
    body = base64.b64encode(json.dumps(OUTCOME).encode()).decode()
    assert document(respond(event(body, isBase64Encoded=True), Stored(), LOGGER))["stored"] == 1


def test_another_method_is_told_which_one_is_right() -> None:
    answer = respond(event("", httpMethod="GET"), Stored(), LOGGER)
    assert (answer["statusCode"], answer["headers"]["Allow"]) == (405, "POST")


@pytest.mark.parametrize("error", [DatabaseUnavailable("db.internal"), NoTable()])
def test_without_its_table_or_the_database_nothing_is_stored_and_the_answer_says_so(error: Exception) -> None:
    answer = ask(OUTCOME, Stored(error=error))
    assert answer["statusCode"] == 503 and "db.internal" not in answer["body"]
    assert "database" in document(answer)["detail"]


def test_what_became_of_the_outcomes_is_counted() -> None:
    meter = Counted()
    respond(event(json.dumps([OUTCOME, OUTCOME, {}])), Stored({1: "repeated"}), LOGGER, meter=meter)
    assert meter.counts == {"stored": 1, "repeated": 1, "refused": 1}


def test_pages_of_an_allowed_origin_may_read_the_answer() -> None:
    sent = JSON | {"Origin": "https://ward.example"}
    answer = respond(event(json.dumps(OUTCOME), sent), Stored(), LOGGER, cors_origins=["https://ward.example"])
    assert answer["headers"]["Access-Control-Allow-Origin"] == "https://ward.example"


def _by(actor: Actor | None) -> dict[str, Any]:
    return {"requestContext": {"requestId": "c6af9ac6", **({"authorizer": actor.as_context()} if actor else {})}}


def test_with_an_issuer_a_token_needs_the_scope_and_its_subject_is_the_sender() -> None:
    store = Stored()
    ana = Actor("u-17", "Ana Ruiz", scopes=frozenset({"outcomes"}))
    body = json.dumps(OUTCOME)
    assert respond(event(body, **_by(ana)), store, LOGGER, identified=True)["statusCode"] == 200
    assert store.asked == [("c6af9ac6", "token:u-17")]
    for actor, status in ((Actor("u-17", "Ana", scopes=frozenset({"predict", "operate"})), 403), (None, 401)):
        assert respond(event(body, **_by(actor)), store, LOGGER, identified=True)["statusCode"] == status
    assert len(store.outcomes) == 1


# ---------------------------------------------------------------- the contract
def test_answers_are_the_documented_ones() -> None:
    report = document(ask([OUTCOME, OUTCOME, {}], Stored({1: "repeated"})))
    TypeAdapter(OutcomeReport).validate_python(report, strict=True, extra="forbid")
    assert report.keys() == contract()["components"]["schemas"]["OutcomeReport"]["properties"].keys()
    assert set(contract()["paths"]["/outcomes"]["post"]["responses"]["200"]["content"]) == {
        "application/json",
        "text/csv",
    }


def test_the_documented_example_of_each_field_is_taken() -> None:
    described = contract()["components"]["schemas"]["Outcome"]
    assert described["required"] == ["encounter_id", "readmitted"] and described["additionalProperties"] is False
    example = {name: field["examples"][0] for name, field in described["properties"].items()}
    assert document(ask(example))["stored"] == 1
