"""CloudWatch's figures are exact: metrics that functions embed in their output, and those of AWS services."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.localstack.metrics import EMBED, query, wait_for_count
from tests.integration.localstack.server import REGION, ROLE, Function, Server, is_alive, wait_for


def test_series_whose_dimensions_differ_by_a_prefix_are_separate_and_have_percentiles(deploy, server):
    function = deploy(
        f"""{EMBED}
def handler(event, context):
    for value in range(1, 101):
        print(embed("Apart", value, service="predict", status="200"))
    print(embed("Apart", 1000, service="predict", status="20"))
    print(embed("Apart", 1, service="predict", status="200=ok"))
"""
    )
    assert not function.invoke().error

    wait_for_count(server, 100, "Apart", "Requests", {"service": "predict", "status": "200"})
    figures = ("SampleCount", "Sum", "Maximum", "p50", "p99.9")
    assert query(server, "Apart", "Requests", {"service": "predict", "status": "200"}, *figures) == (
        100,
        5050,
        100,
        50,
        100,
    )
    assert query(server, "Apart", "Requests", {"service": "predict", "status": "20"}, *figures) == (1, *[1000] * 4)
    assert query(server, "Apart", "Requests", {"service": "predict"}, "Sum") == (0,)
    listed = server.client("cloudwatch").list_metrics(
        Namespace="Apart", Dimensions=[{"Name": "status", "Value": "200=ok"}]
    )
    assert len(listed["Metrics"]) == 1


def test_metrics_that_threads_write_between_and_across_invocations_are_published_once(deploy, server, tmp_path):
    """The line is longer than a pipe. An invocation writes its first part, a thread the rest when it may."""
    function = deploy(
        f"""{EMBED}
import os, pathlib, threading
line = json.loads(embed("Between", 1, service="long"))
long = json.dumps(line | {{"padding": "p" * 100_000}}).encode() + b"\\n"
def rest(folder, ends):
    while not (folder / "may write").exists():
        time.sleep(0.01)
    os.write(1, long[70_000:])
    (folder / "written").touch()
    if ends:
        os._exit(0)
def handler(event, context):
    os.write(1, long[:70_000])
    threading.Thread(target=rest, args=(pathlib.Path(event["folder"]), event["ends"])).start()
    return os.getpid()
