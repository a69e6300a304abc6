import json
from datetime import timedelta
from typing import Any

import pytest
from readmission.domain.payloads import OF_DELIVERY, parse_request
from readmission.pipeline import executions

from tests.unit.ui.fakes import EXECUTION, NOW, PIPELINE, StepFunctions, entered, event, left, succeeded

EVENTS = [
    event("ExecutionStarted", 0),
    entered("Plan", 0),
    succeeded(1, rows=6000, batches=[1, 2]),
    left("Plan", 1),
    entered("Start at", 1, "Choice"),
    left("Start at", 1, "Choice"),
    entered("Ingest batches", 1, "Map"),
    event("MapStateStarted", 1, mapStateStartedEventDetails={"length": 2}),
    event("TaskStateEntered", 1, stateEnteredEventDetails={"name": "Ingest"}),
    succeeded(3, rows=4000, added=3000),
    event("MapIterationSucceeded", 3),
]


def test_states_have_their_duration_batches_and_counts() -> None:
    plan, ingest = executions.states_of(EVENTS)
    now = NOW + timedelta(seconds=5)
    assert (plan.name, plan.seconds(now), plan.of, plan.facts["rows"]) == ("Plan", 1, None, 6000)
    assert (ingest.name, ingest.exited, ingest.seconds(now)) == ("Ingest batches", None, 4)
    assert (ingest.done, ingest.of, ingest.facts["added"]) == (1, 2, 3000)


def test_the_rows_of_an_execution_are_the_planned_ones() -> None:
    client = StepFunctions()
    client.add(EXECUTION, "RUNNING", EVENTS)
    client.add("failed", "FAILED", EVENTS[:2])
    assert (executions.rows(client, EXECUTION), executions.rows(client, "failed")) == (6000, None)


def test_a_successful_execution_has_a_decision() -> None:
    client = StepFunctions()
    client.add(EXECUTION, "SUCCEEDED", [], input="{}", output=json.dumps({"promotion": {"decision": "refused"}}))
    found = executions.describe(client, EXECUTION)
    assert (found.decision, found.error, found.seconds(), found.name) == ("refused", None, 75, "first")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"source": "https://u:secret@h/d", "batch_size": 5}, {"source": "https://***@h/d", "batch_size": 5}),
        ({"source": 5}, {"source": 5}),
        ({}, {}),
    ],
)
def test_the_request_of_an_execution_has_no_credentials(given: dict[str, Any], shown: dict[str, Any]) -> None:
    client = StepFunctions()
    client.add(EXECUTION, "RUNNING", [], input=json.dumps(given))
    assert executions.describe(client, EXECUTION).request == shown


CREATED = {
    "id": "e-1",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "data"}, "object": {"key": "incoming/north/a.csv"}},
}


@pytest.mark.parametrize(
    ("given", "started_by", "source"),
    [
        ({}, "person", None),
        ({"started_by": "schedule"}, "schedule", None),
        (CREATED, "new object", "s3://data/incoming/north/a.csv"),
        ({**CREATED, "source": "elsewhere"}, None, None),
        ({"started_by": "a cat"}, None, None),
    ],
)
def test_an_execution_says_what_started_it(given: dict[str, Any], started_by: str | None, source: str | None) -> None:
    client = StepFunctions()
    client.add(EXECUTION, "RUNNING", [], input=json.dumps(given))
    found = executions.describe(client, EXECUTION)
    assert (found.started_by, found.request.get("source")) == (started_by, source)


def test_an_execution_of_an_event_is_taken_up_again_by_a_person() -> None:
    client = StepFunctions()
    client.add(EXECUTION, "FAILED", [entered("Plan", 0)], input=json.dumps(CREATED), error="E")
    resumed = executions.resumed(executions.describe(client, EXECUTION), executions.states(client, EXECUTION))
    assert resumed["source"] == "s3://data/incoming/north/a.csv"
    request = parse_request(resumed)
    assert (request.site, request.started_by, request.event) == ("north", "person", None)


def test_an_execution_with_nothing_new_to_learn_names_the_one_that_decided() -> None:
    client = StepFunctions()
    earlier = {"outcome": "decided", "execution": "first"}
    for name, output in (("a", {"earlier": earlier}), ("b", {"earlier": earlier | {"outcome": "train"}}), ("c", {})):
        client.add(name, "SUCCEEDED", [], input="{}", output=json.dumps(output))
    assert [executions.describe(client, name).decided_by_execution for name in "abc"] == ["first", None, None]


def test_a_failed_execution_has_the_step_the_error_and_its_message() -> None:
    client = StepFunctions()
    cause = 'clean failed: {"errorMessage": "row 3 is broken", "errorType": "RowMalformed"}'
    client.add(EXECUTION, "FAILED", [], error="RowMalformed", cause=cause)
    found = executions.describe(client, EXECUTION)
    assert (found.step, found.error, found.message) == ("clean", "RowMalformed", "row 3 is broken")


