"""Where a patient's risk of an early readmission stands among those of the patients whom the model learned from."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, Literal

type Band = Literal["low", "moderate", "high", "very high"]

# From which percentile on. The highest is the tenth of the patients that is flagged.
BANDS: Final[tuple[tuple[float, Band], ...]] = ((90, "very high"), (80, "high"), (50, "moderate"), (0, "low"))


def place(quantiles: Sequence[float], probability: float) -> float:
    """The percentile, 0 to 100, of a probability among patients of these quantiles (ascending, evenly spaced).

    Between two quantiles it is interpolated; where several are equal to the probability it is their middle.
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
    """The name of the risk at this percentile."""
    return next(name for start, name in BANDS if percentile >= start)
