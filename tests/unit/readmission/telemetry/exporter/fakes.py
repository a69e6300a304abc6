"""CloudWatch in memory, with the semantics that the exporter relies on: days, two weeks, three hours, pages."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from readmission.telemetry.exporter.catalog import Stack
from readmission.telemetry.exporter.cloudwatch import CloudWatch, Metric
from readmission.telemetry.exporter.collector import CloudWatchCollector, registry

ARN = "arn:aws:states:eu-central-1:000000000000:stateMachine:readmission-pipeline"
STACK = Stack("readmission", ARN)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class FakeClient:
    """Tests move `now`. `calls` are the operations with their arguments; `page` is the size of a page."""

    now: datetime = NOON
    page: int = 500
    failing: str = ""
    status: str = "Complete"
    data: list[tuple[Metric, datetime, float]] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def put(self, namespace: str, name: str, value: float, at: datetime | None = None, **dimensions: str) -> None:
        metric = Metric(namespace, name, tuple(sorted(dimensions.items())))
        self.data.append((metric, at or self.now, value))

    def own(self, name: str, value: float, at: datetime | None = None, **dimensions: str) -> None:
        self.put("Readmission", name, value, at, **dimensions)

    def list_metrics(self, **arguments: Any) -> dict[str, Any]:
        self._called("list_metrics", arguments)
        since = self.now - (timedelta(hours=3) if "RecentlyActive" in arguments else timedelta(days=14))
        wanted = {one["Name"]: one.get("Value") for one in arguments["Dimensions"]}
        listed = sorted(
            {
                metric
                for metric, at, _ in self.data
                if metric.namespace == arguments["Namespace"] and at >= since and _has(dict(metric.dimensions), wanted)
            }
        )
        start = int(arguments.get("NextToken", 0))
        page = [
            {
                "Namespace": metric.namespace,
                "MetricName": metric.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in metric.dimensions],
            }
            for metric in listed[start : start + self.page]
        ]
        more = {"NextToken": str(start + self.page)} if start + self.page < len(listed) else {}
        return {"Metrics": page, **more}

    def get_metric_data(self, **arguments: Any) -> dict[str, Any]:
        self._called("get_metric_data", arguments)
        assert len(arguments["MetricDataQueries"]) <= 500
        points = [
            (query["Id"], moment, value)
            for query in arguments["MetricDataQueries"]
            for moment, value in self._days(query["MetricStat"], arguments["StartTime"], arguments["EndTime"])
        ]
        start = int(arguments.get("NextToken", 0))
        part, done = points[start : start + self.page], start + self.page >= len(points)
        results = [
            {
                "Id": query["Id"],
                "StatusCode": self.status if done else "PartialData",
                "Timestamps": [moment for name, moment, _ in part if name == query["Id"]],
                "Values": [value for name, _, value in part if name == query["Id"]],
            }
            for query in arguments["MetricDataQueries"]
        ]
        return {"MetricDataResults": results, **({} if done else {"NextToken": str(start + self.page)})}

    def asked(self) -> list[dict[str, Any]]:
        return [arguments for operation, arguments in self.calls if operation == "get_metric_data"]

    def _called(self, operation: str, arguments: dict[str, Any]) -> None:
        self.calls.append((operation, arguments))
        if self.failing:
            raise ClientError({"Error": {"Code": self.failing, "Message": "no"}}, operation)

    def _days(self, query: dict[str, Any], start: datetime, end: datetime) -> Iterable[tuple[datetime, float]]:
        assert query["Period"] == 86_400
        one = query["Metric"]
        dimensions = tuple(sorted((each["Name"], each["Value"]) for each in one["Dimensions"]))
        metric = Metric(one["Namespace"], one["MetricName"], dimensions)
        days: dict[datetime, list[float]] = {}
        for which, at, value in self.data:
            if which == metric and start <= at < end:
                days.setdefault(at.replace(hour=0, minute=0, second=0, microsecond=0), []).append(value)
        statistic = {"Sum": sum, "SampleCount": len, "Maximum": max}[query["Stat"]]
        return [(day, float(statistic(values))) for day, values in sorted(days.items())]


def _has(dimensions: dict[str, str], wanted: dict[str, str | None]) -> bool:
    return all(name in dimensions and value in (None, dimensions[name]) for name, value in wanted.items())


@dataclass
class Exporter:
    """A collector on the fake. `clock` is its monotonic clock, which advances a little with every reading."""

    client: FakeClient
    collector: CloudWatchCollector
    clock: list[float]

    def text(self) -> str:
        return generate_latest(registry(self.collector)).decode()

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The samples that Prometheus would read; fails on duplicates."""
        found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                assert sample.timestamp is None
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in found
                found[key] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))


def exporter(client: FakeClient, cache_seconds: float = 0, stack: Stack = STACK) -> Exporter:
    clock = [0.0]

    def tick() -> float:
        clock[0] += 0.001
        return clock[0]

    collector = CloudWatchCollector(
        CloudWatch(client), stack, cache_seconds, logging.getLogger("exporter"), lambda: client.now, tick
    )
    return Exporter(client, collector, clock)
