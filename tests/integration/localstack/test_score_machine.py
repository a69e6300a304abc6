"""The state machine of scoring jobs, with one function that misbehaves, and what the API reads of its executions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from readmission.serving.job_machine import JobMachine
from readmission.serving.jobs import Execution, _message

from statemachines import generate
from tests.integration.localstack.server import Function, Server, wait_for

# *plan* returns the execution's input. A chunk fails as the plan says, as often as it says, and counts in a file.
SOURCE = """
import json, os, pathlib, time

class StorageUnavailable(Exception):
    pass

class RowsMissing(Exception):
    pass

def handler(event, context):
    file = pathlib.Path("FILE")
    if event["task"] == "plan":
        file.with_suffix(".plan").write_text(json.dumps(event["input"]))
        return event["input"]["plan"]
    wish = json.loads(file.with_suffix(".plan").read_text())
    if event["task"] == "finish":
        return {"job": event["execution"], "rows": len(file.read_text())}
    with file.open("a") as tries:
        tries.write(".")
    if len(file.read_text()) <= wish.get("times", 0):
        if wish["does"] == "exit":
            os._exit(1)
        raise {"StorageUnavailable": StorageUnavailable, "RowsMissing": RowsMissing}[wish["does"]]("of 5 rows, 2")
    return {"chunk": event["chunk"], "answered": 1, "refused": 0}
"""
PLAN = {"rows": 3, "chunks": [1, 2, 3], "model_version": "1", "skipped": None}


@pytest.fixture
def machine(server: Server, deploy: Callable[..., Function], tmp_path: Path) -> Any:
    function = deploy(SOURCE.replace("FILE", str(tmp_path / "tries")), Timeout=30)
    arn = server.client("lambda").get_function(FunctionName=function.name)["Configuration"]["FunctionArn"]
    client = server.client("stepfunctions")
    made = client.create_state_machine(
        name=f"score-{function.name}",
        definition=generate.definition("score").replace("${ScoreFunctionArn}", arn),
        roleArn="arn:aws:iam::000000000000:role/machine",
    )["stateMachineArn"]
    yield JobMachine(client, made)
    client.delete_state_machine(stateMachineArn=made)


def _ended(machine: JobMachine, job: str) -> Execution:
    def ended() -> Execution | None:
        found = machine.describe(job)
        assert found is not None
        return None if found.status == "RUNNING" else found

    found: Execution = wait_for(ended, "the execution to end", seconds=60)
    return found


def test_every_chunk_is_scored_and_the_result_is_the_output(machine: JobMachine, tmp_path: Path) -> None:
    assert machine.start("night", {"plan": PLAN})
    ended = _ended(machine, "night")
    assert (ended.status, ended.output) == ("SUCCEEDED", {"job": "night", "rows": 3})
    assert ended.input == {"plan": PLAN}
    assert (tmp_path / "tries").read_text() == "..."


def test_an_id_starts_one_execution(machine: JobMachine) -> None:
    assert machine.start("night", {"plan": PLAN})
    assert not machine.start("night", {"plan": PLAN})
    _ended(machine, "night")
    assert not machine.start("night", {"plan": PLAN | {"rows": 4}})
    assert machine.describe("another") is None


def test_a_job_with_nothing_to_score_says_why_and_scores_nothing(machine: JobMachine, tmp_path: Path) -> None:
    machine.start("night", {"plan": PLAN | {"skipped": "there is no file"}})
    assert _ended(machine, "night").output["skipped"] == "there is no file"
    assert not (tmp_path / "tries").exists()


@pytest.mark.parametrize("does", ["StorageUnavailable", "exit"])
def test_what_may_pass_is_tried_again(machine: JobMachine, does: str) -> None:
    machine.start("night", {"plan": PLAN, "does": does, "times": 1})
    assert _ended(machine, "night").output == {"job": "night", "rows": 4}


def test_another_error_fails_the_job_by_its_name_and_message(machine: JobMachine) -> None:
    machine.start("night", {"plan": PLAN, "does": "RowsMissing", "times": 9})
    ended = _ended(machine, "night")
    assert (ended.status, ended.error) == ("FAILED", "RowsMissing")
    assert _message(ended.cause) == "of 5 rows, 2"
    assert json.loads(ended.cause or "")["errorType"] == "RowsMissing"
