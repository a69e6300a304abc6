"""The percentile and the band of a risk of early readmission among the training patients."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, Literal

type Band = Literal["low", "moderate", "high", "very high"]

# The lowest percentile of each band. The highest band is the tenth of patients that is flagged.
BANDS: Final[tuple[tuple[float, Band], ...]] = ((90, "very high"), (80, "high"), (50, "moderate"), (0, "low"))


def percentile_of(quantiles: Sequence[float], probability: float) -> float:
    """The percentile, 0 to 100, of a probability in a distribution given by evenly spaced, ascending quantiles.

    It is interpolated between quantiles. If several quantiles equal the probability, it is the middle of them.
    """
    low, high = bisect_left(quantiles, probability), bisect_right(quantiles, probability)
    if low < high:
        position = (low + high - 1) / 2
    elif low in (0, len(quantiles)):
        position = float(min(low, len(quantiles) - 1))
    else:
        below, above = quantiles[low - 1], quantiles[low]
        position = low - 1 + (probability - below) / (above - below)
    return 100 * position / (len(quantiles) - 1)


def band(percentile: float) -> Band:
    """The band of this percentile."""
    return next(name for start, name in BANDS if percentile >= start)
