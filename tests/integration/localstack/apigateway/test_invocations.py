"""The functions behind a REST API, which the plug-in calls without a request to Lambda's API."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.localstack.server import REGION, Function, Server, wait_for

VERSION = """
def handler(event, context):
    print("asked for", event["path"])
    return {"statusCode": 200, "body": context.invoked_function_arn.rpartition(":")[2] + context.function_version}
"""


@pytest.fixture
def function(deploy: Any) -> Function:
    deployed: Function = deploy(VERSION)
    return deployed


@pytest.fixture
def api(server: Server, function: Function) -> Iterator[tuple[str, str]]:
    """The address of an API, each of whose paths calls the function's alias of that name, and its id."""
    gateway = server.client("apigateway")
    api_id = gateway.create_rest_api(name="invocations")["id"]
    [root] = gateway.get_resources(restApiId=api_id)["items"]
    for name in (f"{function.name}:live", "missing"):
        part = name.rpartition(":")[2]
        resource = gateway.create_resource(restApiId=api_id, parentId=root["id"], pathPart=part)["id"]
        method = {"restApiId": api_id, "resourceId": resource, "httpMethod": "GET"}
        gateway.put_method(**method, authorizationType="NONE")
        invocation = f"arn:aws:lambda:{REGION}:000000000000:function:{name}/invocations"
        uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{invocation}"
        gateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=api_id, stageName="v1")
    yield f"{server.endpoint}/_aws/execute-api/{api_id}/v1", api_id
    gateway.delete_rest_api(restApiId=api_id)


def ask(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_version_of_the_alias_answers_and_its_lines_are_in_the_log(
    server: Server, api: tuple[str, str], function: Function
) -> None:
    url, _ = api
    version = server.client("lambda").publish_version(FunctionName=function.name)["Version"]
    server.client("lambda").create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)
    assert [ask(f"{url}/live") for _ in range(3)] == [(200, f"live{version}")] * 3
    wait_for(lambda: len(function.log_events()) == 12, "the lines of three invocations")
    kinds = [event.split(" ")[0] for event in function.log_events()]
    assert kinds == ["START", "asked", "END", "REPORT"] * 3


def test_a_function_that_cannot_be_invoked_is_answered_with_502(
    server: Server, api: tuple[str, str], function: Function
) -> None:
    url, _ = api
    assert ask(f"{url}/missing") == ask(f"{url}/live") == (502, '{"message": "Internal server error"}')
    server.client("lambda").create_alias(FunctionName=function.name, Name="live", FunctionVersion="$LATEST")
    server.client("lambda").put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    assert ask(f"{url}/live")[0] == 502
    server.client("lambda").delete_function_concurrency(FunctionName=function.name)
    assert ask(f"{url}/live") == (200, "live$LATEST")
