"""CloudWatch's figures are exact: what functions embed in their output, and what AWS publishes by itself."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from process_executor.metric_store import MetricStore

from tests.integration.localstack.server import REGION, ROLE, Function, Server, create_function, wait_for

EMBED = """
import json, time
def embed(namespace, value, **dimensions):
    metrics = {"Namespace": namespace, "Dimensions": [list(dimensions)], "Metrics": [{"Name": "Requests"}]}
    aws = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}
    return json.dumps({"_aws": aws, "Requests": value, **dimensions})
"""


def ask(server: Server, namespace: str, name: str, dimensions: dict[str, str], *stats: str) -> tuple[float, ...]:
    """Each statistic of the two days around now; 0 for one without data."""
    pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": pairs}
    answer = server.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": 86400, "Stat": stat}}
            for number, stat in enumerate(stats)
        ],
        StartTime=datetime.now(UTC) - timedelta(days=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
    )
    return tuple(sum(result["Values"]) for result in answer["MetricDataResults"])


def wait_for_count(server: Server, expected: float, *metric: Any) -> None:
    """Until so many values have arrived: publishing comes a moment after the answer."""
    wait_for(lambda: ask(server, *metric, "SampleCount") == (expected,), f"{expected} values of {metric}")


def test_series_that_differ_by_a_prefix_are_apart_and_have_percentiles(deploy, server):
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
    assert ask(server, "Apart", "Requests", {"service": "predict", "status": "200"}, *figures) == (
        100,
        5050,
        100,
        50,
        100,
    )
    assert ask(server, "Apart", "Requests", {"service": "predict", "status": "20"}, *figures) == (1, *[1000] * 4)
    assert ask(server, "Apart", "Requests", {"service": "predict"}, "Sum") == (0,)
    listed = server.client("cloudwatch").list_metrics(
        Namespace="Apart", Dimensions=[{"Name": "status", "Value": "200=ok"}]
    )
    assert len(listed["Metrics"]) == 1


def test_what_threads_write_between_and_across_invocations_is_published_once_and_whole(deploy, server):
    """A line longer than a pipe, the first half of it in one invocation, and one of a process that has ended."""
    function = deploy(
        f"""{EMBED}
import os, threading
line = json.loads(embed("Between", 1, service="long"))
long = json.dumps(line | {{"padding": "p" * 100_000}}).encode() + b"\\n"
def rest():
    time.sleep(0.1)
    os.write(1, long[70_000:])
    if ending:
        os._exit(0)
def handler(event, context):
    global ending
    ending = event == "end"
    os.write(1, long[:70_000])
    threading.Thread(target=rest).start()
