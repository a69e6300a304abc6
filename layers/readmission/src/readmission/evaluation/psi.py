"""The population stability index (PSI): how far the values of some rows are from those of other rows.

With the share `r` of the reference rows and the share `a` of the actual rows in each bin, the index is the sum over the
bins of `(a - r) * ln(a / r)`: 0 for equal shares; from 0.2 on, the change is commonly called large. A bin that one side
leaves empty counts as half a row there, because the logarithm of 0 is not a number.

Numbers have the reference's deciles as bins, of which the outer ones are open; each category is a bin of its own.
"""

from statistics import NormalDist
from typing import Final

import numpy as np

from readmission.evaluation.arrays import Floats

_DECILES: Final = np.arange(1, 10) / 10
_LEAST: Final = 0.5  # rows in an empty bin
# One in 20,000: a run compares some 80 inputs in each of a dozen windows.
_Z: Final = NormalDist().inv_cdf(1 - 1 / 20_000)


def edges_of(values: Floats) -> Floats:
    """The inner edges of the bins for these reference values: their distinct deciles, at most nine.

    A number with few values, such as a count that is 0 in most rows, has fewer bins. There are no edges without values.
    """
    if not len(values):
        return np.empty(0)
    edges: Floats = np.unique(np.quantile(values, _DECILES))
    return edges[edges < values.max()]  # above the largest value, the reference would have no rows


def counts_of(values: Floats, edges: Floats) -> Floats:
    """The number of values in each of the `len(edges) + 1` bins. A value at an edge belongs to the bin below it."""
    bins = np.searchsorted(edges, values, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)


def index(reference: Floats, actual: Floats) -> float:
    """The index, from the number of rows of both in the same bins; 0 if either has no rows."""
    if not reference.sum() or not actual.sum():
        return 0.0
    used = (reference > 0) | (actual > 0)
    before, now = (np.maximum(counts[used], min(_LEAST, counts.sum())) / counts.sum() for counts in (reference, actual))
    return float(((now - before) * np.log(now / before)).sum())


def chance(bins: int, reference_rows: float, actual_rows: float) -> float:
    """How large the index gets by chance alone, once in 20,000 comparisons of rows of the same population.

    With `bins` bins, the index times `1 / (1/n + 1/m)` is about chi-square distributed with `bins - 1` degrees of
    freedom; the quantile is Wilson's and Hilferty's.
    """
    free = bins - 1
    if free < 1:
        return 0.0
    spread = 2 / (9 * free)
    quantile = free * (1 - spread + _Z * spread**0.5) ** 3
    return float(quantile * (1 / reference_rows + 1 / actual_rows))
