"""The data of CloudWatch's metrics: exact, quick to read, and in a file that outlives LocalStack.

LocalStack 2026.3.0 finds a metric by parts of its dimensions (`status=20` finds `status=200` too), scans all data for
each query and knows no percentiles. This takes the place of its `CloudwatchDatabase` (see `cloudwatch`).

A query never reads more than it needs: each put adds to the statistics of its moment, its hour and its day, and a query
reads the longest of these that its period is a multiple of. Values themselves are kept for percentiles.
"""

import json
import math
import re
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
# The lengths, in seconds, that statistics are kept for. 1 stands for a datum's own moment: its second with
# StorageResolution 1, else its minute.
_LEVELS = (1, _HOUR, _DAY)
# As CloudWatch: minutes for 15 days, hours (and what is made of them) for 455; ListMetrics tells two weeks.
_KEPT_SECONDS = {1: 15 * _DAY, _HOUR: 455 * _DAY, _DAY: 455 * _DAY}
_LISTED_SECONDS = 14 * _DAY

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    dimensions TEXT NOT NULL,
    unit TEXT NOT NULL,
    UNIQUE (account, region, namespace, name, dimensions, unit)
);
CREATE TABLE IF NOT EXISTS statistics (
    series INTEGER NOT NULL,
    level INTEGER NOT NULL,
    time INTEGER NOT NULL,
    count REAL NOT NULL,
    sum REAL NOT NULL,
    minimum REAL NOT NULL,
    maximum REAL NOT NULL,
    PRIMARY KEY (series, level, time)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS points (
    series INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value REAL NOT NULL,
    count REAL NOT NULL,
    PRIMARY KEY (series, time, value)
) WITHOUT ROWID;
"""
_ADD_STATISTICS = """
INSERT INTO statistics VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count, sum = sum + excluded.sum,
    minimum = min(minimum, excluded.minimum), maximum = max(maximum, excluded.maximum)
"""
_ADD_POINT = "INSERT INTO points VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
_SERIES = """
SELECT id FROM series
WHERE account = :account AND region = :region AND namespace = :namespace AND name = :name
    AND dimensions = :dimensions AND unit = coalesce(:unit, unit)
"""
_PERIODS = f"""
SELECT time - time % :period, sum(count), sum(sum), min(minimum), max(maximum)
FROM statistics
WHERE series IN ({_SERIES}) AND level = :level AND time >= :start AND time < :end
GROUP BY 1 ORDER BY 1
"""
_VALUES = f"""
SELECT time - time % :period, value, sum(count)
FROM points
WHERE series IN ({_SERIES}) AND time >= :start AND time < :end
GROUP BY 1, 2 ORDER BY 1, 2
"""
_LISTED = """
SELECT DISTINCT namespace, name, dimensions FROM series
WHERE account = :account AND region = :region
    AND namespace = coalesce(:namespace, namespace) AND name = coalesce(:name, name)
    AND EXISTS (SELECT 1 FROM statistics WHERE series = id AND level = :level AND time >= :since)
ORDER BY namespace, name, dimensions
"""

_STATISTICS: Mapping[str, Callable[[float, float, float, float], float]] = {
    "SampleCount": lambda count, total, minimum, maximum: count,
    "Sum": lambda count, total, minimum, maximum: total,
    "Average": lambda count, total, minimum, maximum: total / count,
    "Minimum": lambda count, total, minimum, maximum: minimum,
    "Maximum": lambda count, total, minimum, maximum: maximum,
}
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")

Dimensions = Sequence[Mapping[str, str]]
# (account, region, namespace, name, dimensions, unit)
_Key = tuple[str, str, str, str, str, str]


class InvalidMetric(Exception):
    """What CloudWatch would refuse; the message says why."""


@dataclass
class _Moment:
    """What was put for one series and moment; of a statistic set only its figures are known."""

    values: Counter[float] = field(default_factory=Counter)
    sets: list[tuple[float, float, float, float]] = field(default_factory=list)

    def statistics(self) -> tuple[float, float, float, float]:
        """Count, sum, minimum and maximum."""
        figures = [(count, value * count, value, value) for value, count in self.values.items()] + self.sets
        counts, sums, minima, maxima = zip(*figures, strict=True)
        return sum(counts), math.fsum(sums), min(minima), max(maxima)


class MetricStore:
    """Metrics in one SQLite file, written by one thread at a time and read by any number.

    The public methods but `close` are those of LocalStack's `CloudwatchDatabase`. Times are aware datetimes.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, and drop what CloudWatch would no longer keep."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = Lock()
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._numbers: dict[_Key, int] = {}  # of the series: looking them up would be most of a put
        self._writer = self._connect()
        # A crash of the machine may lose the last transactions but never the file; one of LocalStack loses nothing.
        self._writer.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)
        self._drop_old(int(time.time()))

    def add_metric_data(
        self, account_id: str, region: str, namespace: str, metric_data: Iterable[Mapping[str, Any]]
    ) -> None:
        """Add the items of a PutMetricData in one transaction.

        Raises InvalidMetric for what is no number; then nothing is added.
        """
        moments: dict[tuple[_Key, int], _Moment] = defaultdict(_Moment)
        for datum in metric_data:
            unit = datum.get("Unit") or "None"
            key = (account_id, region, namespace, datum["MetricName"], _canonical(datum.get("Dimensions")), unit)
            _add_datum(moments[key, _moment_of(datum)], datum)
        with self._lock:
            with self._writer:
                series = self._write(
                    {place: moment for place, moment in moments.items() if moment.values or moment.sets}
                )
            self._numbers |= series  # now that they are committed

    def get_metric_data_stat(
        self,
        account_id: str,
        region: str,
        query: Mapping[str, Any],
        start_time: datetime,
        end_time: datetime,
        scan_by: str | None,
    ) -> dict[str, list[Any]]:
        """`timestamps` (epoch seconds) and `values` of the periods that have data; the newest first by default.

        Periods are whole: they start at multiples of their length, the first at or before `start_time`.
        """
        stat = query["MetricStat"]
        metric, period = stat["Metric"], stat["Period"]
        start, end = int(start_time.timestamp()), math.ceil(end_time.timestamp())
        parameters = {
            "account": account_id,
            "region": region,
            "namespace": metric.get("Namespace"),
            "name": metric.get("MetricName"),
            "dimensions": _canonical(metric.get("Dimensions")),
            "unit": stat.get("Unit"),
            "period": period,
            "level": next(level for level in reversed(_LEVELS) if period % level == 0),
            "start": start - start % period,
            "end": end + -end % period,
        }
        found = self._periods(stat["Stat"], parameters)
        if scan_by != "TimestampAscending":
            found.reverse()
        return {"timestamps": [moment for moment, _ in found], "values": [value for _, value in found]}

    def get_units_for_metric_data_stat(
        self, account_id: str, region: str, start_time: datetime, end_time: datetime, metric_name: str, namespace: str
    ) -> list[str]:
        """All units that data of this name has, whenever they were put."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT DISTINCT unit FROM series WHERE account = ? AND region = ? AND namespace = ? AND name = ?",
                (account_id, region, namespace, metric_name),
            )
            return [unit for (unit,) in rows]

    def list_metrics(
        self, account_id: str, region: str, namespace: str | None, metric_name: str | None, dimensions: Dimensions
    ) -> dict[str, list[dict[str, Any]]]:
        """Metrics with data of the last two weeks that have all of `dimensions`, which need not name a value."""
        parameters = {"account": account_id, "region": region, "namespace": namespace, "name": metric_name}
        since = int(time.time()) - _LISTED_SECONDS
        with self._reader() as reader:
            rows = reader.execute(_LISTED, parameters | {"level": _DAY, "since": since - since % _DAY}).fetchall()
        listed = [(space, name, dict(json.loads(own))) for space, name, own in rows]
        return {
            "metrics": [
                {"namespace": space, "metric_name": name, "dimensions": _as_list(own)}
                for space, name, own in listed
                if all(
                    wanted["Name"] in own and wanted.get("Value") in (None, own[wanted["Name"]])
                    for wanted in dimensions
                )
            ]
        }

    def clear_tables(self) -> None:
        with self._lock, self._writer:
            self._numbers.clear()
            for table in ("points", "statistics", "series"):
                self._writer.execute(f"DELETE FROM {table}")

    def get_all_metric_data(self) -> list[dict[str, Any]]:
        """Every value with its count, as LocalStack's own endpoint for raw metrics shows them."""
        with self._reader() as reader:
            rows = reader.execute(
                "SELECT account, region, namespace, name, dimensions, time, value, count "
                "FROM points JOIN series ON series = id ORDER BY time"
            ).fetchall()
        return [
            {
                "account": account,
                "region": region,
                "ns": namespace,
                "n": name,
                "d": [{"n": key, "v": own} for key, own in json.loads(dimensions)],
                "t": moment,
                "v": value,
                "c": count,
            }
            for account, region, namespace, name, dimensions, moment, value, count in rows
        ]

    def close(self) -> None:
        """Close the file; what is put or asked later fails."""
        with self._lock:
            self._writer.close()
        while not self._readers.empty():
            self._readers.get().close()

    def _connect(self) -> sqlite3.Connection:
        # Connections move between threads, but never serve two at once.
        return sqlite3.connect(self._path, check_same_thread=False, timeout=30)

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        try:
            reader = self._readers.get_nowait()
        except Empty:
            reader = self._connect()
        try:
            yield reader
        finally:
            self._readers.put(reader)

    def _write(self, moments: Mapping[tuple[_Key, int], _Moment]) -> dict[_Key, int]:
        """The numbers of all series that there are data for."""
        series = {key: self._numbers.get(key) or self._series(key) for key in {key for key, _ in moments}}
        statistics, points = [], []
        for (key, moment), content in moments.items():
            number, figures = series[key], content.statistics()
            statistics += [(number, level, moment - moment % level, *figures) for level in _LEVELS]
            points += [(number, moment, value, count) for value, count in content.values.items()]
        self._writer.executemany(_ADD_STATISTICS, statistics)
        self._writer.executemany(_ADD_POINT, points)
        return series

    def _series(self, key: _Key) -> int:
        """The number of a series, a new one if it has none."""
        self._writer.execute(
            "INSERT INTO series (account, region, namespace, name, dimensions, unit) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            key,
        )
        names = dict(zip(("account", "region", "namespace", "name", "dimensions", "unit"), key, strict=True))
        return self._writer.execute(_SERIES, names).fetchone()[0]

    def _periods(self, statistic: str, parameters: Mapping[str, Any]) -> list[tuple[int, float]]:
        """(start, value) of the periods with data, ascending."""
        with self._reader() as reader:
            rows = reader.execute(_PERIODS, parameters).fetchall()
            if compute := _STATISTICS.get(statistic):
                return [(moment, compute(*figures)) for moment, *figures in rows]
            if not (match := _PERCENTILE.fullmatch(statistic)):
                raise InvalidMetric(f"The statistic {statistic} is not supported.")
            values = reader.execute(_VALUES, parameters).fetchall()
        counts = {moment: count for moment, count, *_ in rows}
        by_period = ((moment, [row[1:] for row in group]) for moment, group in groupby(values, itemgetter(0)))
        # As in CloudWatch, a period with a statistic set has no percentiles: its values are not known.
        return [
            (moment, _percentile(float(match[1]), counted))
            for moment, counted in by_period
            if sum(count for _, count in counted) == counts.get(moment)
        ]

    def _drop_old(self, now: int) -> None:
        with self._lock, self._writer:
            for level, seconds in _KEPT_SECONDS.items():
                self._writer.execute("DELETE FROM statistics WHERE level = ? AND time < ?", (level, now - seconds))
            self._writer.execute("DELETE FROM points WHERE time < ?", (now - _KEPT_SECONDS[1],))
            self._writer.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM statistics)")


