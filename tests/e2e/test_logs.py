"""The lines of one execution, or of one request, are found by its name in the logs of all functions."""

import json
import time
from typing import Any

import boto3
import pytest

from tests.e2e.conftest import Application, Trained


def _lines(application: Application, correlation: str, least: int) -> list[dict[str, Any]]:
    """What `make logs` finds of it; LocalStack stores a function's lines a moment after it has answered."""
    deadline = time.monotonic() + 20
    while True:
        said = application.platform.run(
            "logs", "--function", "all", "--correlation", correlation, "--since", "600", "--once", "--raw"
        )
        lines = [json.loads(line) for line in said.splitlines()]
        if len(lines) >= least or time.monotonic() > deadline:
            return lines
        time.sleep(0.5)


@pytest.fixture
def execution(application: Application, trained: Trained) -> str:
    """The name of the first whole execution."""
    client = boto3.client("stepfunctions")
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=application.stack.pipeline_arn, statusFilter="SUCCEEDED"
    )
    found = [one for page in pages for one in page["executions"]]
    outputs = {one["name"]: client.describe_execution(executionArn=one["executionArn"])["output"] for one in found}
    client.close()
    (name,) = [name for name, output in outputs.items() if json.loads(output) == trained.output]
    return str(name)


def test_an_execution_is_followed_through_all_its_functions_by_its_name(
    application: Application, execution: str
) -> None:
    lines = _lines(application, execution, least=12)
    told = [(line["service"], line["message"]) for line in lines if line["level"] == "INFO"]
    steps = {"plan", "ingest", "clean", "check", "train", "report", "promote", "monitor"}
    assert {service for service, _ in told} == steps
    assert told[:2] == [("plan", "started"), ("plan", "planned")] and told[-1] == ("monitor", "monitored")
    assert [message for _, message in told].count("trained") == 3
    assert {line["correlation_id"] for line in lines} == {execution}


@pytest.mark.parametrize(("path", "service"), [("/health", "predict"), ("/model/history", "history")])
def test_a_request_is_found_by_the_id_that_its_client_gave_it(
    application: Application, path: str, service: str
) -> None:
    name = f"ward-7-{service}"
    answer = application.call(path, **{"x-request-id": name})
    assert {key.lower(): value for key, value in answer.headers.items()}["x-request-id"] == name
    (line,) = _lines(application, name, least=1)
    assert (line["service"], line["route"], line["status"]) == (service, path, answer.status)


def test_a_function_that_is_not_there_is_answered_with_those_that_are(application: Application) -> None:
    said = application.platform.run("logs", "--function", "prediction", "--once", exit_code=1)
    assert "no function prediction" in said and "predict, promote" in said
