"""A new LocalStack gets back what was deployed to the one before, and behaves as that did after its deployment."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.localstack.server import REGION, ROLE, Server, wait_for, zip_of

CODE = "code-of-the-snapshot"
DATA = "data-of-the-snapshot"
KEY = "a key of at least twenty characters"
_LARGE = b"x" * (1 << 20)
"""S3 keeps this much in a file, and less in memory."""
_OFTEN = {"Delay": 0.2, "MaxAttempts": 600}
_GROUP = "/aws/lambda/answer"
_RULE = "rule-of-the-snapshot"
_ANSWER = """
import os, of_the_layer
def handler(event, context):
    print("asked")
    return {"statusCode": 200, "body": of_the_layer.TEXT + os.environ["VERSION"]}
"""
_RECORD = """
import boto3, os
def handler(event, context):
    s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for record in event["Records"]:
        s3.put_object(Bucket=os.environ["BUCKET"], Key=record["body"], Body=b"x")
"""


def _function(name: str, **properties: Any) -> dict[str, Any]:
    code = {"S3Bucket": CODE, "S3Key": f"{name}.zip"}
    fixed = {"FunctionName": name, "Runtime": "python3.13", "Handler": "app.handler", "Role": ROLE, "Code": code}
    return {"Type": "AWS::Lambda::Function", "Properties": {**fixed, **properties}}


def _functions(version: str) -> dict[str, Any]:
    return {
        "Layer": {
            "Type": "AWS::Lambda::LayerVersion",
            "Properties": {"LayerName": "layer", "Content": {"S3Bucket": CODE, "S3Key": "layer.zip"}},
        },
        "Answer": _function("answer", Layers=[{"Ref": "Layer"}], Environment={"Variables": {"VERSION": version}}),
        f"Version{version}": {
            "Type": "AWS::Lambda::Version",
            "DeletionPolicy": "Retain",
            "Properties": {"FunctionName": {"Ref": "Answer"}},
        },
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": {
                "Name": "live",
                "FunctionName": {"Ref": "Answer"},
                "FunctionVersion": {"Fn::GetAtt": [f"Version{version}", "Version"]},
            },
        },
        "May": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "Alias"},
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
            },
        },
        "Logs": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "/aws/lambda/answer", "RetentionInDays": 7},
        },
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "queue", "VisibilityTimeout": 77}},
        "Record": _function("record", Environment={"Variables": {"BUCKET": DATA}}),
        "Source": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "FunctionName": {"Ref": "Record"},
                "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                "BatchSize": 1,
            },
        },
    }


def _api() -> dict[str, Any]:
    arn = {"Fn::Sub": "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Alias}/invocations"}
    integration = {"type": "aws_proxy", "httpMethod": "POST", "uri": arn}
    operation = {"security": [{"key": []}], "x-amazon-apigateway-integration": integration, "responses": {}}
    scheme = {"key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}
    body = {
        "openapi": "3.0.1",
        "info": {"title": "kept", "version": "1"},
        "paths": {"/ask": {"get": operation}},
        "components": {"securitySchemes": scheme},
    }
    return {
        "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "kept", "Body": body}},
        "Deployment": {"Type": "AWS::ApiGateway::Deployment", "Properties": {"RestApiId": {"Ref": "Api"}}},
        "Stage": {
            "Type": "AWS::ApiGateway::Stage",
            "Properties": {"RestApiId": {"Ref": "Api"}, "StageName": "v1", "DeploymentId": {"Ref": "Deployment"}},
        },
        "ApiKey": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Name": "key", "Enabled": True, "Value": KEY}},
        "Plan": {
            "Type": "AWS::ApiGateway::UsagePlan",
            "DependsOn": "Stage",
            "Properties": {"UsagePlanName": "plan", "ApiStages": [{"ApiId": {"Ref": "Api"}, "Stage": "v1"}]},
        },
        "PlanKey": {
            "Type": "AWS::ApiGateway::UsagePlanKey",
            "Properties": {"KeyId": {"Ref": "ApiKey"}, "KeyType": "API_KEY", "UsagePlanId": {"Ref": "Plan"}},
        },
    }


def _runs() -> dict[str, Any]:
    task = {"Type": "Task", "Resource": {"Fn::GetAtt": ["Answer", "Arn"]}, "End": True}
    return {
        "Machine": {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": "machine",
                "RoleArn": ROLE,
                "Definition": {"StartAt": "Ask", "States": {"Ask": task}},
            },
        },
        "Rule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": _RULE,
                "EventPattern": {"source": ["snapshot"]},
                "Targets": [{"Id": "machine", "Arn": {"Ref": "Machine"}, "RoleArn": ROLE}],
            },
        },
        "Schedule": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": f"{_RULE}-on-schedule",
                "ScheduleExpression": "rate(1 minute)",
                "Targets": [{"Id": "machine", "Arn": {"Ref": "Machine"}, "RoleArn": ROLE}],
            },
        },
        "Alarm": {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "AlarmName": "alarm",
                "Namespace": "Snapshot",
                "MetricName": "Faults",
                "Statistic": "Sum",
                "Period": 10,
                "EvaluationPeriods": 1,
                "Threshold": 0,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",
            },
        },
    }


def template(version: str, **more: Any) -> str:
    """Something of every service that the application's template uses."""
    resources = {
        **_functions(version),
        **_api(),
        **_runs(),
        "Data": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": DATA}},
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "secret", "GenerateSecretString": {}}},
        "Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": []}}},
        "Role": {
            "Type": "AWS::IAM::Role",
            "Properties": {"RoleName": "role", "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
        },
        **more,
    }
    outputs = {"ApiId": {"Value": {"Ref": "Api"}}, "KeyId": {"Value": {"Ref": "Key"}}}
    return json.dumps({"Resources": resources, "Outputs": outputs})