def _canonical(dimensions: Dimensions | None) -> str:
    """One text for one set of dimensions, in whatever order they are given."""
    pairs = sorted((dimension["Name"], dimension["Value"]) for dimension in dimensions or ())
    return json.dumps(pairs, separators=(",", ":"))


def _has_all(own: Mapping[str, str], wanted: Dimensions) -> bool:
    """Whether a metric has the dimensions; one without Value may have any."""
    return all(
        dimension["Name"] in own and dimension.get("Value") in (None, own[dimension["Name"]]) for dimension in wanted
    )


def _as_list(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]


def _moment_of(datum: Mapping[str, Any]) -> int:
    """The start of the second or minute that a datum counts for, in epoch seconds."""
    timestamp: datetime | None = datum.get("Timestamp")
    seconds = int(timestamp.timestamp() if timestamp else time.time())
    return seconds if datum.get("StorageResolution") == 1 else seconds - seconds % _MINUTE


def _add_datum(moment: _Moment, datum: Mapping[str, Any]) -> None:
    """Add `Values` with their `Counts`, or the one `Value`, and `StatisticValues`."""
    values = datum.get("Values") or ([] if datum.get("Value") is None else [datum["Value"]])
    counts = datum.get("Counts") or [1] * len(values)
    for value, count in zip(values, counts, strict=True):
        _add_values(moment, _finite(value), _finite(count))
    if figures := datum.get("StatisticValues"):
        names = ("SampleCount", "Sum", "Minimum", "Maximum")
        count, total, minimum, maximum = (_finite(figures[name]) for name in names)
        if minimum == maximum and total == minimum * count:  # then all values are known after all
            _add_values(moment, minimum, count)
        elif count > 0:
            moment.sets.append((count, total, minimum, maximum))


def _add_values(moment: _Moment, value: float, count: float) -> None:
    if count > 0:
        moment.values[value] += count


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise InvalidMetric(f"The value {number} for parameter MetricData is invalid.")
    return float(number)


def _percentile(percent: float, counted: Sequence[tuple[float, float]]) -> float:
    """The smallest of the values, ascending with their counts, that `percent` of all are not above."""
    wanted = percent / 100 * sum(count for _, count in counted)
    reached = 0.0
    for value, count in counted:
        reached += count
        # A hair of tolerance: 99.9 % of 1000 values are 999, whatever binary fractions make of it.
        if reached >= wanted * (1 - 1e-12):
            return value
    return counted[-1][0]
