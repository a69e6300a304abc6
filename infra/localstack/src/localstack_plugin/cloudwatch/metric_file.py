"""The SQLite file of all metrics.

Each put adds to the statistics of its time, its hour and its day, and a query reads the longest of these that divides
its period, so it never reads more than it needs. Values themselves are kept for percentiles.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

from localstack_plugin.cloudwatch.datapoints import Datapoints, Figures, Series

HOUR, DAY = 3600, 86400
# The lengths (s) for which statistics are kept. 1 stands for the time of a datum: its second if its StorageResolution
# is 1, else its minute.
LEVELS = (1, HOUR, DAY)
# As CloudWatch: minutes for 15 days, hours (and the days made of them) for 455.
_KEPT_SECONDS = {1: 15 * DAY, HOUR: 455 * DAY, DAY: 455 * DAY}

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
_ADD_SERIES = """
INSERT INTO series (account, region, namespace, name, dimensions, unit) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
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
_UNITS = "SELECT DISTINCT unit FROM series WHERE account = ? AND region = ? AND namespace = ? AND name = ?"
_POINTS = """
SELECT account, region, namespace, name, dimensions, time, value, count
FROM points JOIN series ON series = id ORDER BY time
"""


class MetricFile:
    """One thread at a time writes, any number read."""

    def __init__(self, path: Path) -> None:
        """Open the file; creates it and its folder if they do not exist."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = Lock()
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._ids: dict[Series, int] = {}  # looking them up would take most of the time of a put
        self._writer = self._connect()
        # A crash of the machine may lose the last transactions, never the file; a crash of LocalStack loses nothing.
        self._writer.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    def add(self, groups: Mapping[tuple[Series, int], Datapoints]) -> None:
        """Add the data of each series and time in one transaction."""
        with self._lock:
            with self._writer:
                ids = {series: self._ids.get(series) or self._id(series) for series in {key for key, _ in groups}}
                statistics, points = [], []
                for (series, time), datapoints in groups.items():
                    number, figures = ids[series], datapoints.figures()
                    statistics += [(number, level, time - time % level, *figures) for level in LEVELS]
                    points += [(number, time, value, count) for value, count in datapoints.values.items()]
                self._writer.executemany(_ADD_STATISTICS, statistics)
                self._writer.executemany(_ADD_POINT, points)
            self._ids |= ids  # only now: the transaction is committed

    def periods(self, query: Mapping[str, Any]) -> list[tuple[int, Figures]]:
        """(start, figures) of the periods that have data, ascending.

        query: account, region, namespace, name, dimensions, unit (None: all), period and level (s), start and end
        (epoch seconds).
        """
        with self._reader() as reader:
            return [(start, Figures(*figures)) for start, *figures in reader.execute(_PERIODS, query)]

    def values(self, query: Mapping[str, Any]) -> list[tuple[int, float, float]]:
        """(start of the period, value, count), ascending; `query` as of `periods`. Statistic sets are left out."""
        with self._reader() as reader:
            return reader.execute(_VALUES, query).fetchall()

    def listed(
        self, account: str, region: str, namespace: str | None, name: str | None, since: int
    ) -> list[tuple[str, str, str]]:
        """(namespace, name, canonical dimensions) of the metrics that have data since the day of `since`."""
        filters = {"account": account, "region": region, "namespace": namespace, "name": name}
        with self._reader() as reader:
            return reader.execute(_LISTED, filters | {"level": DAY, "since": since - since % DAY}).fetchall()

    def units(self, account: str, region: str, namespace: str, name: str) -> list[str]:
        with self._reader() as reader:
            return [unit for (unit,) in reader.execute(_UNITS, (account, region, namespace, name))]

    def points(self) -> list[tuple[Any, ...]]:
        """(account, region, namespace, name, canonical dimensions, time, value, count) of all values, by time."""
        with self._reader() as reader:
            return reader.execute(_POINTS).fetchall()

    def drop_expired(self, now: int) -> None:
        """Delete the data that CloudWatch would no longer keep at `now` (epoch seconds)."""
        with self._lock, self._writer:
            for level, seconds in _KEPT_SECONDS.items():
                self._writer.execute("DELETE FROM statistics WHERE level = ? AND time < ?", (level, now - seconds))
            self._writer.execute("DELETE FROM points WHERE time < ?", (now - _KEPT_SECONDS[1],))
            self._writer.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM statistics)")

    def clear(self) -> None:
        with self._lock, self._writer:
            self._ids.clear()
            for table in ("points", "statistics", "series"):
                self._writer.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        """Further reads and writes fail."""
        with self._lock:
            self._writer.close()
        while not self._readers.empty():
            self._readers.get().close()

    def _id(self, series: Series) -> int:
        """The series' id; adds the series if it does not exist."""
        self._writer.execute(_ADD_SERIES, series)
        (found,) = self._writer.execute(_SERIES, series._asdict()).fetchone()
        return int(found)

    def _connect(self) -> sqlite3.Connection:
        # Connections move between threads, but two threads never use one at once.
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
