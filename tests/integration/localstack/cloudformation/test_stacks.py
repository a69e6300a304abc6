"""Stacks can be deployed again: their resources are updated, not recreated."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.localstack.server import REGION, ROLE, Server, zip_of

BUCKET = "code-of-stacks"
_OFTEN = {"Delay": 0.2, "MaxAttempts": 600}


def template(key: str, version: str, api: str) -> str:
    """A function with a published version behind an alias, as SAM's AutoPublishAlias makes it, and a REST API."""
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
    """`stack(version, api)` deploys the stack and returns its description."""
    s3, cloudformation = server.client("s3"), server.client("cloudformation")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def deploy(version: str, api: str = "api-of-the-stack") -> Any:
        source = f"def handler(event, context):\n    return {version!r}\n"
        s3.put_object(Bucket=BUCKET, Key=f"{version}.zip", Body=zip_of({"app.py": source}))
        exists = "Stacks" in _describe(cloudformation)
        act, wait = ("update_stack", "stack_update_complete") if exists else ("create_stack", "stack_create_complete")
        getattr(cloudformation, act)(StackName="stack", TemplateBody=template(f"{version}.zip", version, api))
        cloudformation.get_waiter(wait).wait(StackName="stack", WaiterConfig=_OFTEN)
        return _describe(cloudformation)["Stacks"][0]

    yield deploy
    cloudformation.delete_stack(StackName="stack")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="stack", WaiterConfig=_OFTEN)
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


def test_a_stack_deployed_again_updates_its_alarm(server: Server, stack: Any) -> None:
    for version in ("one", "two"):
        stack(version)
        (alarm,) = server.client("cloudwatch").describe_alarms(AlarmNames=["alarm-of-the-stack"])["MetricAlarms"]
        assert alarm["AlarmDescription"] == version


def test_a_rest_api_keeps_its_id_when_its_stack_is_deleted_and_created_again(server: Server, stack: Any) -> None:
    ids = set()
    for _ in range(2):
        ids.add(stack("one", api="api-created-twice")["Outputs"][0]["OutputValue"])
        server.client("cloudformation").delete_stack(StackName="stack")
        server.client("cloudformation").get_waiter("stack_delete_complete").wait(StackName="stack", WaiterConfig=_OFTEN)
    assert len(ids) == 1


def api_template(path: str, group: str = "access") -> str:
    """A REST API with one path, its deployment, and its stage with an access log, as SAM makes them."""
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
            "Properties": {
                "RestApiId": {"Ref": "Api"},
                "StageName": "v1",
                "DeploymentId": {"Ref": deployment},
                "AccessLogSetting": {
                    "DestinationArn": f"arn:aws:logs:{REGION}:000000000000:log-group:{group}",
                    "Format": "$context.requestId",
                },
            },
        },
    }
    return json.dumps({"Resources": resources, "Outputs": {"ApiId": {"Value": {"Ref": "Api"}}}})


def test_a_stack_deployed_again_serves_the_api_s_new_definition_at_the_same_stage(server: Server) -> None:
    cloudformation = server.client("cloudformation")
    for path, act, done in (("/one", "create_stack", "create"), ("/two", "update_stack", "update")):
        getattr(cloudformation, act)(StackName="changing", TemplateBody=api_template(path, path.strip("/")))
        cloudformation.get_waiter(f"stack_{done}_complete").wait(StackName="changing", WaiterConfig=_OFTEN)
        stack = cloudformation.describe_stacks(StackName="changing")["Stacks"][0]
        stage = f"{server.endpoint}/_aws/execute-api/{stack['Outputs'][0]['OutputValue']}/v1"
        with urllib.request.urlopen(stage + path, timeout=20) as response:
            assert response.status == 200
    settings = server.client("apigateway").get_stage(restApiId=stack["Outputs"][0]["OutputValue"], stageName="v1")
    assert settings["accessLogSettings"]["destinationArn"].endswith(":two")
    with pytest.raises(urllib.error.HTTPError, match=r"403|404") as rejected:
        urllib.request.urlopen(f"{stage}/one", timeout=20)
    rejected.value.close()
    cloudformation.delete_stack(StackName="changing")