@dataclass
class Deployment:
    """The stack on one of several LocalStacks, each of which has the snapshots of the one before."""

    server: Server
    folder: Path

    @classmethod
    def start(cls, folder: Path, number: int) -> "Deployment":
        snapshot = folder / "snapshot"
        return cls(Server.start(folder / str(number), SNAPSHOT_FOLDER=str(snapshot)), snapshot)

    def deploy(self, version: str, **more: Any) -> None:
        """For the first time, or again."""
        s3, cloudformation = self.server.client("s3"), self.server.client("cloudformation")
        exists = bool(cloudformation.describe_stacks()["Stacks"])
        if not exists:
            s3.create_bucket(Bucket=CODE, CreateBucketConfiguration={"LocationConstraint": REGION})
        layer = {"python/of_the_layer.py": "TEXT = 'hello '", "python/large": _LARGE}
        files = {"layer": layer, "answer": {"app.py": _ANSWER}}
        for name, content in {**files, "record": {"app.py": _RECORD}}.items():
            s3.put_object(Bucket=CODE, Key=f"{name}.zip", Body=zip_of(content))  # type: ignore[arg-type]
        act = "update" if exists else "create"
        getattr(cloudformation, f"{act}_stack")(StackName="kept", TemplateBody=template(version, **more))
        cloudformation.get_waiter(f"stack_{act}_complete").wait(StackName="kept", WaiterConfig=_OFTEN)

    def snapshot(self, what: str, key: str = "one") -> tuple[int, str]:
        """Status and text of the answer."""
        request = urllib.request.Request(
            f"{self.server.endpoint}/_localstack/snapshot/{what}",
            data=json.dumps({"key": key}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def output(self, name: str) -> str:
        (stack,) = self.server.client("cloudformation").describe_stacks(StackName="kept")["Stacks"]
        found: str = {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}[name]
        return found

    def ask(self, key: str | None = KEY) -> tuple[int, str]:
        url = f"{self.server.endpoint}/_aws/execute-api/{self.output('ApiId')}/v1/ask"
        request = urllib.request.Request(url, headers={"x-api-key": key} if key else {})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    def described(self) -> dict[str, Any]:
        """The stack's resources, as the services describe them."""
        client = self.server.client
        api = self.output("ApiId")
        answers = {
            "stack": client("cloudformation").describe_stacks(StackName="kept"),
            "resources": client("cloudformation").describe_stack_resources(StackName="kept"),
            "functions": client("lambda").list_functions(FunctionVersion="ALL"),
            "aliases": client("lambda").list_aliases(FunctionName="answer"),
            "layers": client("lambda").list_layers(),
            "policy": client("lambda").get_policy(FunctionName="answer", Qualifier="live"),
            "sources": client("lambda").list_event_source_mappings(),
            "resources of the API": client("apigateway").get_resources(restApiId=api, embed=["methods"]),
            "stages": client("apigateway").get_stages(restApiId=api),
            "keys": client("apigateway").get_api_keys(includeValues=True),
            "plans": client("apigateway").get_usage_plans(),
            "machines": client("stepfunctions").list_state_machines(),
            "rules": client("events").list_rules(),
            "targets": client("events").list_targets_by_rule(Rule=_RULE),
            "secret": client("secretsmanager").get_secret_value(SecretId="secret"),
            "key": client("kms").describe_key(KeyId=self.output("KeyId")),
            "queue": _queue_without_its_port(client("sqs")),
            "groups": client("logs").describe_log_groups(logGroupNamePrefix=_GROUP),
            "role": client("iam").get_role(RoleName="role"),
            "alarm": client("cloudwatch").describe_alarms(AlarmNames=["alarm"]),
        }
        return {name: _plain(one) for name, one in answers.items()}

    def executions(self) -> list[str]:
        arn = f"arn:aws:states:{REGION}:000000000000:stateMachine:machine"
        found = self.server.client("stepfunctions").list_executions(stateMachineArn=arn)["executions"]
        return [one["executionArn"] for one in found]


def _queue_without_its_port(sqs: Any) -> Any:
    return sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName="queue")["QueueUrl"], AttributeNames=["All"])


