"""Turns daily statistics into Prometheus metric families."""

from collections.abc import Collection, Iterator, Mapping
from itertools import accumulate
from math import fsum

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.utils import floatToGoString

from readmission.telemetry.exporter.catalog import METRIC_FAMILIES, Item, MetricFamily
from readmission.telemetry.exporter.cloudwatch import Days, Series
from readmission.telemetry.metrics import NAMESPACE


class Figures:
    """The figures of each series over the days of a year."""

    def __init__(self, days: Mapping[Series, Days], year: int) -> None:
        self._days, self._year = days, year

    def occurred(self, series: Series) -> bool:
        return any(day.year == self._year for day in self._days.get(series, {}))

    def total(self, series: Series) -> float:
        """The sum since the year began; 0 if there are no data."""
        return fsum(value for day, value in self._days.get(series, {}).items() if day.year == self._year)

    def newest(self, series: Series) -> float | None:
        """The value of the last day with data, in any year; None if there is none."""
        days = self._days.get(series, {})
        return days[max(days)] if days else None


def families(items: Collection[Item], figures: Figures) -> Iterator[Metric]:
    """The families that have samples, with each label set once.

    This project's metrics are 0 until they have data. AWS's are 0 only for functions, state machines and gateways for
    which CloudWatch has any data: an emulator does not write all of them, and a 0 would be wrong there.
    """
    alive = {
        (item.family.namespace, item.values)
        for item in items
        if item.family.namespace == NAMESPACE or any(figures.occurred(series) for series in item.series())
    }
    for family in METRIC_FAMILIES:
        own = [item for item in items if item.family is family and (family.namespace, item.values) in alive]
        metric = _WRITERS[family.kind](family, sorted(own, key=lambda item: item.values), figures)
        if metric.samples:
            yield metric


def _labels(item: Item) -> list[str]:
    # ARNs are shortened to their last part, the name.
    return [value.rpartition(":")[2] if value.startswith("arn:") else value for value in item.values]


def _counter(family: MetricFamily, items: list[Item], figures: Figures) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
    for item in items:
        metric.add_metric(_labels(item), figures.total(item.statistic("Sum")) / family.divisor)
    return metric


def _summary(family: MetricFamily, items: list[Item], figures: Figures) -> Metric:
    metric = SummaryMetricFamily(family.name, family.help, labels=family.labels)
    for item in items:
        count = item.statistic("SampleCount")
        if family.namespace == NAMESPACE or figures.occurred(count):
            total = figures.total(item.statistic("Sum")) / family.divisor
            # prometheus_client types the count as an integer; CloudWatch returns a float.
            metric.add_metric(_labels(item), int(figures.total(count)), total)
    return metric


def _histogram(family: MetricFamily, items: list[Item], figures: Figures) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    # In Prometheus' own notation: 1.0, 2.5e-05.
    bounds: list[str] = [floatToGoString(bound) for bound in family.buckets]  # type: ignore[no-untyped-call]
    for item in items:
        counts = accumulate(figures.total(item.bucket(bound)) for bound in family.buckets)
        total = figures.total(item.statistic("Sum")) / family.divisor
        metric.add_metric(_labels(item), list(zip(bounds, counts, strict=True)), total)
    return metric


def _gauge(family: MetricFamily, items: list[Item], figures: Figures) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for item in items:
        if (value := figures.newest(item.statistic("Maximum"))) is not None:
            metric.add_metric(_labels(item), value / family.divisor)
    return metric


_WRITERS = {"counter": _counter, "summary": _summary, "histogram": _histogram, "gauge": _gauge}