"""
    )
    for number, ends in enumerate((False, True, False)):
        folder = tmp_path / str(number)
        folder.mkdir()
        pid = function.invoke({"folder": str(folder), "ends": ends}).payload
        (folder / "may write").touch()
        wait_for((folder / "written").exists, "the thread to write the rest of the line")
        if ends:
            wait_for(lambda pid=pid: not is_alive(pid), "the process to exit")
    server.client("lambda").update_function_configuration(
        FunctionName=function.name, Description="ends the running process"
    )

    wait_for_count(server, 3, "Between", "Requests", {"service": "long"})
    assert "malformed embedded metrics" not in server.log.partition("Between")[2]


def test_an_invocation_counts_once_with_its_error_and_duration(deploy, server):
    function = deploy("def handler(event, context):\n    return 1 / event\n")
    function.invoke(1)
    function.invoke(0)
    server.client("lambda").put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    with pytest.raises(server.client("lambda").exceptions.TooManyRequestsException):
        function.invoke(1)

    own = {"FunctionName": function.name}
    wait_for_count(server, 3, "AWS/Lambda", "Throttles", own)
    figures = ("SampleCount", "Sum")
    assert query(server, "AWS/Lambda", "Throttles", own, *figures) == (3, 1)
    assert query(server, "AWS/Lambda", "Invocations", own, *figures) == (2, 2)
    assert query(server, "AWS/Lambda", "Errors", own, *figures) == (2, 1)
    assert query(server, "AWS/Lambda", "Duration", own, "SampleCount") == (2,)
    assert query(server, "AWS/Lambda", "ConcurrentExecutions", own, "Maximum") == (1,)


@pytest.fixture
def api(server: Server, deploy: Any) -> Iterator[tuple[str, str, Function]]:
    """URL and key of an API named "counted", and the function that its only method calls."""
    function = deploy('def handler(event, context):\n    return {"statusCode": int(event["body"]), "body": "{}"}\n')
    gateway = server.client("apigateway")
    api_id = gateway.create_rest_api(name="counted")["id"]
    [root] = gateway.get_resources(restApiId=api_id)["items"]
    method = {"restApiId": api_id, "resourceId": root["id"], "httpMethod": "POST"}
    gateway.put_method(**method, authorizationType="NONE", apiKeyRequired=True)
    invocation = f"arn:aws:lambda:{REGION}:000000000000:function:{function.name}/invocations"
    gateway.put_integration(
        **method,
        type="AWS_PROXY",
        integrationHttpMethod="POST",
        uri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{invocation}",
    )
    gateway.create_deployment(restApiId=api_id, stageName="v1")
    key = gateway.create_api_key(name="key", enabled=True)
    plan = gateway.create_usage_plan(name="plan", apiStages=[{"apiId": api_id, "stage": "v1"}])
    gateway.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    yield f"{server.endpoint}/_aws/execute-api/{api_id}/v1/", key["value"], function
    gateway.delete_usage_plan(usagePlanId=plan["id"])
    gateway.delete_api_key(apiKey=key["id"])
    gateway.delete_rest_api(restApiId=api_id)


def post(url: str, body: str, key: str) -> int:
    """The response's status."""
    request = urllib.request.Request(url, data=body.encode(), headers={"x-api-key": key, "content-type": "text/plain"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_each_request_to_an_api_counts_even_without_a_key(api, server):
    url, key, function = api
    statuses = [post(url, body, key) for body in ("200", "200", "422", "503", "not a status")]
    statuses += [post(url, "200", "wrong") for _ in range(2)]
    assert statuses == [200, 200, 422, 503, 502, 403, 403]

    figures = ("SampleCount", "Sum")
    for own in ({"ApiName": "counted"}, {"ApiName": "counted", "Stage": "v1"}):
        wait_for_count(server, 7, "AWS/ApiGateway", "Count", own)
        assert query(server, "AWS/ApiGateway", "Count", own, *figures) == (7, 7)
        assert query(server, "AWS/ApiGateway", "4XXError", own, *figures) == (7, 3)
        assert query(server, "AWS/ApiGateway", "5XXError", own, *figures) == (7, 2)
        assert query(server, "AWS/ApiGateway", "Latency", own, "SampleCount") == (7,)
        assert query(server, "AWS/ApiGateway", "IntegrationLatency", own, "SampleCount") == (5,)
    assert query(server, "AWS/Lambda", "Invocations", {"FunctionName": function.name}, "Sum") == (5,)


def test_each_execution_of_a_state_machine_counts_with_its_final_status(deploy, server):
    function = deploy("def handler(event, context):\n    return event\n")
    states = server.client("stepfunctions")
    definition = {
        "StartAt": "Choose",
        "States": {
            "Choose": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.end", "StringEquals": "FAILED", "Next": "Reject"},
                    {"Variable": "$.end", "StringEquals": "ABORTED", "Next": "Sleep"},
                    {"Variable": "$.end", "StringEquals": "TIMED_OUT", "Next": "Sleep"},
                ],
                "Default": "Call",
            },
            "Reject": {"Type": "Fail", "Error": "Rejected"},
            "Sleep": {"Type": "Wait", "Seconds": 60, "End": True},
            "Call": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": function.name},
                "End": True,
            },
        },
    }
    machine = states.create_state_machine(name="counted", definition=json.dumps(definition), roleArn=ROLE)
    own = {"StateMachineArn": machine["stateMachineArn"]}

    def start(end: str) -> str:
        run = states.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps({"end": end}))
        return run["executionArn"]

    for end in ("SUCCEEDED", "SUCCEEDED", "FAILED"):
        start(end)
    aborted = start("ABORTED")
    wait_for(lambda: len(states.get_execution_history(executionArn=aborted)["events"]) > 2, "the wait to begin")
    states.stop_execution(executionArn=aborted)
    # Only this execution has the timeout: a cold start may take longer.
    states.update_state_machine(
        stateMachineArn=machine["stateMachineArn"], definition=json.dumps(definition | {"TimeoutSeconds": 1})
    )
    start("TIMED_OUT")

    wait_for_count(server, 5, "AWS/States", "ExecutionTime", own)
    counts = {"Started": 5, "Succeeded": 2, "Failed": 1, "TimedOut": 1, "Aborted": 1}
    found = {end: query(server, "AWS/States", f"Executions{end}", own, "Sum")[0] for end in counts}
    assert found == counts
    assert query(server, "AWS/Lambda", "Invocations", {"FunctionName": function.name}, "Sum") == (2,)
    states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])
