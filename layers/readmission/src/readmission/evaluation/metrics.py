"""The metrics of three-class probabilities, with bootstrap intervals over patients.

Each model is evaluated on three targets: *early* is a readmission within 30 days against the rest, *any* is any
readmission against none, and the third is all three classes. Larger is better except for losses, Brier scores and
calibration errors; a calibration slope is best at 1 and an intercept at 0. *top10* flags the tenth of the rows with the
highest probability of an early readmission.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation import bootstrap
from readmission.evaluation.arrays import Flags, Floats, ratio
from readmission.evaluation.calibration import expected_calibration_error, recalibration
from readmission.evaluation.ranking import Ranking, auc, average_precision, flagged

RESAMPLES: Final = 500
_LEAST: Final = float(np.finfo(np.float64).eps)  # a probability of 0 counts as this one, so that no loss is infinite


def compute_metrics(target: Sequence[str], probabilities: Any, classes: Sequence[str]) -> dict[str, float]:
    """All metrics of three-class `probabilities` (rows x classes, in the order of `classes`)."""
    return BootstrapMetrics(target, probabilities, classes).unweighted()


def compute_intervals(
    target: Sequence[str],
    probabilities: Any,
    classes: Sequence[str],
    patients: NDArray[np.int64],
    resamples: int = RESAMPLES,
    seed: int = bootstrap.SEED,
) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals of `compute_metrics`, resampling patients (one number per row).

    A calibration error counts the noise in its bins as error, and a resample has more noise than the rows themselves.
    Its interval is therefore shifted by the difference of the means, but not below 0.
    """
    metrics = BootstrapMetrics(target, probabilities, classes)
    point = metrics.unweighted()
    intervals = {}
    for name, values in metrics.resampled(patients, resamples, seed).items():
        defined = values[np.isfinite(values)]
        if name.endswith("_ece") and len(defined):
            defined = np.maximum(defined - defined.mean() + point[name], 0)
        intervals[name] = bootstrap.interval(defined)
    return intervals


def class_indices(target: Any, classes: Sequence[str]) -> NDArray[np.intp]:
    """The index in `classes` of each row's true class."""
    return np.argmax(np.asarray(target)[:, None] == np.asarray(classes), axis=1)


def row_losses(target: Any, probabilities: Floats, classes: Sequence[str]) -> Floats:
    """The log loss of each row, from probabilities (rows x classes)."""
    return _log_losses(probabilities[np.arange(len(target)), class_indices(target, classes)])


def _log_losses(of_truth: Floats) -> Floats:
    return np.asarray(-np.log(np.clip(of_truth, _LEAST, 1)))


@dataclass(frozen=True, slots=True)
class _BinaryTarget:
    """A yes-or-no target: the truth and the probability of each row."""

    truth: Flags
    probability: Floats
    ranking: Ranking
    start: tuple[float, float]  # intercept and slope of the recalibration of the unweighted rows

    @classmethod
    def create(cls, truth: Flags, probability: Floats) -> "_BinaryTarget":
        intercept, slope = recalibration(np.ones((1, len(truth))), truth, probability)
        start = (float(intercept[0]), float(slope[0]))
        return cls(truth, probability, Ranking(truth, probability), start)

    def row_losses(self) -> tuple[Floats, Floats]:
        """The Brier score and the log loss of each row."""
        of_truth = np.where(self.truth, self.probability, 1 - self.probability)
        return (self.truth - self.probability) ** 2, _log_losses(of_truth)

    def calibration(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Intercept, slope and ECE. Starting from the unweighted rows, three Newton steps converge for any resample."""
        intercept, slope = recalibration(weights, self.truth, self.probability, self.start, steps=3)
        return intercept, slope, expected_calibration_error(weights, self.truth, self.probability)


class BootstrapMetrics:
    """All metrics of three-class probabilities for many weightings of the rows at once.

    Weights of 1 give the metrics; the counts of a bootstrap give its resamples. Sorting, binning and the losses of
    single rows are done only once.
    """

    def __init__(self, target: Sequence[str], probabilities: Any, classes: Sequence[str]) -> None:
        truth, shares = np.asarray(target), np.asarray(probabilities, dtype=np.float64)
        column = {name: shares[:, index] for index, name in enumerate(classes)}
        self._early = _BinaryTarget.create(truth == "<30", column["<30"])
        self._any = _BinaryTarget.create(truth != "NO", 1 - column["NO"])
        self._later = Ranking(truth == ">30", column[">30"])
        guess, actual = shares.argmax(axis=1), class_indices(truth, classes)
        losses = row_losses(truth, shares, classes)
        self._rows = np.stack([losses, guess == actual, *self._early.row_losses(), *self._any.row_losses()], axis=1)
        each = np.arange(len(classes))
        self._actual = (actual[:, None] == each).astype(np.float64)
        self._guessed = (guess[:, None] == each).astype(np.float64)

    def unweighted(self) -> dict[str, float]:
        """The metrics of the rows themselves."""
        return {name: float(values[0]) for name, values in self.weighted(np.ones((1, len(self._rows)))).items()}

    def resampled(self, patients: NDArray[np.int64], resamples: int, seed: int) -> dict[str, Floats]:
        """The metrics of `resamples` bootstrap samples of patients, each with all rows of a drawn patient."""
        known, patient_of_row = np.unique(patients, return_inverse=True)
        chunks = [
            self.weighted(counts[:, patient_of_row]) for counts in bootstrap.patient_counts(len(known), resamples, seed)
        ]
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}

    def weighted(self, weights: Floats) -> dict[str, Floats]:
        """The metrics for each weighting (weightings x rows)."""
        loss, accuracy, *binary_losses = ratio(weights @ self._rows, weights.sum(axis=1, keepdims=True)).T
        early, any_ = self._early.ranking.groups(weights), self._any.ranking.groups(weights)
        # The AUC of "any" is also that of the class NO, whose probability ranks the rows in reverse.
        areas = [auc(*early), self._later.auc(weights), auc(*any_)]
        ppv, recall = flagged(*early)
        found = {"log_loss": loss, "accuracy": accuracy, "f1_macro": self._f1(weights)}
        found |= {"auc_macro_ovr": np.mean(areas, axis=0), "top10_ppv": ppv, "top10_recall": recall}
        for name, binary, groups, area, (brier, log_loss) in (
            ("early", self._early, early, areas[0], binary_losses[:2]),
            ("any", self._any, any_, areas[2], binary_losses[2:]),
        ):
            intercept, slope, ece = binary.calibration(weights)
            found |= {
                f"auc_{name}": area,
                f"average_precision_{name}": average_precision(*groups),
                f"brier_{name}": brier,
                f"log_loss_{name}": log_loss,
                f"{name}_calibration_intercept": intercept,
                f"{name}_calibration_slope": slope,
                f"{name}_ece": ece,
            }
        return found

    def _f1(self, weights: Floats) -> Floats:
        """The mean over the classes, without those that neither occur nor are guessed."""
        both = weights @ (self._actual * self._guessed)
        each = ratio(2 * both, weights @ self._actual + weights @ self._guessed)
        mean: Floats = np.nanmean(each, axis=1)
        return mean
