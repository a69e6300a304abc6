"""A store for CloudWatch's metrics: exact, quick to read, and in a file that outlives LocalStack.

LocalStack 2026.3.0 matches parts of a metric's dimensions (`status=20` finds `status=200` too), scans all data for each
query and does not compute percentiles. This store takes the place of its `CloudwatchDatabase` (see `database`).
"""

import json
import math
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from localstack_plugin.cloudwatch.datapoints import Dimensions, canonical, grouped
from localstack_plugin.cloudwatch.metric_file import DAY, LEVELS, MetricFile
from localstack_plugin.cloudwatch.statistics import BASIC, percent_of, percentile

# As CloudWatch: ListMetrics shows the metrics with data of the last two weeks.
_LISTED_SECONDS = 14 * DAY


class MetricStore:
    """The public methods but `close` are those of LocalStack's `CloudwatchDatabase`. Times are aware datetimes.

    Thread-safe.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, and drop the data that CloudWatch would no longer keep."""
        self._file = MetricFile(path)
        self._file.drop_expired(int(time.time()))

    def add_metric_data(
        self, account_id: str, region: str, namespace: str, metric_data: Iterable[Mapping[str, Any]]
    ) -> None:
        """Add the items of a PutMetricData; if a number is not finite, raises InvalidMetric and adds nothing."""
        self._file.add(grouped(account_id, region, namespace, metric_data))

    def get_metric_data_stat(
        self,
        account_id: str,
        region: str,
        query: Mapping[str, Any],
        start_time: datetime,
        end_time: datetime,
        scan_by: str | None,
    ) -> dict[str, list[Any]]:
        """`timestamps` (epoch seconds) and `values` of the periods that have data, newest first by default.

        Periods are whole: they start at multiples of their length, the first at or before `start_time`.
        """
        stat = query["MetricStat"]
        metric, period = stat["Metric"], stat["Period"]
        start, end = int(start_time.timestamp()), math.ceil(end_time.timestamp())
        found = self._periods(
            stat["Stat"],
            {
                "account": account_id,
                "region": region,
                "namespace": metric.get("Namespace"),
                "name": metric.get("MetricName"),
                "dimensions": canonical(metric.get("Dimensions")),
                "unit": stat.get("Unit"),
                "period": period,
                "level": next(level for level in reversed(LEVELS) if period % level == 0),
                "start": start - start % period,
                "end": end + -end % period,
            },
        )
        if scan_by != "TimestampAscending":
            found.reverse()
        return {"timestamps": [start for start, _ in found], "values": [value for _, value in found]}

    def get_units_for_metric_data_stat(
        self, account_id: str, region: str, start_time: datetime, end_time: datetime, metric_name: str, namespace: str
    ) -> list[str]:
        """All units in which the metric has data, regardless of the time."""
        return self._file.units(account_id, region, namespace, metric_name)

    def list_metrics(
        self, account_id: str, region: str, namespace: str | None, metric_name: str | None, dimensions: Dimensions
    ) -> dict[str, list[dict[str, Any]]]:
        """Metrics with data of the last two weeks that have all of `dimensions`; a filter need not have a value."""
        rows = self._file.listed(account_id, region, namespace, metric_name, int(time.time()) - _LISTED_SECONDS)
        metrics = [(space, name, dict(json.loads(own))) for space, name, own in rows]
        return {
            "metrics": [
                {"namespace": space, "metric_name": name, "dimensions": _as_list(own)}
                for space, name, own in metrics
                if all(
                    wanted["Name"] in own and wanted.get("Value") in (None, own[wanted["Name"]])
                    for wanted in dimensions
                )
            ]
        }

    def clear_tables(self) -> None:
        self._file.clear()

    def get_all_metric_data(self) -> list[dict[str, Any]]:
        """Every value with its count, in the format of LocalStack's endpoint for raw metrics."""
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
            for account, region, namespace, name, dimensions, moment, value, count in self._file.points()
        ]

    def close(self) -> None:
        """Close the file; further calls fail."""
        self._file.close()

    def _periods(self, statistic: str, query: Mapping[str, Any]) -> list[tuple[int, float]]:
        """(start, value) of the periods that have data, ascending; raises InvalidMetric."""
        if compute := BASIC.get(statistic):
            return [(start, compute(figures)) for start, figures in self._file.periods(query)]
        percent = percent_of(statistic)
        counts = {start: figures.samples for start, figures in self._file.periods(query)}
        by_period = (
            (start, [(value, count) for _, value, count in rows])
            for start, rows in groupby(self._file.values(query), itemgetter(0))
        )
        # As in CloudWatch, a period with a statistic set has no percentiles: its values are not known.
        return [
            (start, percentile(percent, counted))
            for start, counted in by_period
            if sum(count for _, count in counted) == counts.get(start)
        ]


def _as_list(dimensions: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Name": name, "Value": value} for name, value in dimensions.items()]
