"""The collector: what Prometheus gets when it asks, from CloudWatch or from the last look at it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from readmission.errors import MetricsUnavailable
from readmission.telemetry.exporter.catalog import Item, Stack, expected, filters, found, versions
from readmission.telemetry.exporter.cloudwatch import CloudWatch, Days, Series
from readmission.telemetry.exporter.exposition import Figures, families

_DAY: Final = timedelta(days=1)
# A gauge is shown over New Year too, when it was last written within this time.
_GAUGES_DAYS: Final = timedelta(days=92)
# Longer ago than what CloudWatch calls recent, a look leaves out what has occurred since.
_LONGEST_PAUSE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Readings:
    """What is known of CloudWatch: the items, and the days of each series that was asked for, with data or without."""

    at: datetime
    items: frozenset[Item] = frozenset()
    days: Mapping[Series, Days] = field(default_factory=dict)


class CloudWatchCollector(Collector):
    """Counters since 1 January (UTC), from CloudWatch's sums of days: all instances say the same, restarted or not.

    A look asks for the whole year of a series that is new to this instance, and else, of the series that have recent
    data, for yesterday and today: data may be two hours late. Everything is asked anew when a day begins, and after an
    hour without a look.

    For `cache_seconds` after a successful look the answer rests on it; scrapes beside each other share one. When
    CloudWatch cannot be read, `readmission_cloudwatch_up` is 0 and nothing else of it is told. `now` is the time in
    UTC, `clock` a monotonic one in seconds.
    """

    def __init__(
        self,
        cloudwatch: CloudWatch,
        stack: Stack,
        cache_seconds: float,
        logger: logging.Logger,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cloudwatch, self._stack, self._logger = cloudwatch, stack, logger
        self._cache_seconds, self._now, self._clock = cache_seconds, now, clock
        self._lock = Lock()
        self._readings: Readings | None = None
        self._answer: list[Metric] = []
        self._fresh_until = self._looked_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        """Raises nothing that CloudWatch does."""
        asked_at = self._clock()
        with self._lock:
            # A look that ended while this scrape waited for the lock is its answer too, even if it failed.
            if asked_at >= self._fresh_until and asked_at > self._looked_at:
                self._answer = self._look()
            answer = self._answer
        yield from answer

    def _look(self) -> list[Metric]:
        began = self._clock()
        read_from_cloudwatch: list[Metric] = []
        try:
            self._readings = readings = read(self._cloudwatch, self._stack, self._readings, self._now())
        except MetricsUnavailable as error:
            self._logger.warning("CloudWatch cannot be read: %s", error)
            up = False
        else:
            read_from_cloudwatch = list(families(readings.items, Figures(readings.days, readings.at.year)))
            self._fresh_until = self._clock() + self._cache_seconds
            up = True
        self._looked_at = self._clock()
        return [
            *read_from_cloudwatch,
            GaugeMetricFamily("readmission_cloudwatch_up", "1 when CloudWatch could be read, else 0", up),
            GaugeMetricFamily(
                "readmission_exporter_collect_seconds", "time of the last look at CloudWatch", self._looked_at - began
            ),
        ]


def registry(collector: Collector) -> CollectorRegistry:
    """A registry of its own, with nothing of this process; nothing is collected to make it."""
    own = CollectorRegistry(auto_describe=False)
    own.register(collector)
    return own


def read(cloudwatch: CloudWatch, stack: Stack, before: Readings | None, now: datetime) -> Readings:
    """What is known after another look. Raises `MetricsUnavailable`."""
    today, yesterday = now.date(), now.date() - _DAY
    if before and (before.at.date() != today or now - before.at > _LONGEST_PAUSE):
        before = None
    listed = cloudwatch.metrics(filters(stack), recent=before is not None)
    known = before or Readings(now)
    items = known.items.union(expected(stack, versions(listed)), found(listed))
    wanted = {series for item in items for series in item.series()}
    new = wanted - known.days.keys()
    changing = {series for series in wanted - new if series.metric in listed}
    days = {**known.days, **cloudwatch.days(new, _first_day(today), today)}
    for series, recent in cloudwatch.days(changing, yesterday, today).items():
        days[series] = {day: value for day, value in days[series].items() if day < yesterday} | dict(recent)
    return Readings(now, items, days)


def _first_day(today: date) -> date:
    return min(today.replace(month=1, day=1), today - _GAUGES_DAYS)
