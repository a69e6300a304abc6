"""Calibration of one probability: logistic recalibration and expected calibration error, for many weightings at once.

`weights` is weightings x rows. Each function returns one value per weighting, NaN where it is undefined.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation.arrays import Flags, Floats, ratio

BINS: Final = 10
_CLOSEST: Final = 1e-6  # distance from 0 and 1 to which probabilities are clipped before taking the logit


class Calibration(NamedTuple):
    """Slope and intercept of the logistic recalibration (1 and 0 are ideal), and the expected error over 10 bins."""

    slope: float
    intercept: float
    ece: float


def calibration_of(truth: Flags, probability: Floats) -> Calibration:
    """The calibration of one probability (rows); slope and intercept are NaN if all probabilities are equal."""
    weights = np.ones((1, len(truth)))
    intercept, slope = recalibration(weights, truth, probability)
    ece = expected_calibration_error(weights, truth, probability)
    return Calibration(float(slope[0]), float(intercept[0]), float(ece[0]))


def bins_of(probability: Floats) -> NDArray[np.intp]:
    """The bin of each row, from 0 to `BINS` - 1. Bins hold about equally many rows; equal probabilities share one."""
    return np.searchsorted(np.quantile(probability, np.arange(1, BINS) / BINS), probability, side="right")


def expected_calibration_error(weights: Floats, truth: Flags, probability: Floats) -> Floats:
    """The mean distance between observed share and mean probability over the bins (Naeini et al. 2015)."""
    gaps = np.zeros((len(truth), BINS))
    gaps[np.arange(len(truth)), bins_of(probability)] = truth - probability
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def recalibration(
    weights: Floats, truth: Flags, probability: Floats, start: tuple[float, float] = (0.0, 1.0), steps: int = 50
) -> tuple[Floats, Floats]:
    """Intercept and slope of an unpenalised logistic regression of truth on the probability's logit (Cox 1958).

    Uses Newton's method with steps of at most 1: if a threshold separates the classes, the slope becomes large but
    does not overflow. `start` is the intercept and slope to begin with.
    """
    clipped = np.clip(probability, _CLOSEST, 1 - _CLOSEST)
    logit = np.log(clipped / (1 - clipped))
    if np.ptp(logit) < _CLOSEST:  # the slope would be fitted to rounding errors
        undefined = np.full(len(weights), np.nan)
        return undefined, undefined
    powers = np.stack([np.ones_like(logit), logit, logit**2], axis=1)
    intercept, slope = (np.full(len(weights), value) for value in start)
    for _ in range(steps):
        fitted = 1 / (1 + np.exp(-np.clip(intercept[:, None] + slope[:, None] * logit, -50, 50)))
        gradient = (weights * (truth - fitted)) @ powers[:, :2]
        curvature = (weights * fitted * (1 - fitted)) @ powers
        determinant = curvature[:, 0] * curvature[:, 2] - curvature[:, 1] ** 2
        first = ratio(curvature[:, 2] * gradient[:, 0] - curvature[:, 1] * gradient[:, 1], determinant)
        second = ratio(curvature[:, 0] * gradient[:, 1] - curvature[:, 1] * gradient[:, 0], determinant)
        intercept, slope = intercept + np.clip(first, -1, 1), slope + np.clip(second, -1, 1)
        if not max(np.abs(first).max(), np.abs(second).max()) > 1e-10:
            break
    return intercept, slope