def test_two_rest_apis_with_the_same_name_have_different_ids(server: Server) -> None:
    apigateway = server.client("apigateway")
    ids = {apigateway.create_rest_api(name="twice")["id"] for _ in range(2)}
    assert len(ids) == 2
    for api_id in ids:
        apigateway.delete_rest_api(restApiId=api_id)


def test_a_bucket_that_is_retained_and_leaves_the_template_stays_with_its_objects(server: Server) -> None:
    """As MLflow's bucket, which earlier releases had in the application's stack."""
    s3, cloudformation = server.client("s3"), server.client("cloudformation")
    name = "artifacts-of-an-earlier-release"
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "stays"}}
    bucket = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"BucketName": name},
    }
    before = json.dumps({"Resources": {"Topic": topic, "ArtifactBucket": bucket}})
    cloudformation.create_stack(StackName="earlier", TemplateBody=before)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="earlier", WaiterConfig=_OFTEN)
    s3.put_object(Bucket=name, Key="artifacts/model", Body=b"kept")
    cloudformation.update_stack(StackName="earlier", TemplateBody=json.dumps({"Resources": {"Topic": topic}}))
    cloudformation.get_waiter("stack_update_complete").wait(StackName="earlier", WaiterConfig=_OFTEN)
    assert s3.get_object(Bucket=name, Key="artifacts/model")["Body"].read() == b"kept"
    cloudformation.delete_stack(StackName="earlier")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="earlier", WaiterConfig=_OFTEN)
    assert s3.get_object(Bucket=name, Key="artifacts/model")["Body"].read() == b"kept"
    s3.delete_object(Bucket=name, Key="artifacts/model")
    s3.delete_bucket(Bucket=name)


def other_template(value: str, days: int) -> str:
    """A secret, a log group and the gateway's account, which an update changes, and a bucket that stays."""
    resources = {
        "Secret": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"Name": "secret-of-the-stack", "Description": value, "SecretString": value},
        },
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "/logs/of-the-stack", "RetentionInDays": days},
        },
        "Account": {
            "Type": "AWS::ApiGateway::Account",
            "Properties": {"CloudWatchRoleArn": f"arn:aws:iam::000000000000:role/{value}"},
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "RetainExceptOnCreate",
            "Properties": {"BucketName": "kept-except-on-create"},
        },
    }
    return json.dumps({"Resources": resources})


def test_secrets_log_groups_and_the_gateway_s_account_are_updated_and_a_retained_bucket_outlives_its_stack(
    server: Server,
) -> None:
    cloudformation, s3 = server.client("cloudformation"), server.client("s3")
    for value, days, act, done in (("one", 7, "create_stack", "create"), ("two", 30, "update_stack", "update")):
        getattr(cloudformation, act)(StackName="others", TemplateBody=other_template(value, days))
        cloudformation.get_waiter(f"stack_{done}_complete").wait(StackName="others", WaiterConfig=_OFTEN)
        secrets = server.client("secretsmanager")
        assert secrets.get_secret_value(SecretId="secret-of-the-stack")["SecretString"] == value
        assert secrets.describe_secret(SecretId="secret-of-the-stack")["Description"] == value
        (group,) = server.client("logs").describe_log_groups(logGroupNamePrefix="/logs/of-the-stack")["logGroups"]
        assert group["retentionInDays"] == days
        assert server.client("apigateway").get_account()["cloudwatchRoleArn"].endswith(f"/{value}")
    s3.put_object(Bucket="kept-except-on-create", Key="data", Body=b"kept")
    cloudformation.delete_stack(StackName="others")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="others", WaiterConfig=_OFTEN)
    assert s3.get_object(Bucket="kept-except-on-create", Key="data")["Body"].read() == b"kept"
    s3.delete_object(Bucket="kept-except-on-create", Key="data")
    s3.delete_bucket(Bucket="kept-except-on-create")