def _plain(answer: Any) -> Any:
    """Without what differs from one answer, or from one LocalStack, to the next."""

    def lasting(one: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in one.items() if name not in _CHANGING and not name.startswith("State")}

    return json.loads(json.dumps(answer, default=str, sort_keys=True), object_hook=lasting)


_CHANGING = ("ResponseMetadata", "RevisionId", "storedBytes", "LastAccessedDate", "AlarmConfigurationUpdatedTimestamp")
"""And names that begin with State, such as that of an alarm now. A function's RevisionId changes with its state."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


@dataclass(frozen=True)
class Saved:
    """The resources of the first LocalStack, as its services described them right after its snapshot."""

    described: dict[str, Any]


@pytest.fixture(scope="module")
def saved(folder: Path) -> Saved:
    """A stack that was deployed and then used: a snapshot has what its last deployment made, and nothing of the use."""
    first = Deployment.start(folder, 1)
    try:
        first.deploy("1")
        assert first.ask() == (200, "hello 1")
        first.server.client("s3").put_object(Bucket=DATA, Key="old", Body=b"x")
        first.server.client("stepfunctions").start_execution(
            stateMachineArn=f"arn:aws:states:{REGION}:000000000000:stateMachine:machine"
        )
        first.deploy("2")
        assert first.snapshot("save") == (200, "")
        assert first.ask() == (200, "hello 2")
        return Saved(first.described())
    finally:
        first.server.kill()


@pytest.fixture(scope="module")
def restored(saved: Saved, folder: Path) -> Iterator[Deployment]:
    second = Deployment.start(folder, 2)
    assert second.snapshot("restore") == (200, "")
    yield second
    second.server.stop()


def test_all_resources_are_as_they_were(saved: Saved, restored: Deployment) -> None:
    assert restored.described() == saved.described


def test_the_api_answers_at_the_same_address_with_the_same_key_and_code(restored: Deployment) -> None:
    assert restored.ask() == (200, "hello 2")
    assert restored.ask(key=None)[0] == restored.ask(key="another")[0] == 403


def test_a_bucket_takes_large_objects(restored: Deployment) -> None:
    s3 = restored.server.client("s3")
    s3.put_object(Bucket=DATA, Key="large", Body=_LARGE)
    assert s3.get_object(Bucket=DATA, Key="large")["Body"].read() == _LARGE
    s3.delete_object(Bucket=DATA, Key="large")


def test_an_older_version_can_be_invoked(restored: Deployment) -> None:
    answer = restored.server.client("lambda").invoke(FunctionName="answer", Qualifier="1")
    assert json.loads(answer["Payload"].read())["body"] == "hello 1"


def test_messages_of_a_queue_reach_their_function(restored: Deployment) -> None:
    sqs, s3 = restored.server.client("sqs"), restored.server.client("s3")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="queue")["QueueUrl"], MessageBody="new")
    found = wait_for(lambda: s3.list_objects_v2(Bucket=DATA).get("Contents"), "the message to be recorded")
    assert [one["Key"] for one in found] == ["new"]  # and not the object that was there before


def test_events_and_schedules_start_executions(restored: Deployment) -> None:
    entry = {"Source": "snapshot", "DetailType": "Event", "Detail": "{}"}
    restored.server.client("events").put_events(Entries=[entry])
    states = restored.server.client("stepfunctions")

    def started_by() -> set[str]:
        inputs = [json.loads(states.describe_execution(executionArn=arn)["input"]) for arn in restored.executions()]
        return {one["source"] for one in inputs}

    wait_for(lambda: started_by() == {"snapshot", "aws.events"}, "the event and the schedule", seconds=150)


def test_alarms_go_off(restored: Deployment) -> None:
    cloudwatch = restored.server.client("cloudwatch")

    def in_alarm() -> bool:
        cloudwatch.put_metric_data(Namespace="Snapshot", MetricData=[{"MetricName": "Faults", "Value": 1}])
        (alarm,) = cloudwatch.describe_alarms(AlarmNames=["alarm"])["MetricAlarms"]
        return bool(alarm["StateValue"] == "ALARM")

    wait_for(in_alarm, "the alarm")


def test_a_restored_stack_can_be_deployed_again(restored: Deployment) -> None:
    restored.deploy("3")
    assert restored.ask() == (200, "hello 3")


def test_a_restoration_that_is_repeated_changes_nothing(restored: Deployment) -> None:
    restored.server.client("s3").put_object(Bucket=DATA, Key="later", Body=b"x")
    assert restored.snapshot("restore") == (200, "")
    assert restored.server.client("s3").head_object(Bucket=DATA, Key="later")


def test_a_localstack_that_has_a_stack_is_not_restored(restored: Deployment) -> None:
    assert restored.snapshot("restore", key="another") == (404, "LocalStack has stacks already")


def test_no_message_object_or_log_is_in_a_snapshot(restored: Deployment, folder: Path) -> None:
    state = (folder / "snapshot" / "state").read_bytes()
    assert b"asked" not in state.replace(b"'asked'", b"")
    assert b"old" not in {one for one in state.split(b"\x94")}


def test_a_bucket_counts_as_new_so_that_the_mirror_fills_it(restored: Deployment, folder: Path) -> None:
    (bucket,) = [one for one in restored.server.client("s3").list_buckets()["Buckets"] if one["Name"] == DATA]
    assert bucket["CreationDate"].timestamp() > (folder / "snapshot" / "manifest.json").stat().st_mtime


@pytest.fixture
def empty(saved: Saved, folder: Path, tmp_path: Path) -> Iterator[Deployment]:
    """A new LocalStack with a snapshot of its own to spoil."""
    shutil.copytree(folder / "snapshot", tmp_path / "snapshot")
    started = Deployment.start(tmp_path, 1)
    yield started
    started.server.kill()


def test_an_unusable_snapshot_changes_nothing_until_it_fails_and_then_localstack_is_given_up(empty: Deployment) -> None:
    assert empty.snapshot("restore", key="another")[0] == 404
    shortened = empty.folder / "objects"
    (file,) = [one for one in shortened.rglob("*") if one.is_file()][:1]
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    assert empty.snapshot("restore")[0] == 404
    file.write_bytes(content)
    state = empty.folder / "state"
    state.write_bytes(b"\x80" * state.stat().st_size)
    assert empty.snapshot("restore")[0] == 500
    assert empty.snapshot("restore") == (409, "an earlier restoration broke off")


def test_a_stack_with_a_resource_of_another_service_is_not_saved(empty: Deployment) -> None:
    empty.deploy("1", Topic={"Type": "AWS::SNS::Topic"})
    assert empty.snapshot("save") == (422, "the stack kept has a resource of type AWS::SNS::Topic")
    assert not empty.folder.exists()