def test_a_cause_in_another_format_is_the_message() -> None:
    client = StepFunctions()
    client.add("a", "FAILED", [], error="States.Runtime", cause="the input is too large")
    client.add("b", "ABORTED", [])
    assert executions.describe(client, "a").message == "the input is too large"
    aborted = executions.describe(client, "b")
    assert (aborted.step, aborted.error, aborted.message) == (None, "ABORTED", "")


def test_the_newest_executions_come_first() -> None:
    client = StepFunctions()
    for number in range(3):
        client.add(f"e{number}", "SUCCEEDED", [])
        client.executions[f"e{number}"]["startDate"] = NOW + timedelta(hours=number)
    assert executions.newest(client, PIPELINE, 2) == ["e2", "e1"]


def test_an_execution_is_started_with_its_input() -> None:
    client = StepFunctions()
    assert executions.start(client, PIPELINE, {"batch_size": 5}) == EXECUTION
    assert client.started == [{"batch_size": 5}]


@pytest.mark.parametrize(
    ("reached", "start_at"),
    [
        ("Plan", None),
        ("Ingest batches", None),
        ("Clean batches", None),
        ("Check data", None),
        ("Train models", "train"),
        ("Promote", "promote"),
        ("Model card", "promote"),
    ],
)
def test_an_execution_is_taken_up_again_where_its_work_is_not_yet_done(reached: str, start_at: str | None) -> None:
    client = StepFunctions()
    request = {"source": "synthetic:rows=100", "batch_size": 50}
    client.add(EXECUTION, "FAILED", [entered("Plan", 0), entered(reached, 1)], input=json.dumps(request), error="E")
    execution, states = executions.describe(client, EXECUTION), executions.states(client, EXECUTION)
    assert executions.resumed(execution, states) == request | ({"start_at": start_at} if start_at else {})


@pytest.mark.parametrize(("reached", "kept"), [("Clean batches", True), ("Train models", False)])
def test_only_a_run_that_delivers_again_describes_its_delivery(reached: str, kept: bool) -> None:
    client = StepFunctions()
    request = {
        "source": "s3://bucket/key",
        "mapping": "s3://bucket/mapping.yaml",
        "site": "north",
        "taken_on": "2026-01-31",
        "data_kind": "synthetic",
        "diag_version": "icd9",
    }
    client.add(EXECUTION, "FAILED", [entered("Plan", 0), entered(reached, 1)], input=json.dumps(request), error="E")
    resumed = executions.resumed(executions.describe(client, EXECUTION), executions.states(client, EXECUTION))
    assert [name in resumed for name in OF_DELIVERY] == [kept] * len(OF_DELIVERY)
    parse_request(resumed)


def test_an_execution_that_entered_no_state_is_taken_up_from_the_start() -> None:
    client = StepFunctions()
    client.add(EXECUTION, "ABORTED", [], input="{}")
    assert executions.resumed(executions.describe(client, EXECUTION), []) == {}


FAILED = {"Error": "ValueError", "Cause": json.dumps({"errorMessage": "too many trees"})}


def test_what_a_run_went_on_without_is_in_its_output() -> None:
    output = {
        "candidates": [
            {"model": "random_forest", "failure": FAILED},
            {"model": "logistic_regression", "mlflow_run_id": "r1", "plots_failure": FAILED},
            {"model": "gradient_boosting", "failure": {"Error": "States.Timeout", "Cause": "no document"}},
            {"model": "gradient_boosting", "mlflow_run_id": "r2"},
        ],
        "card_failure": FAILED,
    }
    client = StepFunctions()
    client.add(EXECUTION, "SUCCEEDED", [], input="{}", output=json.dumps(output))
    family, plots, timed_out, card = executions.describe(client, EXECUTION).shortfalls
    assert family == executions.Shortfall("family", "ValueError", "too many trees", "random_forest")
    assert plots == executions.Shortfall("plots", "ValueError", "too many trees", "logistic_regression")
    assert timed_out == executions.Shortfall("family", "StepTimedOut", "no document", "gradient_boosting")
    assert card == executions.Shortfall("card", "ValueError", "too many trees")


@pytest.mark.parametrize("output", [{}, {"candidates": []}, {"candidates": [{"model": "m", "mlflow_run_id": "r"}]}])
def test_a_run_without_failures_went_on_without_nothing(output: dict[str, Any]) -> None:
    client = StepFunctions()
    client.add(EXECUTION, "SUCCEEDED", [], input="{}", output=json.dumps(output))
    assert executions.describe(client, EXECUTION).shortfalls == []
