"""Compares a challenger with an incumbent on the same rows by a paired bootstrap over patients.

One set of resamples serves every figure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.evaluation import bootstrap
from readmission.evaluation.arrays import Flags, Floats, json_value
from readmission.evaluation.calibration import Calibration
from readmission.evaluation.metrics import row_losses
from readmission.evaluation.ranking import Ranking

RESAMPLES: Final = 2000
# Smaller subgroups have intervals too wide to say anything.
SUBGROUP_ROWS: Final = 200
SUBGROUP_EARLY: Final = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """Challenger minus incumbent, with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that both models forecast: true class, patient number and subgroups (rows x attributes)."""

    target: NDArray[np.str_]
    patients: NDArray[np.int64]
    groups: pd.DataFrame

    @property
    def early(self) -> Flags:
        return np.asarray(self.target == "<30")


@dataclass(frozen=True, slots=True)
class Figures:
    """One model's three-class log loss, and the AUC and calibration of its early-readmission probability."""

    log_loss: float
    auc_early: float
    calibration: Calibration

    def as_json(self) -> dict[str, float | None]:
        found = {"log_loss": self.log_loss, "auc_early": self.auc_early}
        found |= {f"early_calibration_{name}": getattr(self.calibration, name) for name in ("slope", "intercept")}
        return {name: json_value(value) for name, value in (found | {"early_ece": self.calibration.ece}).items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences in three-class log loss (lower is better), early-readmission AUC, and that AUC by subgroup."""

    log_loss: Difference
    auc_early: Difference
    subgroups: dict[str, Difference]

    def as_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = json_value(asdict(self))
        return plain


def figures(rows: Rows, probabilities: Floats, classes: Sequence[str], calibration: Calibration) -> Figures:
    """One model's figures from its probabilities (rows x classes); `calibration` is that of early readmission."""
    ranking = Ranking(rows.early, probabilities[:, list(classes).index("<30")])
    auc = ranking.auc(np.ones((1, len(rows.target))))
    return Figures(float(row_losses(rows.target, probabilities, classes).mean()), float(auc[0]), calibration)


def compare(rows: Rows, challenger: Floats, incumbent: Floats, classes: Sequence[str]) -> Comparison:
    """Compare both models' probabilities (rows x classes, in the order of `classes`) of the same rows."""
    known, patient_of_row = np.unique(rows.patients, return_inverse=True)
    losses = row_losses(rows.target, challenger, classes) - row_losses(rows.target, incumbent, classes)
    loss, count = np.bincount(patient_of_row, losses), np.bincount(patient_of_row).astype(float)
    column = list(classes).index("<30")
    pair = challenger[:, column], incumbent[:, column]
    subgroups = dict(_subgroups(rows))
    everyone = np.ones(len(losses), dtype=bool)
    areas = [_AucPair(rows, patient_of_row, pair, members) for members in (everyone, *subgroups.values())]
    losses_resampled, areas_resampled = [], []
    for counts in bootstrap.patient_counts(len(known), RESAMPLES):
        losses_resampled.append((counts @ loss) / (counts @ count))
        areas_resampled.append([area.difference(counts) for area in areas])
    once = np.ones((1, len(known)))
    differences = [
        _difference(float(area.difference(once)[0]), resampled)
        for area, resampled in zip(areas, np.concatenate(areas_resampled, axis=1), strict=True)
    ]
    return Comparison(
        log_loss=_difference(float(losses.mean()), np.concatenate(losses_resampled)),
        auc_early=differences[0],
        subgroups=dict(zip(subgroups, differences[1:], strict=True)),
    )


def loss_difference(
    target: NDArray[np.str_],
    patients: NDArray[Any],
    challenger: Floats,
    incumbent: Floats,
    classes: Sequence[str],
) -> Difference:
    """The difference in log loss of both models' probabilities of the same rows; `patients` are their patients."""
    known, patient_of_row = np.unique(patients, return_inverse=True)
    losses = row_losses(target, challenger, classes) - row_losses(target, incumbent, classes)
    loss, count = np.bincount(patient_of_row, losses), np.bincount(patient_of_row).astype(float)
    resampled = [(counts @ loss) / (counts @ count) for counts in bootstrap.patient_counts(len(known), RESAMPLES)]
    return _difference(float(losses.mean()), np.concatenate(resampled))


def _subgroups(rows: Rows) -> Iterator[tuple[str, Flags]]:
    for group in rows.groups:
        for value in sorted(rows.groups[group].unique()):
            members = (rows.groups[group] == value).to_numpy()
            early = int(rows.early[members].sum())
            if members.sum() >= SUBGROUP_ROWS and SUBGROUP_EARLY <= early < members.sum():
                yield f"{group} {value}", members


class _AucPair:
    """The AUC of both models among some of the rows."""

    def __init__(
        self, rows: Rows, patient_of_row: NDArray[np.intp], pair: tuple[Floats, Floats], members: Flags
    ) -> None:
        self._pair = [Ranking(rows.early[members], score[members], patient_of_row[members]) for score in pair]

    def difference(self, counts: Floats) -> Floats:
        """The difference in each resample (resamples x patients); NaN in one without either class."""
        challenger, incumbent = (ranking.auc(counts) for ranking in self._pair)
        return np.asarray(challenger - incumbent)


def _difference(value: float, resampled: Floats) -> Difference:
    return Difference(value, *bootstrap.interval(resampled))
