"""Executions outlive LocalStack, however it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.localstack.server import ROLE, Server, wait_for

MACHINE = {
    "StartAt": "First",
    "States": {
        "First": {"Type": "Pass", "Next": "Which"},
        "Which": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.end", "StringEquals": "fail", "Next": "Broken"}],
            "Default": "Wait",
        },
        "Wait": {"Type": "Wait", "SecondsPath": "$.seconds", "End": True},
        "Broken": {"Type": "Fail", "Error": "Odd", "Cause": "the test wants it"},
    },
}


def _create(server: Server) -> str:
    states = server.client("stepfunctions")
    created = states.create_state_machine(name="kept", definition=json.dumps(MACHINE), roleArn=ROLE)
    return str(created["stateMachineArn"])


def _start(server: Server, machine: str, **data: Any) -> str:
    states = server.client("stepfunctions")
    return str(states.start_execution(stateMachineArn=machine, input=json.dumps(data))["executionArn"])


def _described(server: Server, arn: str) -> dict[str, Any]:
    found = server.client("stepfunctions").describe_execution(executionArn=arn)
    del found["ResponseMetadata"]
    return dict(found)


def _events(server: Server, arn: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = server.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    return events


@pytest.mark.parametrize("ended_by", ["stop", "kill"])
def test_a_new_localstack_knows_the_executions_of_the_one_before(tmp_path: Path, ended_by: str) -> None:
    database = {"STEPFUNCTIONS_DATABASE": str(tmp_path / "kept" / "executions.db")}
    server = Server.start(tmp_path / "first", **database)
    machine = _create(server)
    succeeded, failed = _start(server, machine, end="wait", seconds=0), _start(server, machine, end="fail")
    for arn in (succeeded, failed):
        wait_for(lambda arn=arn: _described(server, arn)["status"] != "RUNNING", "the execution to end")
    running = _start(server, machine, end="wait", seconds=600)
    wait_for(lambda: _events(server, running)[-1]["type"] == "WaitStateEntered", "the wait to begin")
    before = {arn: (_described(server, arn), _events(server, arn)) for arn in (succeeded, failed, running)}
    getattr(server, ended_by)()

    server = Server.start(tmp_path / "second", **database)
    try:
        assert _create(server) == machine
        listed = server.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
        assert {one["executionArn"]: one["status"] for one in listed} == {
            succeeded: "SUCCEEDED",
            failed: "FAILED",
            running: "ABORTED",
        }
        for arn in (succeeded, failed):
            assert (_described(server, arn), _events(server, arn)) == before[arn]
        aborted = _described(server, running)
        assert (aborted["error"], aborted["input"]) == ("PlatformStopped", before[running][0]["input"])
        *earlier, last = _events(server, running)
        assert earlier == before[running][1]
        assert last["type"] == "ExecutionAborted"
        # Stopping it again, and asking for its map runs, is harmless.
        server.client("stepfunctions").stop_execution(executionArn=running)
        assert server.client("stepfunctions").list_map_runs(executionArn=running)["mapRuns"] == []
        assert _described(server, _start(server, machine, end="wait", seconds=600))["status"] == "RUNNING"
    finally:
        server.kill()
