"""Reads metric lists and daily (UTC) statistics from CloudWatch, for metrics of any name."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from itertools import batched
from typing import Any, Final, Literal, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import MetricsUnavailable

type Statistic = Literal["Sum", "SampleCount", "Maximum"]
type Days = Mapping[date, float]

# Within Prometheus' scrape timeout of 10 s, so that a scrape can still answer `readmission_cloudwatch_up 0`.
CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

_DAY: Final = timedelta(days=1)
# The limits of one GetMetricData request and answer.
_MAX_QUERIES: Final = 500
_MAX_DATAPOINTS: Final = 100_800


class Metric(NamedTuple):
    """A CloudWatch metric. Its dimensions are sorted by name."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """A statistic of a metric."""

    metric: Metric
    statistic: Statistic


class Filter(NamedTuple):
    """The metrics of a namespace that have all these dimensions; None matches any value."""

    namespace: str
    dimensions: tuple[tuple[str, str | None], ...] = ()


class CloudWatch:
    """CloudWatch as the exporter uses it. Every method raises `MetricsUnavailable`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def metrics(self, filters: Iterable[Filter], recent: bool) -> set[Metric]:
        """The metrics that had data in the last two weeks, or about three hours with `recent`.

        On AWS a new metric appears up to 15 minutes late.
        """
        wanted = tuple(filters)
        # In parallel, because a scrape waits for all of these round trips.
        with ThreadPoolExecutor(len(wanted)) as pool:
            return set().union(*pool.map(lambda one: self._list(one, recent), wanted))

    def days(self, series: Collection[Series], first: date, last: date) -> dict[Series, Days]:
        """The statistic of every day with data from `first` to `last`; today's covers the day so far."""
        queries = min(_MAX_QUERIES, _MAX_DATAPOINTS // ((last - first).days + 1))
        found: dict[Series, Days] = {}
        for some in batched(series, queries, strict=False):
            found |= self._get(some, first, last)
        return found

    def _list(self, wanted: Filter, recent: bool) -> set[Metric]:
        dimensions = [{"Name": name} | ({"Value": value} if value else {}) for name, value in wanted.dimensions]
        arguments = {"Namespace": wanted.namespace, "Dimensions": dimensions}
        if recent:
            arguments["RecentlyActive"] = "PT3H"
        return {_metric(one) for page in self._pages("list_metrics", arguments) for one in page["Metrics"]}

    def _get(self, series: tuple[Series, ...], first: date, last: date) -> dict[Series, Days]:
        arguments = {
            "MetricDataQueries": [_query(f"q{number}", one) for number, one in enumerate(series)],
            "StartTime": datetime.combine(first, time(), UTC),
            "EndTime": datetime.combine(last + _DAY, time(), UTC),
            "ScanBy": "TimestampAscending",
        }
        found: dict[Series, dict[date, float]] = {one: {} for one in series}
        statuses: dict[str, str] = {}
        for page in self._pages("get_metric_data", arguments):
            for result in page["MetricDataResults"]:
                statuses[result["Id"]] = result["StatusCode"]
                days = (moment.astimezone(UTC).date() for moment in result["Timestamps"])
                found[series[int(result["Id"][1:])]].update(zip(days, result["Values"], strict=True))
        _refuse_parts(statuses, len(series))
        return dict(found)

    def _pages(self, operation: str, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        token: str | None = None
        try:
            while True:
                page = getattr(self._client, operation)(**arguments, **({"NextToken": token} if token else {}))
                yield page
                if not (token := page.get("NextToken")):
                    return
        except (BotoCoreError, ClientError) as error:
            raise MetricsUnavailable(f"{operation}: {error}") from error


def _metric(listed: Mapping[str, Any]) -> Metric:
    dimensions = sorted((one["Name"], one["Value"]) for one in listed.get("Dimensions") or ())
    return Metric(listed["Namespace"], listed["MetricName"], tuple(dimensions))


def _query(name: str, series: Series) -> dict[str, Any]:
    metric = {
        "Namespace": series.metric.namespace,
        "MetricName": series.metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in series.metric.dimensions],
    }
    seconds = int(_DAY.total_seconds())
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": seconds, "Stat": series.statistic}}


def _refuse_parts(statuses: Mapping[str, str], asked: int) -> None:
    """Raise if a result is still partial after the last page: its figures would be too low."""
    incomplete = sorted({status for status in statuses.values() if status != "Complete"})
    if incomplete or len(statuses) != asked:
        missing = asked - len(statuses)
        raise MetricsUnavailable(f"get_metric_data: {', '.join(incomplete) or f'no result for {missing} series'}")
