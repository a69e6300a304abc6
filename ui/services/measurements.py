"""The deployed application's metrics over time, from Prometheus or CloudWatch.

Both sources return the same points: the increase of a counter in each time step.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Final, Protocol

from readmission.telemetry import metrics

_QUERIES_PER_REQUEST: Final = 500
_TIMEOUT_SECONDS: Final = 10
_API: Final = "predict"


class MeasurementsUnavailable(Exception):
    """Prometheus does not respond, or the answer is not a Prometheus result."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time range in steps. Both ends are multiples of the step, as CloudWatch aligns its periods."""

    start: datetime
    end: datetime
    step: timedelta

    @classmethod
    def last(cls, span: timedelta, step: timedelta, now: datetime) -> "Window":
        end = datetime.fromtimestamp((now.timestamp() // step.total_seconds() + 1) * step.total_seconds(), UTC)
        return cls(end - span, end, step)


@dataclass(frozen=True, slots=True)
class Point:
    """The count of one label value in the step that starts at `time`."""

    time: datetime
    label: str
    value: float


class Source(Protocol):
    def increase(self, name: str, by: str | None, where: Mapping[str, str], window: Window) -> list[Point]:
        """A counter's increase in each step, by the values of the dimension `by`, or in total."""
        ...


@dataclass(frozen=True, slots=True)
class Measurements:
    """Everything that the page shows."""

    requests: list[Point]
    latency: list[Point]
    predictions: list[Point]
    versions: list[Point]
    validation_errors: list[Point]
    rows: list[Point]

    @property
    def empty(self) -> bool:
        return not (self.requests or self.predictions or self.rows)


def measure(source: Source, window: Window) -> Measurements:
    """Query the source. Raises MeasurementsUnavailable, or botocore's errors."""
    api = {metrics.SERVICE: _API}
    buckets = source.increase(f"{metrics.REQUEST_DURATION}Bucket", metrics.LE, api, window)
    rows = [
        Point(point.time, name, point.value)
        for name in (metrics.ROWS_CLEANED, metrics.ROWS_QUARANTINED)
        for point in source.increase(name, None, {}, window)
    ]
    return Measurements(
        requests=source.increase(metrics.REQUESTS, "status", api, window),
        latency=latencies(buckets),
        predictions=source.increase(metrics.PREDICTIONS, "readmitted", api, window),
        versions=source.increase(metrics.PREDICTIONS, "model_version", api, window),
        validation_errors=source.increase(metrics.VALIDATION_ERRORS, "route", api, window),
        rows=rows,
    )


def total(points: Iterable[Point]) -> float:
    return sum(point.value for point in points)


def latencies(buckets: Iterable[Point]) -> list[Point]:
    """The 50th and 95th percentile in seconds of observations counted by bucket (upper bound `le`)."""
    by_time: defaultdict[datetime, dict[float, float]] = defaultdict(dict)
    for point in buckets:
        by_time[point.time][float(point.label)] = point.value
    return [
        Point(time, f"p{share}", quantile(share / 100, counts))
        for time, counts in sorted(by_time.items())
        if sum(counts.values()) > 0
        for share in (50, 95)
    ]


def quantile(share: float, counts: Mapping[float, float]) -> float:
    """A quantile, interpolated within its bucket as Prometheus does; `counts` are per bucket, by upper bound.

    In the bucket without an upper bound it is the lower bound.
    """
    target = share * sum(counts.values())
    below, bound = 0.0, 0.0
    for upper in sorted({*counts, *metrics.REQUEST_BUCKETS}):
        inside = counts.get(upper, 0.0)
        if inside and below + inside >= target:
            return bound if upper == float("inf") else bound + (upper - bound) * (target - below) / inside
        below, bound = below + inside, upper
    return bound


class CloudWatch:
    """The functions' metrics by GetMetricData. Raises botocore's errors."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def increase(self, name: str, by: str | None, where: Mapping[str, str], window: Window) -> list[Point]:
        found = [
            dimensions
            for page in self._client.get_paginator("list_metrics").paginate(
                Namespace=metrics.NAMESPACE,
                MetricName=name,
                Dimensions=[{"Name": key, "Value": value} for key, value in where.items()],
            )
            for one in page["Metrics"]
            if (dimensions := {dimension["Name"]: dimension["Value"] for dimension in one["Dimensions"]})
            and (by is None or by in dimensions)
        ]
        sums: defaultdict[tuple[datetime, str], float] = defaultdict(float)
        for some in batched(found, _QUERIES_PER_REQUEST, strict=False):
            self._add(sums, name, by, some, window)
        return [Point(time, label, value) for (time, label), value in sorted(sums.items())]

    def _add(
        self,
        sums: defaultdict[tuple[datetime, str], float],
        name: str,
        by: str | None,
        found: Sequence[Mapping[str, str]],
        window: Window,
    ) -> None:
        queries = [_query(index, name, dimensions, window) for index, dimensions in enumerate(found)]
        pages = self._client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=window.start, EndTime=window.end, ScanBy="TimestampAscending"
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                label = found[int(result["Id"][1:])][by] if by else name
                for time, value in zip(result["Timestamps"], result["Values"], strict=True):
                    sums[time.astimezone(UTC), label] += value


def _query(index: int, name: str, dimensions: Mapping[str, str], window: Window) -> dict[str, Any]:
    return {
        "Id": f"m{index}",
        "MetricStat": {
            "Metric": {
                "Namespace": metrics.NAMESPACE,
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            },
            "Period": int(window.step.total_seconds()),
            "Stat": "Sum",
        },
    }


class Prometheus:
    """The same metrics from a Prometheus server that scrapes the exporter. Raises MeasurementsUnavailable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def increase(self, name: str, by: str | None, where: Mapping[str, str], window: Window) -> list[Point]:
        step = int(window.step.total_seconds())
        selector = ",".join(f'{key}="{value}"' for key, value in where.items())
        query = f"sum {f'by ({by}) ' if by else ''}(increase({_prometheus(name)}{{{selector}}}[{step}s]))"
        # Prometheus dates a step by its end.
        start, end = window.start.timestamp() + step, window.end.timestamp()
        points = [
            Point(datetime.fromtimestamp(float(time) - step, UTC), one["metric"].get(by or "", name), float(value))
            for one in self._range(query, start, end, step)
            for time, value in one["values"]
        ]
        return _single(points) if name.endswith("Bucket") else [point for point in points if point.value > 0]

    def _range(self, query: str, start: float, end: float, step: int) -> list[dict[str, Any]]:
        parameters = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step})
        url = f"{self._url}/api/v1/query_range?{parameters}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
                result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise MeasurementsUnavailable(f"Prometheus at {self._url}: {error}") from error
        return result


def _single(points: Iterable[Point]) -> list[Point]:
    """Per-bucket counts from a histogram's cumulative counts."""
    by_time: defaultdict[datetime, dict[float, float]] = defaultdict(dict)
    for point in points:
        by_time[point.time][float(point.label)] = point.value
    found = []
    for time, counts in sorted(by_time.items()):
        before = 0.0
        for bound in sorted(counts):
            # `increase` extrapolates, so a bound may seem to have fewer than the bound below it.
            if counts[bound] > before:
                found.append(Point(time, str(bound), counts[bound] - before))
                before = counts[bound]
    return found


def _prometheus(name: str) -> str:
    """The Prometheus name of a counter, or of the buckets of a histogram."""
    family = metrics.prometheus_name(metrics.BY_NAME[name.removesuffix("Bucket")])
    return f"{family}{'_bucket' if name.endswith('Bucket') else '_total'}"
