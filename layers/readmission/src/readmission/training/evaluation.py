"""How good the probabilities are: metrics of one split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)

SELECTION: Final = "log_loss"  # what chooses between models: a proper score of all three probabilities
_FLAGGED: Final = 0.1  # the operating point: the tenth with the highest risk gets the attention
_BINS: Final = 10
_EDGE: Final = 1e-6  # keeps the logit of a probability of 0 or 1 finite


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be taken at their word: slope 1, intercept 0 and ECE 0 when they can."""

    slope: float
    intercept: float
    ece: float


def metrics(target: Sequence[str], probabilities: Any, classes: Sequence[str]) -> dict[str, float]:
    """Metrics of three-class `probabilities` (rows x classes, in the order of `classes`, which is sorted).

    `early` is <30 days against the rest, `any` is any readmission against none; `top10` flags the tenth of the rows
    with the highest risk of an early one.
    """
    truth = np.asarray(target)
    shares = np.asarray(probabilities)
    column = {name: shares[:, place] for place, name in enumerate(classes)}
    guess = np.asarray(classes)[shares.argmax(axis=1)]
    early, risk = truth == "<30", column["<30"]
    any_, any_risk = truth != "NO", 1 - column["NO"]
    calibrated = calibration(early, risk)
    flagged = np.argsort(-risk, kind="stable")[: max(1, round(_FLAGGED * len(risk)))]
    return {
        "log_loss": float(log_loss(truth, shares, labels=list(classes))),
        "accuracy": float(accuracy_score(truth, guess)),
        "f1_macro": float(f1_score(truth, guess, average="macro", zero_division=0)),
        "auc_macro_ovr": float(roc_auc_score(truth, shares, multi_class="ovr", labels=list(classes))),
        "auc_early": float(roc_auc_score(early, risk)),
        "average_precision_early": float(average_precision_score(early, risk)),
        "brier_early": float(brier_score_loss(early, risk)),
        "calibration_slope_early": calibrated.slope,
        "calibration_intercept_early": calibrated.intercept,
        "ece_early": calibrated.ece,
        "top10_ppv_early": float(early[flagged].mean()),
        "top10_recall_early": float(early[flagged].sum() / early.sum()),
        "auc_any": float(roc_auc_score(any_, any_risk)),
        "average_precision_any": float(average_precision_score(any_, any_risk)),
        "brier_any": float(brier_score_loss(any_, any_risk)),
    }


def calibration(truth: NDArray[np.bool_], probability: NDArray[np.float64]) -> Calibration:
    """Slope and intercept of the logistic recalibration, and the expected calibration error over ten equal bins."""
    clipped = np.clip(probability, _EDGE, 1 - _EDGE)
    logit = np.log(clipped / (1 - clipped)).reshape(-1, 1)
    fitted = LogisticRegression(C=np.inf).fit(logit, truth)
    bins = np.array_split(np.argsort(probability, kind="stable"), _BINS)
    gaps = [len(rows) * abs(truth[rows].mean() - probability[rows].mean()) for rows in bins if len(rows)]
    return Calibration(
        slope=float(fitted.coef_[0, 0]), intercept=float(fitted.intercept_[0]), ece=float(sum(gaps) / len(truth))
    )
