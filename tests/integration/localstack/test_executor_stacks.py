"""What the plug-in adds to LocalStack's CloudFormation, and to the address it listens on."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.localstack.server import ROLE, Server, zip_of

BUCKET = "code-of-stacks"


def template(key: str, version: str, api: str) -> str:
    """A function with a published version behind an alias, as SAM's AutoPublishAlias writes it, and a REST API."""
    function = {"FunctionName": "aliased", "Runtime": "python3.13", "Handler": "app.handler", "Role": ROLE}
    resources = {
        "Function": {
            "Type": "AWS::Lambda::Function",
            "Properties": {**function, "Code": {"S3Bucket": BUCKET, "S3Key": key}},
        },
        f"Version{version}": {
            "Type": "AWS::Lambda::Version",
            "DeletionPolicy": "Retain",
            "Properties": {"FunctionName": {"Ref": "Function"}},
        },
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": "live",
                "FunctionName": {"Ref": "Function"},
                "FunctionVersion": {"Fn::GetAtt": [f"Version{version}", "Version"]},
            },
        },
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": api}},
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": "alarm-of-the-stack",
                "AlarmDescription": version,
                "Namespace": "AWS/Lambda",
                "MetricName": "Throttles",
                "Dimensions": [{"Name": "FunctionName", "Value": {"Ref": "Function"}}],
                "Statistic": "Sum",
                "Period": 86400,
                "EvaluationPeriods": 1,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
            },
        },
    }
    outputs = {"ApiId": {"Value": {"Ref": "Api"}}}
    return json.dumps({"Resources": resources, "Outputs": outputs})


@pytest.fixture
def stack(server: Server) -> Iterator[Any]:
    """Deploys a version of the stack and answers the stack's description."""
    s3, cloudformation = server.client("s3"), server.client("cloudformation")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def deploy(version: str, api: str = "api-of-the-stack") -> Any:
        source = f"def handler(event, context):\n    return {version!r}\n"
        s3.put_object(Bucket=BUCKET, Key=f"{version}.zip", Body=zip_of({"app.py": source}))
        exists = "Stacks" in _describe(cloudformation)
        act, wait = ("update_stack", "stack_update_complete") if exists else ("create_stack", "stack_create_complete")
        getattr(cloudformation, act)(StackName="stack", TemplateBody=template(f"{version}.zip", version, api))
        cloudformation.get_waiter(wait).wait(StackName="stack", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        return _describe(cloudformation)["Stacks"][0]

    yield deploy
    cloudformation.delete_stack(StackName="stack")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="stack", WaiterConfig={"Delay": 1})
    for version in ("one", "two"):
        s3.delete_object(Bucket=BUCKET, Key=f"{version}.zip")
    s3.delete_bucket(Bucket=BUCKET)


def _describe(cloudformation: Any) -> Any:
    try:
        return cloudformation.describe_stacks(StackName="stack")
    except cloudformation.exceptions.ClientError:
        return {}


def test_a_stack_deployed_again_moves_its_alias_to_the_new_version(server: Server, stack: Any) -> None:
    for version in ("one", "two"):
        stack(version)
        response = server.client("lambda").invoke(FunctionName="aliased", Qualifier="live")
        assert json.loads(response["Payload"].read()) == version


def test_a_stack_deployed_again_changes_its_alarm(server: Server, stack: Any) -> None:
    for version in ("one", "two"):
        stack(version)
        (alarm,) = server.client("cloudwatch").describe_alarms(AlarmNames=["alarm-of-the-stack"])["MetricAlarms"]
        assert alarm["AlarmDescription"] == version


def test_a_rest_api_has_the_same_id_in_every_life_of_its_stack(server: Server, stack: Any) -> None:
    ids = set()
    for _ in range(2):
        ids.add(stack("one", api="api-of-two-lives")["Outputs"][0]["OutputValue"])
        server.client("cloudformation").delete_stack(StackName="stack")
        server.client("cloudformation").get_waiter("stack_delete_complete").wait(
            StackName="stack", WaiterConfig={"Delay": 1}
        )
    assert len(ids) == 1


def api_template(path: str) -> str:
    """A REST API of one path with its deployment and its stage, as SAM writes it."""
    answer = {"type": "mock", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    answer["responses"] = {"default": {"statusCode": "200"}}  # type: ignore[assignment]
    operation = {"responses": {"200": {"description": "ok"}}, "x-amazon-apigateway-integration": answer}
    body = {"openapi": "3.0.1", "info": {"title": "changing", "version": "1"}, "paths": {path: {"get": operation}}}
    deployment = f"Deployment{path.strip('/')}"
    resources = {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "changing", "Body": body}},
        deployment: {
            "Type": "AWS::ApiGateway::Deployment",
            "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "Stage"},
        },
        "ApiStage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "v1", "DeploymentId": {"Ref": deployment}},
        },
    }
    return json.dumps({"Resources": resources, "Outputs": {"ApiId": {"Value": {"Ref": "Api"}}}})


def test_a_stack_deployed_again_serves_the_apis_new_definition_at_the_same_stage(server: Server) -> None:
    cloudformation = server.client("cloudformation")
    for path, act, done in (("/one", "create_stack", "create"), ("/two", "update_stack", "update")):
        getattr(cloudformation, act)(StackName="changing", TemplateBody=api_template(path))
        cloudformation.get_waiter(f"stack_{done}_complete").wait(StackName="changing", WaiterConfig={"Delay": 1})
        stack = cloudformation.describe_stacks(StackName="changing")["Stacks"][0]
        stage = f"{server.endpoint}/_aws/execute-api/{stack['Outputs'][0]['OutputValue']}/v1"
        with urllib.request.urlopen(stage + path, timeout=20) as response:
            assert response.status == 200
    with pytest.raises(urllib.error.HTTPError, match=r"403|404") as refused:
        urllib.request.urlopen(f"{stage}/one", timeout=20)
    refused.value.close()
    cloudformation.delete_stack(StackName="changing")


def test_two_rest_apis_of_one_name_are_two(server: Server) -> None:
    apigateway = server.client("apigateway")
    ids = {apigateway.create_rest_api(name="twice")["id"] for _ in range(2)}
    assert len(ids) == 2
    for api_id in ids:
        apigateway.delete_rest_api(restApiId=api_id)


def test_it_listens_on_the_interface_that_it_was_told_only(server: Server) -> None:
    port = int(server.endpoint.rpartition(":")[2])
    assert _listening_on(port) == {"127.0.0.1"}


def _listening_on(port: int) -> set[str]:
    """The IPv4 addresses on which something listens at `port`, from the kernel's table."""
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        address, _, hexadecimal_port = line.split()[1].partition(":")
        if line.split()[3] == "0A" and int(hexadecimal_port, 16) == port:
            found.add(socket.inet_ntoa(bytes.fromhex(address)[::-1]))
    return found


def test_large_objects_lie_in_the_working_folder(server: Server) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="large", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_object(Bucket="large", Key="object", Body=b"x" * 2_000_000)
    assert list(server.temporary.glob("localstack-lambda-*/s3/large"))
    assert s3.get_object(Bucket="large", Key="object")["Body"].read() == b"x" * 2_000_000
    s3.delete_object(Bucket="large", Key="object")
    s3.delete_bucket(Bucket="large")
