"""The Prometheus collector, which reads CloudWatch or answers from its cache."""

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
from readmission.telemetry.logs import Logger

_DAY: Final = timedelta(days=1)
# Gauges are shown across New Year if they were written within this time.
_GAUGES_DAYS: Final = timedelta(days=92)
# After a longer pause, a list of recent metrics might miss data. CloudWatch's "recent" covers three hours.
_LONGEST_PAUSE: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Readings:
    """Everything read from CloudWatch so far: the items, and the days of each series read, with or without data."""

    at: datetime
    items: frozenset[Item] = frozenset()
    days: Mapping[Series, Days] = field(default_factory=dict)


class CloudWatchCollector(Collector):
    """Counters since 1 January (UTC), from CloudWatch's daily sums. All instances agree, even after a restart.

    A read requests the whole year for series that are new to this instance. For known series with recent data it
    requests yesterday and today, because data may be up to two hours late. Everything is read again when a new day
    starts and after an hour without a read.

    A successful read is cached for `cache_seconds`; concurrent scrapes share one read. If CloudWatch cannot be read,
    `readmission_cloudwatch_up` is 0 and no other CloudWatch metric is exported. `now` is the time in UTC, `clock` a
    monotonic clock in seconds.
    """

    def __init__(
        self,
        cloudwatch: CloudWatch,
        stack: Stack,
        cache_seconds: float,
        logger: Logger,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cloudwatch, self._stack, self._logger = cloudwatch, stack, logger
        self._cache_seconds, self._now, self._clock = cache_seconds, now, clock
        self._lock = Lock()
        self._readings: Readings | None = None
        self._answer: list[Metric] = []
        self._fresh_until = self._read_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        """Never raises for errors of CloudWatch."""
        requested_at = self._clock()
        with self._lock:
            # A read that ended while this scrape waited for the lock answers this scrape too, even if it failed.
            if requested_at >= self._fresh_until and requested_at > self._read_at:
                self._answer = self._read()
            answer = self._answer
        yield from answer

    def _read(self) -> list[Metric]:
        start = self._clock()
        read_from_cloudwatch: list[Metric] = []
        try:
            self._readings = readings = read(self._cloudwatch, self._stack, self._readings, self._now())
        except MetricsUnavailable as error:
            self._logger.warning("cannot read CloudWatch: %s", error)
            up = False
        else:
            read_from_cloudwatch = list(families(readings.items, Figures(readings.days, readings.at.year)))
            self._fresh_until = self._clock() + self._cache_seconds
            up = True
        self._read_at = self._clock()
        return [
            *read_from_cloudwatch,
            GaugeMetricFamily("readmission_cloudwatch_up", "1 if CloudWatch could be read, else 0", up),
            GaugeMetricFamily(
                "readmission_exporter_collect_seconds", "duration of the last read of CloudWatch", self._read_at - start
            ),
        ]


def registry(collector: Collector) -> CollectorRegistry:
    """A registry with this collector only; creating it does not collect."""
    own = CollectorRegistry(auto_describe=False)
    own.register(collector)
    return own


def read(cloudwatch: CloudWatch, stack: Stack, before: Readings | None, now: datetime) -> Readings:
    """The readings after another read. Raises `MetricsUnavailable`."""
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