"""
    )
    for event in ("go on", "end", "go on"):
        function.invoke(event)
        time.sleep(0.5)
    server.client("lambda").update_function_configuration(FunctionName=function.name, Description="ends what runs")

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
    assert ask(server, "AWS/Lambda", "Throttles", own, *figures) == (3, 1)
    assert ask(server, "AWS/Lambda", "Invocations", own, *figures) == (2, 2)
    assert ask(server, "AWS/Lambda", "Errors", own, *figures) == (2, 1)
    assert ask(server, "AWS/Lambda", "Duration", own, "SampleCount") == (2,)
    assert ask(server, "AWS/Lambda", "ConcurrentExecutions", own, "Maximum") == (1,)


@pytest.fixture
def api(server: Server, deploy: Any) -> Iterator[tuple[str, str, Function]]:
    """URL and key of an API named "counted" whose one method calls the function."""
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
    """The answer's status."""
    request = urllib.request.Request(url, data=body.encode(), headers={"x-api-key": key, "content-type": "text/plain"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_each_request_to_an_api_counts_those_without_key_too(api, server):
    url, key, function = api
    statuses = [post(url, body, key) for body in ("200", "200", "422", "503", "no status")]
    statuses += [post(url, "200", "wrong") for _ in range(2)]
    assert statuses == [200, 200, 422, 503, 502, 403, 403]

    figures = ("SampleCount", "Sum")
    for own in ({"ApiName": "counted"}, {"ApiName": "counted", "Stage": "v1"}):
        wait_for_count(server, 7, "AWS/ApiGateway", "Count", own)
        assert ask(server, "AWS/ApiGateway", "Count", own, *figures) == (7, 7)
        assert ask(server, "AWS/ApiGateway", "4XXError", own, *figures) == (7, 3)
        assert ask(server, "AWS/ApiGateway", "5XXError", own, *figures) == (7, 2)
        assert ask(server, "AWS/ApiGateway", "Latency", own, "SampleCount") == (7,)
        assert ask(server, "AWS/ApiGateway", "IntegrationLatency", own, "SampleCount") == (5,)
    assert ask(server, "AWS/Lambda", "Invocations", {"FunctionName": function.name}, "Sum") == (5,)


def test_each_execution_of_a_state_machine_counts_with_its_end(deploy, server):
    function = deploy("def handler(event, context):\n    return event\n")
    states = server.client("stepfunctions")
    definition = {
        "StartAt": "Choose",
        "States": {
            "Choose": {
                "Type": "Choice",
                "Choices": [
                    {"Variable": "$.end", "StringEquals": "FAILED", "Next": "Refuse"},
                    {"Variable": "$.end", "StringEquals": "ABORTED", "Next": "Sleep"},
                    {"Variable": "$.end", "StringEquals": "TIMED_OUT", "Next": "Sleep"},
                ],
                "Default": "Call",
            },
            "Refuse": {"Type": "Fail", "Error": "Refused"},
            "Sleep": {"Type": "Wait", "Seconds": 3, "End": True},
            "Call": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": function.name},
                "End": True,
            },
        },
        "TimeoutSeconds": 2,
    }
    machine = states.create_state_machine(name="counted", definition=json.dumps(definition), roleArn=ROLE)
    own = {"StateMachineArn": machine["stateMachineArn"]}

    def start(end: str) -> str:
        run = states.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps({"end": end}))
        return run["executionArn"]

    for end in ("SUCCEEDED", "SUCCEEDED", "FAILED", "TIMED_OUT"):
        start(end)
    aborted = start("ABORTED")
    wait_for(lambda: len(states.get_execution_history(executionArn=aborted)["events"]) > 2, "the wait to begin")
    states.stop_execution(executionArn=aborted)

    wait_for_count(server, 5, "AWS/States", "ExecutionTime", own)
    counts = {"Started": 5, "Succeeded": 2, "Failed": 1, "TimedOut": 1, "Aborted": 1}
    found = {end: ask(server, "AWS/States", f"Executions{end}", own, "Sum")[0] for end in counts}
    assert found == counts
    assert ask(server, "AWS/Lambda", "Invocations", {"FunctionName": function.name}, "Sum") == (2,)
    states.delete_state_machine(stateMachineArn=machine["stateMachineArn"])


def test_metrics_outlive_localstack_those_of_its_last_moment_too(tmp_path):
    database = tmp_path / "kept" / "metrics.db"
    server = Server.start(tmp_path / "first", CLOUDWATCH_DATABASE=str(database))
    source = f"""{EMBED}
import threading
def later():
    time.sleep(0.1)
    print(embed("Last", 2, service="kept"), flush=True)
def handler(event, context):
    print(embed("Last", 1, service="kept"))
    threading.Thread(target=later).start()
"""
    try:
        create_function(server, "kept", source)
        server.client("lambda").get_waiter("function_active_v2").wait(FunctionName="kept")
        assert not Function(server, "kept").invoke().error
        time.sleep(0.5)
        server.stop()
    finally:
        server.kill()

    server = Server.start(tmp_path / "second", CLOUDWATCH_DATABASE=str(database))
    try:
        assert ask(server, "Last", "Requests", {"service": "kept"}, "SampleCount", "Sum") == (2, 3)
        data = [{"MetricName": "Requests", "Dimensions": [{"Name": "service", "Value": "kept"}], "Value": 4}]
        server.client("cloudwatch").put_metric_data(Namespace="Last", MetricData=data)
    finally:
        server.kill()

    assert figures_in(database) == [1, 2, 4]


def figures_in(database: Path) -> list[float]:
    """The values of the namespace "Last" in the file."""
    store = MetricStore(database)
    values = sorted(point["v"] for point in store.get_all_metric_data() if point["ns"] == "Last")
    store.close()
    return values
