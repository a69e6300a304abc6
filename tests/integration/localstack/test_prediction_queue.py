"""The queue of the prediction log as the template makes it: what it hands to *record*, and what becomes of the rest."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.localstack.server import ROLE, Server, wait_for, zip_of
from tests.transformed import transformed

BUCKET = "code-of-record"
STACK = "readmission"
KEPT = (
    "PredictionQueue",
    "PredictionDeadLetters",
    "RecordFunction",
    "RecordFunctionPredictions",
    "RecordFunctionNightly",
    "RecordFunctionNightlyPermission",
)
# Says what it got, and takes everything but what is bad.
SOURCE = """
import json
def handler(event, context):
    if "Records" not in event:
        return event
    print("GOT " + json.dumps([json.loads(one["body"])["name"] for one in event["Records"]]))
    bad = [one["messageId"] for one in event["Records"] if json.loads(one["body"])["name"] == "bad"]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in bad]}
"""
_OFTEN = {"Delay": 0.2, "MaxAttempts": 600}


def _template(key: str) -> str:
    """The resources of the log, quick to give up, with a function that needs no layer."""
    template = transformed(PredictionLog="on")
    resources = {name: template["Resources"][name] for name in KEPT}
    resources["PredictionQueue"]["Properties"]["VisibilityTimeout"] = 3
    resources["PredictionQueue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"] = 2
    function = resources["RecordFunction"]["Properties"]
    resources["RecordFunction"]["Properties"] = {
        **{name: function[name] for name in ("FunctionName", "Handler", "Runtime", "MemorySize")},
        # As long as a message is hidden.
        "Timeout": 3,
        "Role": ROLE,
        "Code": {"S3Bucket": BUCKET, "S3Key": key},
    }
    return json.dumps({name: template[name] for name in ("Parameters", "Conditions")} | {"Resources": resources})


@pytest.fixture
def deploy(server: Server) -> Iterator[Any]:
    """`deploy(key)` deploys the stack with the code of this name."""
    s3, cloudformation = server.client("s3"), server.client("cloudformation")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    given = {"PredictionLog": "on", "MlflowTrackingUri": "http://mlflow.example"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]
    keys: list[str] = []

    def deploy(key: str) -> None:
        s3.put_object(Bucket=BUCKET, Key=key, Body=zip_of({"app.py": f"# {key}\n{SOURCE}"}))
        act, wait = ("update_stack", "update") if keys else ("create_stack", "create")
        keys.append(key)
        getattr(cloudformation, act)(StackName=STACK, TemplateBody=_template(key), Parameters=parameters)
        cloudformation.get_waiter(f"stack_{wait}_complete").wait(StackName=STACK, WaiterConfig=_OFTEN)

    yield deploy
    cloudformation.delete_stack(StackName=STACK)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig=_OFTEN)
    for key in keys:
        s3.delete_object(Bucket=BUCKET, Key=key)
    s3.delete_bucket(Bucket=BUCKET)
    assert not server.client("sqs").list_queues().get("QueueUrls")


def _bodies(sqs: Any, url: str) -> list[str]:
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
    return [json.loads(one["Body"])["name"] for one in found]


def test_record_gets_the_messages_and_what_it_does_not_take_goes_to_the_dead_letters_alone_and_back(
    server: Server, deploy: Any
) -> None:
    deploy("one")
    sqs = server.client("sqs")
    queue, dead_letters = (
        sqs.get_queue_url(QueueName=f"{STACK}-predictions{end}")["QueueUrl"] for end in ("", "-dead-letters")
    )
    for name in ("good", "bad", "better"):
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps({"name": name}))
    wait_for(lambda: _bodies(sqs, dead_letters), "a dead letter")
    assert _bodies(sqs, dead_letters) == ["bad"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    assert left == dict.fromkeys(names, "0")

    # A stack that is deployed again goes on with its queue.
    deploy("two")
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.start_message_move_task(SourceArn=arn)
    wait_for(lambda: not _bodies(sqs, dead_letters), "the dead letter to be sent again")
    wait_for(lambda: _bodies(sqs, dead_letters), "the dead letter to be dead again")


def test_the_schedule_tells_record_to_delete_old_forecasts(server: Server, deploy: Any) -> None:
    deploy("one")
    events = server.client("events")
    (rule,) = [one for one in events.list_rules()["Rules"] if one["Name"].startswith(STACK)]
    (target,) = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert json.loads(target["Input"]) == {"delete_old": {}}
    answer = server.client("lambda").invoke(FunctionName=target["Arn"], Payload=target["Input"])
    assert json.load(answer["Payload"]) == {"delete_old": {}}
