"""The publisher puts metrics into CloudWatch in the background."""

from datetime import timedelta
from threading import Event
from typing import Any

from localstack_plugin.cloudwatch.publisher import MAX_DATA, MetricsPublisher

from tests.unit.localstack.cloudwatch.emf_lines import TIME, directive, emf


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


def test_the_publisher_combines_items_of_the_same_metric_and_minute_and_keeps_each_value():
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


def test_values_beyond_the_limit_of_an_item_go_into_further_items():
    published: list[dict[str, Any]] = []
    publisher = MetricsPublisher(lambda account, region, namespace, data: published.extend(data))

    publisher.submit("1", "eu", "\n".join(emf(directive({"Name": "A"}), A=value) for value in range(250)))
    publisher.close()

    assert [len(item["Values"]) for item in published] == [100, 100, 50]
    assert sorted(value for item in published for value in item["Values"]) == list(range(250))


def test_the_publisher_logs_malformed_lines_and_failed_puts_and_continues(caplog):
    published = []

    def publish(account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
        if namespace == "Bad":
            raise ConnectionError("CloudWatch is down")
        published.append(namespace)

    publisher = MetricsPublisher(publish)
    lines = [emf(directive({"Name": "A"})), emf(directive({"Name": "A"}, namespace="Bad"), A=1)]

    publisher.submit("1", "eu", "\n".join([*lines, emf(directive({"Name": "A"}), A=1)]))
    publisher.close()

    assert published == ["Space"]
    assert "malformed embedded metrics: 'A' is missing" in caplog.text
    assert "Cannot put 1 metric items into namespace Bad" in caplog.text


def test_the_publisher_counts_what_it_drops_when_its_queue_is_full(caplog):
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

    assert "Dropped the metrics of 3 requests or invocations" in caplog.text