def conditional_template(refers: str = "On") -> str:
    """With `Switch=on`, a log group, a role that refers to it, and a text; `refers` is the role's condition."""
    arn = {"Fn::GetAtt": ["Group", "Arn"]}
    assumed = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "*"}]}
    statements = [{"Effect": "Allow", "Action": "logs:*", "Resource": [arn, {"Fn::Sub": "${Group.Arn}:*"}]}]
    policies = [{"PolicyName": "logs", "PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}]
    role = {"AssumeRolePolicyDocument": {"Version": "2012-10-17", **assumed}, "Policies": policies}
    alarm = {
        "AlarmName": "switched",
        "Namespace": "AWS/Logs",
        "MetricName": "IncomingBytes",
        "Dimensions": [{"Name": "LogGroupName", "Value": {"Ref": "Group"}}],
        "Statistic": "Sum",
        "Period": 86400,
        "EvaluationPeriods": 1,
        "Threshold": 0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    part = {"Fn::If": ["On", {"Fn::Sub": "${Group.Arn} of ${Role.Arn}, ${Alarm.Arn}"}, "nothing"]}
    text = {"Fn::Sub": ["watches ${Part}", {"Part": part}]}
    resources = {
        "Group": {"Type": "AWS::Logs::LogGroup", "Condition": "On", "Properties": {"LogGroupName": "switched"}},
        "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Condition": "On", "Properties": alarm},
        "Role": {"Type": "AWS::IAM::Role", "Properties": role} | ({"Condition": refers} if refers else {}),
        "Always": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "switched", "Type": "String", "Value": text}},
    }
    return json.dumps(
        {
            "Parameters": {"Switch": {"Type": "String", "Default": "off"}},
            "Conditions": {"On": {"Fn::Equals": [{"Ref": "Switch"}, "on"]}},
            "Resources": resources,
        }
    )


def _resources(cloudformation: Any, stack: str) -> set[str]:
    listed = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    return {one["LogicalResourceId"] for one in listed if one["ResourceStatus"] != "DELETE_COMPLETE"}


def test_a_condition_is_switched_on_and_off_by_updates(server: Server) -> None:
    cloudformation, ssm = server.client("cloudformation"), server.client("ssm")
    states = [("CREATE", "off"), ("UPDATE", "on"), ("UPDATE", "off"), ("UPDATE", "on")]
    try:
        for number, (kind, switch) in enumerate(states):
            parameters = [{"ParameterKey": "Switch", "ParameterValue": switch}]
            body = conditional_template()
            # By a change set that is described first, as SAM does it.
            cloudformation.create_change_set(
                StackName="switched",
                ChangeSetName=f"change-{number}",
                ChangeSetType=kind,
                TemplateBody=body,
                Parameters=parameters,
                Capabilities=["CAPABILITY_IAM"],
            )
            named = {"StackName": "switched", "ChangeSetName": f"change-{number}"}
            cloudformation.get_waiter("change_set_create_complete").wait(**named, WaiterConfig=_OFTEN)
            cloudformation.execute_change_set(**named)
            waiter = cloudformation.get_waiter(f"stack_{kind.lower()}_complete")
            waiter.wait(StackName="switched", WaiterConfig=_OFTEN)
            expected = {"Group", "Role", "Alarm", "Always"} if switch == "on" else {"Always"}
            # What is no longer part of the stack is deleted after the update has completed.
            end = time.monotonic() + 60
            while _resources(cloudformation, "switched") != expected:
                assert time.monotonic() < end, _resources(cloudformation, "switched")
                time.sleep(0.2)
            groups = server.client("logs").describe_log_groups(logGroupNamePrefix="switched")["logGroups"]
            assert len(groups) == (switch == "on")
            value = ssm.get_parameter(Name="switched")["Parameter"]["Value"]
            assert value.startswith(f"watches {groups[0]['arn']} of arn:" if switch == "on" else "watches nothing")
    finally:
        cloudformation.delete_stack(StackName="switched")
        cloudformation.get_waiter("stack_delete_complete").wait(StackName="switched", WaiterConfig=_OFTEN)


def test_a_resource_that_exists_must_not_refer_to_one_that_does_not(server: Server) -> None:
    cloudformation = server.client("cloudformation")
    with pytest.raises(cloudformation.exceptions.ClientError, match="Unresolved resource dependencies"):
        cloudformation.create_change_set(
            StackName="unresolved",
            ChangeSetName="first",
            ChangeSetType="CREATE",
            TemplateBody=conditional_template(refers=""),
            Capabilities=["CAPABILITY_IAM"],
        )
