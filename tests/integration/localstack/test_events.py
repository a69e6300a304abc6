"""The rules of the template start executions in the emulator, whose events *plan* reads."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from readmission.domain.payloads import PipelineRequest, parse_request

from infra.local.servers import mirror
from tests.integration.localstack.server import REGION, ROLE, Server, wait_for
from tests.transformed import deployed

BUCKET = "data-of-events"
_OFTEN = {"Delay": 0.2, "MaxAttempts": 600}
MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


def template(*, on: bool) -> str:
    """The data bucket and the rules of the application's template, with a state machine that does nothing."""
    switch = "on" if on else "off"
    every = "rate(1 minute)" if on else ""
    stack = deployed(PipelineSchedule=every, IncomingObjects=switch, RetrainOnAlert=switch)
    resources = {name: one for name, one in stack.items() if one["Type"] == "AWS::Events::Rule"}
    text = json.dumps(resources, ensure_ascii=False)
    for known, here in {
        '"arn:aws:…:TriggerRole"': json.dumps(ROLE),
        '["DataBucket"]': json.dumps([BUCKET]),
        '"Arn": "Pipeline"': '"Arn": {"Ref": "Pipeline"}',
    }.items():
        text = text.replace(known, here)
    resources = json.loads(text)
    bucket = stack["DataBucket"] | {"Properties": {**stack["DataBucket"]["Properties"], "BucketName": BUCKET}}
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"StateMachineName": "of-events", "DefinitionString": json.dumps(MACHINE), "RoleArn": ROLE},
    }
    return json.dumps({"Resources": {"DataBucket": bucket, "Pipeline": machine, **resources}})


class Stack:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.arn = f"arn:aws:states:{REGION}:000000000000:stateMachine:of-events"

    def deploy(self, *, on: bool) -> None:
        cloudformation = self.server.client("cloudformation")
        known = [one["StackName"] for one in cloudformation.describe_stacks()["Stacks"]]
        act = "update" if "events" in known else "create"
        getattr(cloudformation, f"{act}_stack")(StackName="events", TemplateBody=template(on=on))
        cloudformation.get_waiter(f"stack_{act}_complete").wait(StackName="events", WaiterConfig=_OFTEN)

    def requests(self, started_by: str) -> list[PipelineRequest]:
        """What started executions ask for, of this starter, newest first."""
        states = self.server.client("stepfunctions")
        found = states.list_executions(stateMachineArn=self.arn)["executions"]
        inputs = [json.loads(states.describe_execution(executionArn=one["executionArn"])["input"]) for one in found]
        return [one for one in map(parse_request, inputs) if one.started_by == started_by]

    def put(self, key: str, content: bytes = b"x") -> None:
        self.server.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def alert(self, stack: str) -> None:
        detail = {"stack": stack, "code": "input_drift", "version": "3", "value": 0.5, "limit": 0.2}
        entry = {"Source": "readmission", "DetailType": "MonitorAlert", "Detail": json.dumps(detail)}
        assert self.server.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0


@pytest.fixture(scope="module")
def stack(server: Server) -> Iterator[Stack]:
    """First deployed without triggers, as a stack of an earlier release is."""
    found = Stack(server)
    found.deploy(on=False)
    found.deploy(on=True)
    yield found
    s3 = server.client("s3")
    for one in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        s3.delete_object(Bucket=BUCKET, Key=one["Key"])
    server.client("cloudformation").delete_stack(StackName="events")
    server.client("cloudformation").get_waiter("stack_delete_complete").wait(StackName="events", WaiterConfig=_OFTEN)


def test_a_new_object_below_incoming_starts_one_execution_of_it(stack: Stack) -> None:
    stack.put("incoming/", b"")
    stack.put("sources/other.csv")
    stack.put("incoming/north/day 1.csv")
    (found,) = wait_for(lambda: stack.requests("new object"), "an execution of the new object")
    assert (found.source, found.site) == (f"s3://{BUCKET}/incoming/north/day 1.csv", "north")
    assert found.event


def test_an_object_that_the_mirror_restores_starts_nothing(stack: Stack, server: Server) -> None:
    def restores(params: dict[str, Any], **_: Any) -> None:
        params["headers"].update(mirror.HEADERS)

    s3 = server.client("s3")
    s3.meta.events.register("before-call.s3", restores)
    s3.put_object(Bucket=BUCKET, Key="incoming/north/restored.csv", Body=b"x")
    s3.meta.events.unregister("before-call.s3", restores)
    stack.put("incoming/north/day 2.csv")  # its event is sent later
    wait_for(lambda: [one for one in stack.requests("new object") if "day 2" in one.source], "the one that is new")
    assert not [one for one in stack.requests("new object") if "restored" in one.source]


def test_an_alert_of_the_own_stack_starts_a_training(stack: Stack) -> None:
    stack.alert("another")
    stack.alert("readmission")
    (found,) = wait_for(lambda: stack.requests("drift"), "an execution of the alert")
    assert (found.start_at, found.reason) == ("train", "input_drift of version 3: 0.5, beyond the limit of 0.2")


def test_the_schedule_starts_an_execution(stack: Stack) -> None:
    found = wait_for(lambda: stack.requests("schedule"), "an execution of the schedule", seconds=150)[0]
    assert found.event and "readmission-schedule" in (found.reason or "")


def test_without_the_parameters_nothing_is_started_any_more(stack: Stack, server: Server) -> None:
    stack.deploy(on=False)
    before = len(stack.requests("new object"))
    assert server.client("events").list_rules(NamePrefix="readmission-")["Rules"] == []
    assert "EventBridgeConfiguration" not in server.client("s3").get_bucket_notification_configuration(Bucket=BUCKET)
    stack.put("incoming/after.csv")
    assert len(stack.requests("new object")) == before
