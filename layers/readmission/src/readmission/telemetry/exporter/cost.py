"""What CloudWatch costs on AWS for a month (30 days) of scrapes: an estimate by the prices of us-east-1.

GetMetricData is billed by the metrics it is asked for, whatever number of statistics of them; ListMetrics by the call;
the project's own metrics by the month, each hour of it in which they have data. Free tiers are not taken off.
"""

from dataclasses import dataclass
from typing import Final

from readmission.telemetry.exporter.catalog import Stack, expected, filters, found, versions
from readmission.telemetry.exporter.cloudwatch import CloudWatch, Metric
from readmission.telemetry.metrics import NAMESPACE

DOLLARS_A_METRIC_ASKED: Final = 0.01 / 1000
DOLLARS_A_CALL: Final = 0.01 / 1000
DOLLARS_A_CUSTOM_METRIC: Final = 0.30
SECONDS_A_MONTH: Final = 30 * 86_400
DAYS_A_MONTH: Final = 30


@dataclass(frozen=True, slots=True)
class Month:
    """Counted now: metrics with recent data (of them our own), metrics of a whole look, calls to list; and seconds."""

    recent: int
    own: int
    whole: int
    lists: int
    seconds: float

    @property
    def scrapes(self) -> float:
        return SECONDS_A_MONTH / self.seconds

    @property
    def reading(self) -> float:
        """Dollars of GetMetricData: each scrape asks for the recent metrics, and one a day for all."""
        return (self.scrapes * self.recent + DAYS_A_MONTH * self.whole) * DOLLARS_A_METRIC_ASKED

    @property
    def listing(self) -> float:
        """Dollars of ListMetrics."""
        return self.scrapes * self.lists * DOLLARS_A_CALL

    @property
    def keeping(self) -> float:
        """Dollars of the custom metrics, which fall due whether anybody reads them or not."""
        return self.own * DOLLARS_A_CUSTOM_METRIC

    def text(self) -> str:
        total = self.reading + self.listing + self.keeping
        return (
            f"A month (30 days) of a scrape every {self.seconds:g} s, as CloudWatch stands now, on AWS in us-east-1:\n"
            f"{self.reading:9.2f} USD  GetMetricData: {self.scrapes:,.0f} scrapes x {self.recent} metrics with data in"
            f" the last hours, {DAYS_A_MONTH} days x {self.whole} metrics, at 0.01 USD per 1000\n"
            f"{self.listing:9.2f} USD  ListMetrics: {self.scrapes:,.0f} scrapes x {self.lists} calls,"
            " at 0.01 USD per 1000\n"
            f"{self.keeping:9.2f} USD  custom metrics: {self.own} with data in the last hours, at 0.30 USD,"
            " scraped or not\n"
            f"{total:9.2f} USD  together, without Lambda and without free tiers"
        )


def month(cloudwatch: CloudWatch, stack: Stack, seconds: float) -> Month:
    """Counts. Raises `MetricsUnavailable`."""
    wanted = tuple(filters(stack))
    listed = cloudwatch.metrics(wanted, recent=False)
    exported = _metrics(stack, listed)
    recent = cloudwatch.metrics(wanted, recent=True)
    own = {metric for metric in recent if metric.namespace == NAMESPACE}
    return Month(len(recent & exported), len(own), len(exported), len(wanted), seconds)


def _metrics(stack: Stack, listed: set[Metric]) -> set[Metric]:
    items = {*expected(stack, versions(listed)), *found(listed)}
    return {series.metric for item in items for series in item.series()}
