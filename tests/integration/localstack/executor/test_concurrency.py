"""Concurrent invocations."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.integration.localstack.server import ROLE, wait_for

# Returns when event["count"] invocations run at once: each creates a file and waits for those of the others.
MEET = """
import os, time
from pathlib import Path
def handler(event, context):
    folder = Path(event["folder"])
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < event["count"]:
        time.sleep(0.01)
    return os.getpid()
"""


def test_concurrent_invocations_get_their_own_environments(deploy, tmp_path):
    function = deploy(MEET, Timeout=30)
    event = {"folder": str(tmp_path), "count": 8}

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(function.invoke, [event] * 8))

    assert not [result for result in results if result.error]
    assert len({result.payload for result in results}) == 8


def test_invocations_beyond_the_reserved_concurrency_are_throttled(deploy, tmp_path):
    function = deploy(MEET, Timeout=30)
    function.server.client("lambda").put_function_concurrency(
        FunctionName=function.name, ReservedConcurrentExecutions=2
    )
    event = {"folder": str(tmp_path), "count": 3}

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(function.invoke, event) for _ in range(2)]
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2, "two invocations to run")
        with pytest.raises(ClientError) as raised:
            function.invoke(event)
        (tmp_path / "end").touch()
        results = [future.result() for future in running]

    assert raised.value.response["Error"]["Code"] == "TooManyRequestsException"
    assert len({result.payload for result in results}) == 2


def test_a_state_machine_s_map_runs_invocations_concurrently(deploy, server, tmp_path):
    function = deploy(MEET, Timeout=30)
    states = server.client("stepfunctions")
    machine = states.create_state_machine(
        name="map",
        roleArn=ROLE,
        definition=json.dumps(
            {
                "StartAt": "Each",
                "States": {
                    "Each": {
                        "Type": "Map",
                        "MaxConcurrency": 4,
                        "ItemProcessor": {
                            "StartAt": "Meet",
                            "States": {
                                "Meet": {
                                    "Type": "Task",
                                    "Resource": "arn:aws:states:::lambda:invoke",
                                    "Parameters": {"FunctionName": function.name, "Payload.$": "$"},
                                    "OutputPath": "$.Payload",
                                    "End": True,
                                }
                            },
                        },
                        "End": True,
                    }
                },
            }
        ),
    )["stateMachineArn"]

    execution = states.start_execution(
        stateMachineArn=machine, input=json.dumps([{"folder": str(tmp_path), "count": 4}] * 4)
    )["executionArn"]

    def finished() -> dict | None:
        found = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    outcome = wait_for(finished, "the state machine to end", seconds=40)
    assert outcome["status"] == "SUCCEEDED"
    assert len(set(json.loads(outcome["output"]))) == 4
