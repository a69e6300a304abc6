"""How good some forecasts of early readmission are, measured by their labels: four figures with intervals.

- `auc_early`: the area under the ROC curve.
- `log_loss`: the mean of `-ln` of the probability given to what happened: readmission within 30 days, or not.
- `calibration_error_early`: the mean distance between observed share and mean probability over ten bins.
- `top_decile_precision`: the share of early readmissions among the tenth of the rows with the highest forecasts.

All four are about the question "within 30 days?", because that is the label which is known a month after discharge.
`readmission.evaluation.cbpe` estimates the same figures without labels.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation import bootstrap
from readmission.evaluation.arrays import Flags, Floats
from readmission.evaluation.calibration import expected_calibration_error
from readmission.evaluation.ranking import Ranking, auc, flagged

METRICS: Final = ("auc_early", "log_loss", "calibration_error_early", "top_decile_precision")
_RESAMPLES: Final = 200
_LEAST: Final = float(np.finfo(np.float64).eps)


class Figure(NamedTuple):
    """A figure and its interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | None]:
        """The three numbers by name; None for NaN."""
        return {name: None if math.isnan(value) else round(value, 6) for name, value in self._asdict().items()}


def losses(probability: Floats) -> tuple[Floats, Floats]:
    """The log loss of each row if it is, and if it is not, an early readmission."""
    clipped = np.clip(probability, _LEAST, 1 - _LEAST)
    return -np.log(clipped), -np.log1p(-clipped)


def realised(
    truth: Flags, probability: Floats, patients: NDArray[np.int64], resamples: int = _RESAMPLES
) -> dict[str, Figure]:
    """The figures of some rows, with 95 % bootstrap intervals over patients; each array has one entry per row.

    A resample has more noise in its bins than the rows themselves, which a calibration error counts as error. Its
    interval is therefore moved by the difference of the means, but not below 0.
    """
    _, patient_of_row = np.unique(patients, return_inverse=True)
    ranking = Ranking(truth, probability)
    if_early, if_not = losses(probability)
    loss = np.where(truth, if_early, if_not)

    def weighted(weights: Floats) -> dict[str, Floats]:
        groups = ranking.groups(weights)
        return {
            "auc_early": auc(*groups),
            "log_loss": weights @ loss / weights.sum(axis=1),
            "calibration_error_early": expected_calibration_error(weights, truth, probability),
            "top_decile_precision": flagged(*groups)[0],
        }

    point = {name: float(values[0]) for name, values in weighted(np.ones((1, len(truth)))).items()}
    chunks = [
        weighted(counts[:, patient_of_row])
        for counts in bootstrap.patient_counts(int(patient_of_row.max()) + 1, resamples)
    ]
    drawn = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS}
    error = drawn["calibration_error_early"]
    drawn["calibration_error_early"] = np.maximum(error - error.mean() + point["calibration_error_early"], 0)
    return {name: Figure(point[name], *bootstrap.interval(drawn[name])) for name in METRICS}
