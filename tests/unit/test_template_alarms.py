"""What template.yaml's alarms and dashboard look at is there: metrics of the table, and resources of the template."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from readmission.telemetry import metrics

from tests.unit.templates import RESOURCES, TEMPLATE

# The dimensions of the AWS metrics used here.
AWS = {
    "AWS/ApiGateway": {"ApiName", "Stage"},
    "AWS/Lambda": {"FunctionName"},
    "AWS/SQS": {"QueueName"},
    "AWS/States": {"StateMachineArn"},
}


ALARMS = {
    name: one["Properties"] | {"Condition": one.get("Condition")}
    for name, one in RESOURCES.items()
    if one["Type"] == "AWS::CloudWatch::Alarm"
}
FUNCTIONS = [name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"]
TEXT, VARIABLES = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Sub"]
WIDGETS = json.loads(re.sub(r"\$\{(NoRun|PredictionLogAlarms|GuardAlarm)\}", "", TEXT))["widgets"]
CHARTS = [widget["properties"] for widget in WIDGETS if widget["type"] == "metric"]

type Asked = tuple[str, str, dict[str, Any]]


def _stats(alarm: Any) -> Iterator[tuple[str, Any]]:
    """The statistic and the metric of each part of an alarm."""
    if "Metrics" not in alarm:
        yield alarm.get("Statistic") or alarm["ExtendedStatistic"], alarm
    for query in alarm.get("Metrics", []):
        if "MetricStat" in query:
            yield query["MetricStat"]["Stat"], query["MetricStat"]["Metric"]


def _of_alarm(alarm: Any) -> Iterator[Asked]:
    for _, metric in _stats(alarm):
        yield metric["Namespace"], metric["MetricName"], {one["Name"]: one["Value"] for one in metric["Dimensions"]}


def _of_chart(chart: Any) -> Iterator[Asked]:
    for row in chart["metrics"]:
        parts = [part for part in row if isinstance(part, str)]
        if parts:
            yield parts[0], parts[1], dict(zip(parts[2::2], parts[3::2], strict=True))
            continue
        (options,) = row
        schema, name = re.fullmatch(
            r"SEARCH\('\{(.*)\} MetricName=\"(\w+)\"', '\w+', \d+\)", options["expression"]
        ).groups()  # type: ignore[union-attr]
        namespace, *dimensions = schema.split(",")
        yield namespace, name, dict.fromkeys(dimensions)


ASKED = [
    pytest.param(asked, id=f"{where}-{asked[1]}")
    for where, found in [
        *((name, _of_alarm(alarm)) for name, alarm in ALARMS.items()),
        *((chart["title"], _of_chart(chart)) for chart in CHARTS),
    ]
    for asked in found
]


@pytest.mark.parametrize("asked", ASKED)
def test_a_metric_that_is_looked_at_is_written_with_these_dimensions(asked: Asked) -> None:
    namespace, name, dimensions = asked
    if namespace != metrics.NAMESPACE:
        assert dimensions.keys() == AWS[namespace]
        return
    metric = metrics.BY_NAME[name]
    assert dimensions.keys() == {metrics.SERVICE, *metric.dimensions}
    allowed = {metrics.SERVICE: metric.services, **metric.dimensions}
    assert all(value is None or value in allowed[dimension] for dimension, value in dimensions.items())


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_looks_no_further_back_than_cloudwatch_allows(name: str) -> None:
    """A day; seven with periods of an hour or more."""
    alarm = ALARMS[name]
    periods = alarm["EvaluationPeriods"]
    if isinstance(periods, dict):
        periods = TEMPLATE["Parameters"][periods["Ref"]]["MaxValue"]
    lengths = [alarm["Period"]] if "Period" in alarm else [q["MetricStat"]["Period"] for q in alarm["Metrics"][1:]]
    assert all(length * periods <= (604_800 if length >= 3600 else 86_400) for length in lengths)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_what_to_do_and_tells_the_topic_when_it_begins_and_ends(name: str) -> None:
    alarm = ALARMS[name]
    assert len(alarm["AlarmDescription"]) > 80
    topic = {"If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert (alarm["AlarmActions"], alarm["OKActions"]) == (topic, topic)


@pytest.mark.parametrize("name", ALARMS)
def test_silence_is_alarming_only_where_a_run_is_waited_for(name: str) -> None:
    # What the monitor found holds until it looks again.
    others = {"NoRunAlarm": "breaching", "MonitorAlarm": "ignore"}
    assert ALARMS[name]["TreatMissingData"] == others.get(name, "notBreaching")


@pytest.mark.parametrize("name", [name for name in ALARMS if "Metrics" in ALARMS[name]])
def test_an_expression_is_made_of_the_metrics_beside_it_and_answers_alone(name: str) -> None:
    expression, *queries = ALARMS[name]["Metrics"]
    words = set(re.findall(r"[a-z_]\w*", expression["Expression"]))
    assert words == {query["Id"] for query in queries}
    assert "ReturnData" not in expression and all(query["ReturnData"] is False for query in queries)


def test_a_throttled_function_that_answers_people_is_an_alarm() -> None:
    queries = RESOURCES["ThrottlesAlarm"]["Properties"]["Metrics"]
    counted = {query["MetricStat"]["Metric"]["Dimensions"][0]["Value"]["Ref"] for query in queries[1:]}
    assert counted == {"PredictFunction", "HistoryFunction", "OutcomesFunction", "JobsFunction"}


def test_no_days_are_no_alarm_of_missing_runs() -> None:
    assert ALARMS["NoRunAlarm"]["Condition"] == "WatchesRuns"
    assert TEMPLATE["Conditions"]["WatchesRuns"] == {"Not": [{"Equals": [{"Ref": "NoRunDays"}, 0]}]}


def test_the_dashboard_shows_every_alarm() -> None:
    (panel,) = [widget for widget in WIDGETS if widget["type"] == "alarm"]
    shown = {re.fullmatch(r"\$\{(\w+)\.Arn\}", alarm)[1] for alarm in panel["properties"]["alarms"]}  # type: ignore[index]
    # Those that may not exist are named by variables.
    for condition, text, otherwise in (one["If"] for one in VARIABLES.values()):
        named = set(re.findall(r"\$\{(\w+)\.Arn\}", text["Sub"]))
        assert {ALARMS[name]["Condition"] for name in named} == {condition} and otherwise == ""
        shown |= named
    assert shown == ALARMS.keys()


def test_the_dashboards_charts_do_not_overlap() -> None:
    taken = [
        (x, y)
        for widget in WIDGETS
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < 24


def test_the_dashboard_names_resources_of_the_template() -> None:
    named = {name.split(".")[0] for name in re.findall(r"\$\{([\w.:]+)\}", TEXT)} - VARIABLES.keys()
    assert {name for name in named if not name.startswith("AWS::")} <= RESOURCES.keys()


@pytest.mark.parametrize("title", ["Lambda: throttles", "Lambda: errors", "Lambda: longest"])
def test_the_dashboard_shows_every_function(title: str) -> None:
    (chart,) = [chart for chart in CHARTS if chart["title"] == title]
    # A function that may not exist cannot be referred to; its name is known all the same.
    shown = {
        RESOURCES[name]["Properties"]["FunctionName"]["Sub"] if "Condition" in RESOURCES[name] else f"${{{name}}}"
        for name in FUNCTIONS
    }
    assert {dimensions["FunctionName"] for _, _, dimensions in _of_chart(chart)} == shown


def test_functions_api_and_state_machine_are_traced() -> None:
    assert TEMPLATE["Globals"]["Function"]["Tracing"] == "Active"
    assert TEMPLATE["Globals"]["Api"]["TracingEnabled"] is True
    assert all("Tracing" not in RESOURCES[name]["Properties"] for name in FUNCTIONS)
    assert RESOURCES["Pipeline"]["Properties"]["Tracing"] == {"Enabled": True}
