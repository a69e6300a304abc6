"""Embedded Metric Format lines become data for PutMetricData."""

import json
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from process_executor.emf import Lines, MalformedEmf, metrics_of
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
    names = [f"A{number}" for number in range(1500)]
    many = emf(directive(*({"Name": name} for name in names)), **dict.fromkeys(names, 1))

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


def test_the_publisher_combines_what_is_of_one_metric_and_minute_and_keeps_each_value():
    published: list[dict[str, Any]] = []
    entered, go_on = Event(), Event()

    def publish(account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
        entered.set()
        go_on.wait()
        published.extend(data)

    publisher = MetricsPublisher(publish)
    publisher.submit("1", "eu", emf(directive({"Name": "First"}), First=1))
    entered.wait()
    for value in (1, 1, [0.1, 1]):
        publisher.submit("1", "eu", emf(directive({"Name": "A"}, dimensions=[["D"]]), A=value, D="d"))
    publisher.submit("1", "eu", emf(directive({"Name": "A"}, dimensions=[["D"]]), A=1, D="other"))
    for at in (TIME, TIME + timedelta(minutes=1)):
        item = {"MetricName": "B", "Dimensions": [], "Timestamp": at, "Value": 2.0, "Unit": "Count"}
        publisher.put("1", "eu", "Space", [item, item])
    go_on.set()
    publisher.close()

    minute = TIME.replace(second=0, microsecond=0)
    assert [(item["MetricName"], item["Timestamp"], item["Values"], item["Counts"]) for item in published[1:]] == [
        ("A", minute, [1, 0.1], [3, 1]),
        ("A", minute, [1], [1]),
        ("B", minute, [2], [2]),
        ("B", minute + timedelta(minutes=1), [2], [2]),
    ]


def test_more_distinct_values_than_an_item_may_have_are_several_items():
    published: list[dict[str, Any]] = []
    publisher = MetricsPublisher(lambda account, region, namespace, data: published.extend(data))

    publisher.submit("1", "eu", "\n".join(emf(directive({"Name": "A"}), A=value) for value in range(250)))
    publisher.close()

    assert [len(item["Values"]) for item in published] == [100, 100, 50]
    assert sorted(value for item in published for value in item["Values"]) == list(range(250))


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        (['{"a":', " 1}\n"], ["", '{"a": 1}\n']),
        (['x\n{"a": ', "1", '}\n{"b"', ": 2}"], ["x", "", '{"a": 1}', '\n{"b": 2}']),
        (['{"a": 1}', '{"b": 2}'], ['\n{"a": 1}', '\n{"b": 2}']),
        (["no line end", '{"a": 1}\n'], ["\nno line end", '{"a": 1}\n']),
        (["{no object", '{"a": 1}\n'], ["", '{no object\n{"a": 1}\n']),
        (["", "\n", ""], ["\n", "\n", "\n"]),
    ],
)
def test_lines_that_come_in_pieces_are_told_once_and_whole(pieces, told):
    lines = Lines()

    assert [lines.add(piece) for piece in pieces] == told
    assert lines.end() == ""


def test_what_was_begun_is_told_at_the_end_and_only_then():
    lines = Lines()

    assert lines.add('{"a": ') == ""
    assert (lines.end(), lines.end()) == ('{"a": ', "")


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

    assert "The metrics of 3 requests or invocations are lost" in caplog.text
