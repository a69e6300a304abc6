"""Metrics of weighted rows, for many weightings at once: with ones they are the metrics, with the counts of a bootstrap
its resamples. Sorting, binning and the losses of single rows are done once for all of them.

Every function takes weights as (weightings x rows) and answers one value a weighting; one that is not defined, as an
AUC of rows of one class, is NaN.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]

FLAGGED_SHARE: Final = 0.10
BINS: Final = 10
_CLOSEST: Final = 1e-6  # to 0 and 1, for logits
_AT_A_TIME: Final = 25  # weightings: their arrays stay within a processor's cache


class Ranking:
    """Rows in falling order of a score, those of the same score as one group: what AUC, AP and the flagged top need."""

    def __init__(self, truth: Flags, score: Floats) -> None:
        self._order = np.argsort(-score, kind="stable")
        ranked = score[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        self._truth = truth[self._order].astype(np.float64)

    def groups(self, weights: Floats) -> tuple[Floats, Floats]:
        """The weight of each group, and the part of it that is true."""
        ranked = weights[:, self._order]
        whole: Floats = np.add.reduceat(ranked, self._starts, axis=1)
        true: Floats = np.add.reduceat(ranked * self._truth, self._starts, axis=1)
        return whole, true


def auc(whole: Floats, true: Floats) -> Floats:
    """Area under the ROC curve of ranked groups: pairs in the right order, ties half."""
    false = whole - true
    below = false.sum(axis=1, keepdims=True) - false.cumsum(axis=1)
    pairs: Floats = (true * (below + false / 2)).sum(axis=1)
    return _ratio(pairs, true.sum(axis=1) * false.sum(axis=1))


def average_precision(whole: Floats, true: Floats) -> Floats:
    """Mean over the true rows of the precision at their place, as scikit-learn has it."""
    return _ratio((true * _ratio(true.cumsum(axis=1), whole.cumsum(axis=1), 0.0)).sum(axis=1), true.sum(axis=1))


def flagged(whole: Floats, true: Floats, share: float = FLAGGED_SHARE) -> tuple[Floats, Floats]:
    """Precision (PPV) and recall when the highest `share` is flagged; a tie at the limit counts by its mean."""
    limit = share * whole.sum(axis=1, keepdims=True)
    above = whole.cumsum(axis=1) - whole
    hits: Floats = (true * _ratio(np.clip(limit - above, 0, whole), whole, 0.0)).sum(axis=1)
    return _ratio(hits, limit[:, 0]), _ratio(hits, true.sum(axis=1))


def bins_of(probability: Floats) -> NDArray[np.intp]:
    """The bin (0 to `BINS` - 1) of each row, bins of about as many rows each, the same probability never in two."""
    return np.searchsorted(np.quantile(probability, np.arange(1, BINS) / BINS), probability, side="right")


def expected_calibration_error(weights: Floats, truth: Flags, probability: Floats) -> Floats:
    """Mean distance between the observed share and the mean probability of the bins (Naeini et al. 2015)."""
    gaps = np.zeros((len(truth), BINS))
    gaps[np.arange(len(truth)), bins_of(probability)] = truth - probability
    return _ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def recalibration(
    weights: Floats, truth: Flags, probability: Floats, start: tuple[float, float] = (0.0, 1.0), steps: int = 50
) -> tuple[Floats, Floats]:
    """Intercept and slope of the logistic regression of truth on the probability's logit, unpenalised (Cox 1958).

    Newton's method, no step longer than 1, so that rows which a threshold separates give a large slope and no overflow.
    """
    inside = np.clip(probability, _CLOSEST, 1 - _CLOSEST)
    logit = np.log(inside / (1 - inside))
    if np.ptp(logit) < _CLOSEST:  # rounding would make a slope of it
        undefined = np.full(len(weights), np.nan)
        return undefined, undefined
    powers = np.stack([np.ones_like(logit), logit, logit**2], axis=1)
    intercept, slope = (np.full(len(weights), value) for value in start)
    for _ in range(steps):
        fitted = 1 / (1 + np.exp(-np.clip(intercept[:, None] + slope[:, None] * logit, -50, 50)))
        gradient = (weights * (truth - fitted)) @ powers[:, :2]
        curvature = (weights * fitted * (1 - fitted)) @ powers
        determinant = curvature[:, 0] * curvature[:, 2] - curvature[:, 1] ** 2
        first = _ratio(curvature[:, 2] * gradient[:, 0] - curvature[:, 1] * gradient[:, 1], determinant)
        second = _ratio(curvature[:, 0] * gradient[:, 1] - curvature[:, 1] * gradient[:, 0], determinant)
        intercept, slope = intercept + np.clip(first, -1, 1), slope + np.clip(second, -1, 1)
        if not max(np.abs(first).max(), np.abs(second).max()) > 1e-10:
            break
    return intercept, slope


@dataclass(frozen=True, slots=True)
class Question:
    """A yes-or-no question about the rows: which are true, and the probability given."""

    truth: Flags
    probability: Floats
    ranking: Ranking
    start: tuple[float, float]  # of the recalibration: its result for the rows as they are

    @classmethod
    def of(cls, truth: Flags, probability: Floats) -> "Question":
        intercept, slope = recalibration(np.ones((1, len(truth))), truth, probability)
        start = (float(intercept[0]), float(slope[0]))
        return cls(truth, probability, Ranking(truth, probability), start)

    def row_losses(self) -> tuple[Floats, Floats]:
        """Each row's Brier score and log loss."""
        of_truth = np.where(self.truth, self.probability, 1 - self.probability)
        return (self.truth - self.probability) ** 2, -np.log(np.clip(of_truth, np.finfo(float).eps, 1))

    def calibration(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Intercept, slope and ECE. Three steps of Newton's lead from the rows as they are to any resample of them."""
        intercept, slope = recalibration(weights, self.truth, self.probability, self.start, steps=3)
        return intercept, slope, expected_calibration_error(weights, self.truth, self.probability)


class Measures:
    """All metrics of three-class probabilities, by the names that `evaluation` describes."""

    def __init__(self, target: Any, probabilities: Any, classes: Any) -> None:
        truth, shares = np.asarray(target), np.asarray(probabilities, dtype=np.float64)
        column = {name: shares[:, place] for place, name in enumerate(classes)}
        self._early = Question.of(truth == "<30", column["<30"])
        self._any = Question.of(truth != "NO", 1 - column["NO"])
        self._later = Ranking(truth == ">30", column[">30"])
        guess = shares.argmax(axis=1)
        place = np.searchsorted(np.asarray(classes), truth)
        of_truth = np.clip(shares[np.arange(len(truth)), place], np.finfo(float).eps, 1)
        self._rows = np.stack(
            [-np.log(of_truth), guess == place, *self._early.row_losses(), *self._any.row_losses()], axis=1
        )
        each = np.arange(len(classes))
        self._classes = [(place[:, None] == each), (guess[:, None] == each)]
        self.rows = len(truth)

    def of(self, weights: Floats) -> dict[str, Floats]:
        means = _ratio(weights @ self._rows, weights.sum(axis=1, keepdims=True)).T
        early, any_ = self._early.ranking.groups(weights), self._any.ranking.groups(weights)
        areas = [auc(*early), auc(*self._later.groups(weights)), auc(*any_)]  # any is NO turned round: the same area
        ppv, recall = flagged(*early)
        found = {"log_loss": means[0], "accuracy": means[1], "f1_macro": self._f1(weights)}
        found |= {"auc_macro_ovr": np.mean(areas, axis=0), "top10_ppv": ppv, "top10_recall": recall}
        for name, question, ranked, area, place in (
            ("early", self._early, early, areas[0], 2),
            ("any", self._any, any_, areas[2], 4),
        ):
            intercept, slope, ece = question.calibration(weights)
            found |= {
                f"auc_{name}": area,
                f"average_precision_{name}": average_precision(*ranked),
                f"brier_{name}": means[place],
                f"log_loss_{name}": means[place + 1],
                f"{name}_calibration_intercept": intercept,
                f"{name}_calibration_slope": slope,
                f"{name}_ece": ece,
            }
        return found

    def _f1(self, weights: Floats) -> Floats:
        """Mean over the classes; one that is neither there nor guessed is left out."""
        true, guessed = (flags.astype(np.float64) for flags in self._classes)
        both = weights @ (true * guessed)
        each = _ratio(2 * both, weights @ true + weights @ guessed)
        mean: Floats = np.nanmean(each, axis=1)
        return mean

    def resampled(self, patients: NDArray[np.int64], resamples: int, seed: int) -> dict[str, Floats]:
        """The metrics of `resamples` bootstrap samples of patients, each with all of a patient's rows."""
        chunks = [self.of(weights) for weights in _resamples(patients, resamples, seed)]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _resamples(patients: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """How often each row is in each sample: as often as its patient was drawn."""
    generator = np.random.default_rng(seed)
    known, patient_of_row = np.unique(patients, return_inverse=True)
    for done in range(0, resamples, _AT_A_TIME):
        drawn = generator.integers(len(known), size=(min(_AT_A_TIME, resamples - done), len(known)))
        counts = np.stack([np.bincount(sample, minlength=len(known)) for sample in drawn])
        yield counts[:, patient_of_row].astype(np.float64)


def _ratio(above: Floats, below: Floats, undefined: float = np.nan) -> Floats:
    """Division that is `undefined` where it would be by zero."""
    safe = np.where(below == 0, 1, below)
    quotient: Floats = np.where(below == 0, undefined, above / safe)
    return quotient
