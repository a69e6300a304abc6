"""The statistics of a metric query."""

import re
from collections.abc import Callable, Mapping, Sequence

from localstack_plugin.cloudwatch.datapoints import Figures
from localstack_plugin.cloudwatch.errors import InvalidMetric

# Computed from a period's figures alone; percentiles need its values.
BASIC: Mapping[str, Callable[[Figures], float]] = {
    "SampleCount": lambda figures: figures.samples,
    "Sum": lambda figures: figures.total,
    "Average": lambda figures: figures.total / figures.samples,
    "Minimum": lambda figures: figures.minimum,
    "Maximum": lambda figures: figures.maximum,
}
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")


def percent_of(statistic: str) -> float:
    """99.9 for "p99.9"; raises InvalidMetric if the statistic is not a percentile."""
    if match := _PERCENTILE.fullmatch(statistic):
        return float(match[1])
    raise InvalidMetric(f"The statistic {statistic} is not supported.")


def percentile(percent: float, counted: Sequence[tuple[float, float]]) -> float:
    """The smallest value that at least `percent` of all values do not exceed.

    counted: (value, count), by ascending value.
    """
    wanted = percent / 100 * sum(count for _, count in counted)
    reached = 0.0
    for value, count in counted:
        reached += count
        # A small tolerance: 99.9 % of 1000 values are 999, whatever rounding makes of it.
        if reached >= wanted * (1 - 1e-12):
            return value
    return counted[-1][0]
