"""Estimates what a month (30 days) of scrapes costs in CloudWatch, at the prices of us-east-1 and without free tiers.

GetMetricData is billed per metric requested, whatever the number of statistics; ListMetrics per call; and custom
metrics per month, prorated by the hours in which they have data.
"""

from dataclasses import dataclass
from typing import Final

from readmission.telemetry.exporter.catalog import Stack, expected, filters, found, versions
from readmission.telemetry.exporter.cloudwatch import CloudWatch, Metric
from readmission.telemetry.metrics import NAMESPACE

DOLLARS_PER_METRIC_REQUESTED: Final = 0.01 / 1000
DOLLARS_PER_CALL: Final = 0.01 / 1000
DOLLARS_PER_CUSTOM_METRIC: Final = 0.30
SECONDS_PER_MONTH: Final = 30 * 86_400
DAYS_PER_MONTH: Final = 30


@dataclass(frozen=True, slots=True)
class Month:
    """Counts of metrics with recent data, of our own among them, of all metrics, and of ListMetrics calls."""

    recent: int
    own: int
    whole: int
    lists: int
    seconds: float

    @property
    def scrapes(self) -> float:
        return SECONDS_PER_MONTH / self.seconds

    @property
    def reading(self) -> float:
        """Dollars for GetMetricData: every scrape requests the recent metrics, and one a day requests all."""
        return (self.scrapes * self.recent + DAYS_PER_MONTH * self.whole) * DOLLARS_PER_METRIC_REQUESTED

    @property
    def listing(self) -> float:
        """Dollars for ListMetrics."""
        return self.scrapes * self.lists * DOLLARS_PER_CALL

    @property
    def keeping(self) -> float:
        """Dollars for the custom metrics, which are due whether they are scraped or not."""
        return self.own * DOLLARS_PER_CUSTOM_METRIC

    def text(self) -> str:
        total = self.reading + self.listing + self.keeping
        return (
            f"A month (30 days) with a scrape every {self.seconds:g} s and today's metrics, on AWS in us-east-1:\n"
            f"{self.reading:9.2f} USD  GetMetricData: {self.scrapes:,.0f} scrapes x {self.recent} metrics with data in"
            f" the last hours, {DAYS_PER_MONTH} days x {self.whole} metrics, at 0.01 USD per 1000\n"
            f"{self.listing:9.2f} USD  ListMetrics: {self.scrapes:,.0f} scrapes x {self.lists} calls,"
            " at 0.01 USD per 1000\n"
            f"{self.keeping:9.2f} USD  custom metrics: {self.own} with data in the last hours, at 0.30 USD,"
            " scraped or not\n"
            f"{total:9.2f} USD  total, without Lambda and free tiers"
        )


def month(cloudwatch: CloudWatch, stack: Stack, seconds: float) -> Month:
    """The estimate for a scrape every `seconds`. Raises `MetricsUnavailable`."""
    wanted = tuple(filters(stack))
    listed = cloudwatch.metrics(wanted, recent=False)
    exported = _metrics(stack, listed)
    recent = cloudwatch.metrics(wanted, recent=True)
    own = {metric for metric in recent if metric.namespace == NAMESPACE}
    return Month(len(recent & exported), len(own), len(exported), len(wanted), seconds)


def _metrics(stack: Stack, listed: set[Metric]) -> set[Metric]:
    items = {*expected(stack, versions(listed)), *found(listed)}
    return {series.metric for item in items for series in item.series()}
