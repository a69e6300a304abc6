"""What starts executions besides people exists only if a parameter asks for it, and may do nothing else."""

import re
from typing import Any

import pytest

from tests.transformed import deployed
from tests.unit.templates import TEMPLATE

ON: dict[str, dict[str, object]] = {
    "ScheduleRule": {"PipelineSchedule": "rate(7 days)"},
    "IncomingRule": {"IncomingObjects": "on"},
    "AlertRule": {"RetrainOnAlert": "on"},
}


def rules(stack: dict[str, Any]) -> set[str]:
    return {name for name, one in stack.items() if one["Type"] == "AWS::Events::Rule"}


def test_by_default_nothing_but_a_person_starts_the_pipeline() -> None:
    stack = deployed()
    assert rules(stack) == set() and "TriggerRole" not in stack
    assert "NotificationConfiguration" not in stack["DataBucket"]["Properties"]


@pytest.mark.parametrize("rule", ON)
def test_each_trigger_is_a_rule_of_its_own_that_starts_the_pipeline(rule: str) -> None:
    stack = deployed(**ON[rule])
    assert rules(stack) == {rule}
    (target,) = stack[rule]["Properties"]["Targets"]
    # Without a transformer: *plan* reads the event.
    assert target == {"Id": "pipeline", "Arn": "Pipeline", "RoleArn": "arn:aws:…:TriggerRole"}


def test_the_role_of_the_rules_may_start_this_pipeline_and_nothing_else() -> None:
    role = deployed(**ON["ScheduleRule"])["TriggerRole"]["Properties"]
    (policy,) = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": "Pipeline"}
    ]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_the_bucket_tells_eventbridge_of_its_objects_only_if_they_start_runs() -> None:
    bucket = deployed(**ON["IncomingRule"])["DataBucket"]["Properties"]
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}


def test_only_files_below_incoming_of_the_own_bucket_and_alerts_of_the_own_stack_start_runs() -> None:
    incoming = deployed(**ON["IncomingRule"])["IncomingRule"]["Properties"]["EventPattern"]["detail"]
    assert incoming["bucket"] == {"name": ["DataBucket"]}
    assert incoming["object"] == {"key": [{"prefix": "incoming/"}], "size": [{"numeric": [">", 0]}]}
    alert = deployed(**ON["AlertRule"])["AlertRule"]["Properties"]["EventPattern"]
    assert alert == {"source": ["readmission"], "detail-type": ["MonitorAlert"], "detail": {"stack": ["readmission"]}}


@pytest.mark.parametrize("schedule", ["", "rate(7 days)", "cron(0 3 ? * SUN *)"])
def test_a_schedule_is_one_of_eventbridge_or_empty(schedule: str) -> None:
    assert re.fullmatch(TEMPLATE["Parameters"]["PipelineSchedule"]["AllowedPattern"], schedule)


@pytest.mark.parametrize("schedule", ["daily", "0 3 * * *", "rate()"])
def test_another_schedule_is_refused(schedule: str) -> None:
    assert not re.fullmatch(TEMPLATE["Parameters"]["PipelineSchedule"]["AllowedPattern"], schedule)


def test_the_pause_between_two_trainings_reaches_plan() -> None:
    plan = deployed(RetrainPauseHours=6)["PlanFunction"]["Properties"]["Environment"]["Variables"]
    assert plan["RETRAIN_PAUSE_HOURS"] == 6


def test_promote_compares_trainings_by_the_settings_of_train() -> None:
    names = ("TRAINING", "TRAINING_JOB_ROWS", "TRAINING_INSTANCES", "MAX_TRAINING_ROWS", "MODEL_NAME")
    stack = deployed(TrainingInstanceCount=3)
    train, promote = (
        stack[f"{name}Function"]["Properties"]["Environment"]["Variables"] for name in ("Train", "Promote")
    )
    assert {name: promote[name] for name in names} == {name: train[name] for name in names}
