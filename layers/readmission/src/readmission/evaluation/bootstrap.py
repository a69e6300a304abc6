"""The patient bootstrap: resamples and percentile intervals.

The encounters of one patient are correlated, so whole patients are drawn; drawing rows would make the intervals too
narrow. The seed is fixed: the same data give the same interval, and the same decision.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from readmission.evaluation.arrays import Floats

SEED: Final = 42
_CHUNK: Final = 25  # resamples per array, so that the arrays fit in the processor's cache


def patient_counts(patients: int, resamples: int, seed: int = SEED) -> Iterator[Floats]:
    """Yield how often each patient is drawn in each resample, in arrays of at most 25 resamples x `patients`."""
    generator = np.random.default_rng(seed)
    for done in range(0, resamples, _CHUNK):
        drawn = generator.integers(patients, size=(min(_CHUNK, resamples - done), patients))
        yield np.stack([np.bincount(sample, minlength=patients) for sample in drawn]).astype(np.float64)


def interval(values: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of a figure over its resamples.

    Resamples in which the figure is undefined (an AUC without any early readmission) are left out; both ends are NaN
    if none is left.
    """
    defined = values[np.isfinite(values)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
