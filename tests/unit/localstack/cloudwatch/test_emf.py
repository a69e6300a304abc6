"""Embedded Metric Format lines become items for PutMetricData."""

import pytest
from localstack_plugin.cloudwatch.emf import MalformedEmf, metrics_of

from tests.unit.localstack.cloudwatch.emf_lines import TIME, directive, emf


def test_a_number_becomes_a_value_with_unit_resolution_and_time():
    line = emf(directive({"Name": "Latency", "Unit": "Milliseconds", "StorageResolution": 1}), Latency=12)

    assert metrics_of(line) == [
        (
            "Space",
            {
                "MetricName": "Latency",
                "Unit": "Milliseconds",
                "StorageResolution": 1,
                "Value": 12.0,
                "Dimensions": [],
                "Timestamp": TIME,
            },
        )
    ]


def test_unit_and_resolution_default_to_those_of_cloudwatch():
    [(_, datum)] = metrics_of(emf(directive({"Name": "Rows"}), Rows=1.5))

    assert (datum["Unit"], datum["StorageResolution"], datum["Value"]) == ("None", 60, 1.5)


def test_each_metric_is_published_for_each_dimension_set():
    line = emf(
        directive({"Name": "A"}, {"Name": "B"}, dimensions=[["Service"], ["Service", "Stage"], []]),
        A=1,
        B=2,
        Service="forecast",
        Stage="test",
    )

    service, stage = {"Name": "Service", "Value": "forecast"}, {"Name": "Stage", "Value": "test"}
    assert [(datum["MetricName"], datum["Dimensions"]) for _, datum in metrics_of(line)] == [
        ("A", [service]),
        ("A", [service, stage]),
        ("A", []),
        ("B", [service]),
        ("B", [service, stage]),
        ("B", []),
    ]


@pytest.mark.parametrize("dimensions", [[], None])
def test_a_directive_without_dimension_sets_gives_one_metric_without_dimensions(dimensions):
    [(_, datum)] = metrics_of(emf(directive({"Name": "A"}, dimensions=dimensions), A=1))

    assert datum["Dimensions"] == []


def test_an_array_becomes_distinct_values_with_counts():
    [(_, datum)] = metrics_of(emf(directive({"Name": "A"}), A=[3, 1, 3, 3]))

    assert (datum["Values"], datum["Counts"]) == ([3.0, 1.0], [3.0, 1.0])
    assert "Value" not in datum


def test_each_directive_has_its_own_namespace():
    line = emf(directive({"Name": "A"}, namespace="One"), directive({"Name": "A"}, namespace="Two"), A=1)

    assert [namespace for namespace, _ in metrics_of(line)] == ["One", "Two"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "plain text",
        '{"message": "JSON"}',
        'a text about "_aws" and "CloudWatchMetrics"',
        emf(),
    ],
)
def test_a_line_without_metrics_gives_an_empty_list(line):
    assert metrics_of(line) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"_aws": {"CloudWatchMetrics": [', "Expecting value"),
        (emf(directive({"Name": "A"})), "'A' is missing"),
        (emf(directive({"Name": "A"}, dimensions=[["D"]]), A=1), "'D' is missing"),
        (emf(directive({"Name": "A"}, dimensions=[["D"]]), A=1, D=2), "dimension 'D' is not a string"),
        (emf(directive({"Name": "A"}), A="1"), "metric 'A' is not numeric"),
        (emf(directive({"Name": "A"}), A=True), "metric 'A' is not numeric"),
        (emf(directive({"Name": "A"}), A=[1, None]), "metric 'A' is not numeric"),
        (emf(directive({"Name": "A"}), A=float("nan")), "NaN is not JSON"),
        (emf(directive({"Name": "A"}), A=[]), "metric 'A' has 0 values"),
        (emf(directive({"Name": "A"}), A=[1] * 101), "metric 'A' has 101 values"),
        (emf(directive({"Name": "A"}, dimensions=[["D"] * 31]), A=1, D="d"), "31 dimensions"),
        (emf({"Metrics": [{"Name": "A"}]}, A=1), "'Namespace' is missing"),
        (emf(directive({"Unit": "Count"}), A=1), "'Name' is missing"),
        (emf("no object", A=1), "attribute"),
        ('{"_aws": {"Timestamp": "now", "CloudWatchMetrics": []}}', "unsupported operand"),
        ('{"_aws": {"Timestamp": 1e300, "CloudWatchMetrics": []}}', "out of range"),
        ('{"_aws": 1, "CloudWatchMetrics": []}', "not subscriptable"),
    ],
)
def test_a_malformed_line_raises_the_reason(line, reason):
    with pytest.raises(MalformedEmf, match=reason):
        metrics_of(line)
