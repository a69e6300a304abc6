"""MetricData items of PutMetricData, grouped by series and time."""

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from localstack_plugin.cloudwatch.errors import InvalidMetric

_MINUTE = 60

Dimensions = Sequence[Mapping[str, str]]


class Series(NamedTuple):
    """Identity of a series; `dimensions` as of `canonical`."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: str
    unit: str


class Figures(NamedTuple):
    """The statistics of a set of values."""

    samples: float
    total: float
    minimum: float
    maximum: float


@dataclass
class Datapoints:
    """The data put for one series and time: values with their counts, and statistic sets, whose values are unknown."""

    values: defaultdict[float, float] = field(default_factory=lambda: defaultdict(float))
    sets: list[Figures] = field(default_factory=list)

    def figures(self) -> Figures:
        """Statistics of all the data."""
        parts = [Figures(count, value * count, value, value) for value, count in self.values.items()] + self.sets
        counts, sums, minima, maxima = zip(*parts, strict=True)
        return Figures(sum(counts), math.fsum(sums), min(minima), max(maxima))

    def add(self, datum: Mapping[str, Any]) -> None:
        """Add an item's `Values` with their `Counts`, or its one `Value`, and its `StatisticValues`.

        Raises InvalidMetric for a number that is not finite.
        """
        values = datum.get("Values") or ([] if datum.get("Value") is None else [datum["Value"]])
        counts = datum.get("Counts") or [1] * len(values)
        for value, count in zip(values, counts, strict=True):
            self._add_value(_finite(value), _finite(count))
        if statistics := datum.get("StatisticValues"):
            self._add_set(statistics)

    def _add_set(self, statistics: Mapping[str, float]) -> None:
        names = ("SampleCount", "Sum", "Minimum", "Maximum")
        figures = Figures(*(_finite(statistics[name]) for name in names))
        if figures.minimum == figures.maximum and figures.total == figures.minimum * figures.samples:
            self._add_value(figures.minimum, figures.samples)  # all values are known: they are equal
        elif figures.samples > 0:
            self.sets.append(figures)

    def _add_value(self, value: float, count: float) -> None:
        if count > 0:
            self.values[value] += count


def grouped(
    account: str, region: str, namespace: str, metric_data: Iterable[Mapping[str, Any]]
) -> dict[tuple[Series, int], Datapoints]:
    """The items' data by series and time (epoch seconds); raises InvalidMetric."""
    groups: dict[tuple[Series, int], Datapoints] = defaultdict(Datapoints)
    for datum in metric_data:
        dimensions, unit = canonical(datum.get("Dimensions")), datum.get("Unit") or "None"
        series = Series(account, region, namespace, datum["MetricName"], dimensions, unit)
        groups[series, _time_of(datum)].add(datum)
    return {key: datapoints for key, datapoints in groups.items() if datapoints.values or datapoints.sets}


def canonical(dimensions: Dimensions | None) -> str:
    """The same JSON for the same dimensions in any order."""
    pairs = sorted((dimension["Name"], dimension["Value"]) for dimension in dimensions or ())
    return json.dumps(pairs, separators=(",", ":"))


def _time_of(datum: Mapping[str, Any]) -> int:
    """The start of the item's second (StorageResolution 1) or minute, in epoch seconds."""
    timestamp: datetime | None = datum.get("Timestamp")
    seconds = int(timestamp.timestamp() if timestamp else time.time())
    return seconds if datum.get("StorageResolution") == 1 else seconds - seconds % _MINUTE


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise InvalidMetric(f"The value {number} for parameter MetricData is invalid.")
    return float(number)
