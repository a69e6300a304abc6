"""Embedded Metric Format lines become data for PutMetricData."""

import json
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from process_executor.emf import MalformedEmf, metrics_of
from process_executor.metrics import MAX_DATA, MetricsPublisher

TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)


def emf(*directives: dict[str, Any], **members: Any) -> str:
    metadata = {"Timestamp": int(TIME.timestamp() * 1000), "CloudWatchMetrics": list(directives)}
    return json.dumps({"_aws": metadata, **members})


def directive(*metrics: dict[str, Any], namespace: str = "Space", dimensions: Any = ((),)) -> dict[str, Any]:
    return {"Namespace": namespace, "Dimensions": dimensions, "Metrics": list(metrics)}


def test_a_number_is_a_value_with_unit_resolution_and_time():
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


def test_unit_and_resolution_have_the_defaults_of_cloudwatch():
    [(_, datum)] = metrics_of(emf(directive({"Name": "Rows"}), Rows=1.5))

    assert (datum["Unit"], datum["StorageResolution"], datum["Value"]) == ("None", 60, 1.5)


def test_each_dimension_set_of_each_metric_is_a_metric():
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
def test_no_dimension_set_is_one_metric_without_dimensions(dimensions):
    [(_, datum)] = metrics_of(emf(directive({"Name": "A"}, dimensions=dimensions), A=1))

    assert datum["Dimensions"] == []


def test_an_array_is_distinct_values_with_counts():
    [(_, datum)] = metrics_of(emf(directive({"Name": "A"}), A=[3, 1, 3, 3]))

    assert (datum["Values"], datum["Counts"]) == ([3.0, 1.0], [3.0, 1.0])
    assert "Value" not in datum


def test_directives_have_namespaces_of_their_own():
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
def test_a_line_without_metrics_gives_none(line):
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


def test_the_publisher_groups_by_account_region_and_namespace_and_splits_at_the_limit():
    calls: list[tuple[str, str, str, int]] = []
    publisher = MetricsPublisher(lambda account, region, space, data: calls.append((account, region, space, len(data))))
    many = emf(*[directive({"Name": "A"}, dimensions=[[]] * 100)] * 15, A=1)

    publisher.submit("1", "eu", f"START\n{many}\n{emf(directive({'Name': 'A'}, namespace='Other'), A=1)}\nEND\n")
    publisher.submit("2", "us", emf(directive({"Name": "A"}), A=1))
    publisher.close()

    assert sorted(calls) == sorted(
        [
            ("1", "eu", "Space", MAX_DATA),
            ("1", "eu", "Space", 500),
            ("1", "eu", "Other", 1),
            ("2", "us", "Space", 1),
        ]
    )


def test_the_publisher_logs_what_is_malformed_and_what_fails_and_goes_on(caplog):
    published = []

    def publish(account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
        if namespace == "Bad":
            raise ConnectionError("no CloudWatch")
        published.append(namespace)

    publisher = MetricsPublisher(publish)
    lines = [emf(directive({"Name": "A"})), emf(directive({"Name": "A"}, namespace="Bad"), A=1)]

    publisher.submit("1", "eu", "\n".join([*lines, emf(directive({"Name": "A"}), A=1)]))
    publisher.close()

    assert published == ["Space"]
    assert "malformed embedded metrics: 'A' is missing" in caplog.text
    assert "Cannot put 1 items of metrics to namespace Bad" in caplog.text


def test_the_publisher_counts_what_finds_its_queue_full(caplog):
    entered, go_on = Event(), Event()

    def publish(*_: Any) -> None:
        entered.set()
        go_on.wait()

    publisher = MetricsPublisher(publish, max_queued=1)
    line = emf(directive({"Name": "A"}), A=1)
    publisher.submit("1", "eu", line)
    entered.wait()

    for _ in range(4):
        publisher.submit("1", "eu", line)
    go_on.set()
    publisher.close()

    assert "the logs of 3 invocations are lost" in caplog.text
