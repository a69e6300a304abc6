"""The deployed application's metrics over time, from Prometheus or CloudWatch.

Both sources return the same points: the exact increase of a counter in each time step. Its sum over a range does not
depend on the step.
"""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any, Final, Protocol

from readmission.telemetry import metrics

_QUERIES_PER_REQUEST: Final = 500
_TIMEOUT_SECONDS: Final = 10
_API: Final = "predict"
FORECAST_ROUTES: Final = ("/predict", "/predict/batch")  # one encounter, and many: their times cannot be compared


# Prometheus' own labels. Every instance of the exporter has the same counters, so the largest value is the newest.
_TARGET: Final = frozenset({"__name__", "instance", "job"})
_LAST: Final = "max without (instance, job) (last_over_time"
_UP: Final = "readmission_cloudwatch_up"
_LOOKBACK_SECONDS: Final = 300  # at least a scrape, whatever its interval
_HISTORY: Final = "30d"

type _Series = frozenset[tuple[str, str]]


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
    """Everything that the page shows. `latency` is by route of `FORECAST_ROUTES`."""

    requests: list[Point]
    latency: dict[str, list[Point]]
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
    buckets = metrics.bucket_of(metrics.REQUEST_DURATION)
    rows = [
        Point(point.time, name, point.value)
        for name in (metrics.ROWS_CLEANED, metrics.ROWS_QUARANTINED)
        for point in source.increase(name, None, {}, window)
    ]
    return Measurements(
        requests=source.increase(metrics.REQUESTS, "status", api, window),
        latency={
            route: latencies(source.increase(buckets, metrics.LE, api | {"route": route}, window))
            for route in FORECAST_ROUTES
        },
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
    """The same metrics from a Prometheus server that scrapes the exporter. Raises MeasurementsUnavailable.

    PromQL's `increase` is not exact: it extrapolates, loses what a counter gains between two steps, and loses the first
    value of a new series. This class subtracts the counter's values at the ends of each step instead.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def increase(self, name: str, by: str | None, where: Mapping[str, str], window: Window) -> list[Point]:
        selector = ",".join(f'{key}="{value}"' for key, value in where.items())
        sums: defaultdict[tuple[datetime, str], float] = defaultdict(float)
        for series, before, values in self._counters(f"{_prometheus(name)}{{{selector}}}", window):
            label = dict(series).get(by or "", name)
            for time, value in sorted(values.items()):
                # A smaller value is a counter that began again at 0, as the exporter's do at New Year.
                gained = value - before if value >= before else value
                before = value
                if gained:
                    # Prometheus dates a step by its end.
                    sums[datetime.fromtimestamp(time, UTC) - window.step, label] += gained
        points = [Point(time, label, value) for (time, label), value in sorted(sums.items())]
        return _single(points) if name == metrics.bucket_of(metrics.REQUEST_DURATION) else points

    def _counters(self, selector: str, window: Window) -> Iterator[tuple[_Series, float, dict[float, float]]]:
        """Each series with its value at the start and at the end of each step, where it has one."""
        seconds = window.step.total_seconds()
        lookback = max(int(seconds), _LOOKBACK_SECONDS)
        found = self._range(f"{_LAST}({selector}[{lookback}s]))", window)
        start = window.start.timestamp()
        without = {series for series, values in found.items() if start not in values}
        earlier = self._first_values(selector, window) if without else {}
        for series, values in found.items():
            before = earlier.get(series, 0.0) if series in without else values.pop(start)
            yield series, before, values

    def _first_values(self, selector: str, window: Window) -> dict[_Series, float]:
        """The values that were there before the window's first. A series that is not among them began at 0."""
        earlier = self._at(f"{_LAST}({selector}[{_HISTORY}]))", window.start.timestamp())
        if earlier or self._at(f"max(max_over_time({_UP}[{_HISTORY}])) == 1", window.start.timestamp()):
            return earlier
        # Prometheus has scraped only since some step of the window. What its first scrape found had happened before.
        seconds = int(window.step.total_seconds())
        reads = next(iter(self._range(f"max(max_over_time({_UP}[{seconds}s])) == 1", window).values()), None)
        if reads is None:
            return {}
        read = min(
            time for samples in self._samples(f"{_UP}[{seconds}s]", min(reads)).values() for time, up in samples if up
        )
        return {
            series: value
            for series, ((time, value), *_) in self._samples(f"{selector}[{seconds}s]", min(reads)).items()
            if time <= read
        }

    def _range(self, query: str, window: Window) -> dict[_Series, dict[float, float]]:
        start, end, step = window.start.timestamp(), window.end.timestamp(), window.step.total_seconds()
        return {
            series: {float(time): float(value) for time, value in one["values"]}
            for series, one in self._ask("query_range", query=query, start=start, end=end, step=step)
        }

    def _at(self, query: str, time: float) -> dict[_Series, float]:
        return {series: float(one["value"][1]) for series, one in self._ask("query", query=query, time=time)}

    def _samples(self, query: str, time: float) -> dict[_Series, list[tuple[float, float]]]:
        """The samples of each series with their times, oldest first, from every instance that was scraped."""
        samples: defaultdict[_Series, list[tuple[float, float]]] = defaultdict(list)
        for series, one in self._ask("query", query=query, time=time):
            samples[series] += [(float(at), float(value)) for at, value in one["values"]]
        return {series: sorted(found) for series, found in samples.items()}

    def _ask(self, path: str, **parameters: Any) -> list[tuple[_Series, dict[str, Any]]]:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
                return [(_series(one["metric"]), one) for one in json.load(answer)["data"]["result"]]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise MeasurementsUnavailable(f"Prometheus at {self._url}: {error}") from error


def _series(labels: Mapping[str, str]) -> _Series:
    return frozenset((key, value) for key, value in labels.items() if key not in _TARGET)


def _single(points: Iterable[Point]) -> list[Point]:
    """Per-bucket counts from a histogram's cumulative counts."""
    by_time: defaultdict[datetime, dict[float, float]] = defaultdict(dict)
    for point in points:
        by_time[point.time][float(point.label)] = point.value
    found = []
    for time, counts in sorted(by_time.items()):
        before = 0.0
        for bound in sorted(counts):
            if counts[bound] > before:
                found.append(Point(time, str(bound), counts[bound] - before))
                before = counts[bound]
    return found


def _prometheus(name: str) -> str:
    """The Prometheus name of a counter, or of the buckets of a histogram."""
    family = metrics.prometheus_name(metrics.BY_NAME[name.removesuffix("Bucket")])
    return f"{family}{'_bucket' if name.endswith('Bucket') else '_total'}"
