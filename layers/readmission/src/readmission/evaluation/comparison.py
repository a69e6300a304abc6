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

# A newer model may be this much worse in log loss, with 95 % confidence, and still take over: about a quarter of what
# the weakest family loses to the best. Between trainings of one recipe half an interval is about 0.0012, so that the
# loss itself may rise by less than 0.001 at a time.
MARGIN: Final = 0.002
# Outside these, a probability cannot be taken at its word. By chance alone (95 %) the slope of a perfect model lies
# between 0.87 and 1.17 with 500 early readmissions of 4,500 rows, and its error below 0.017; with 330 of 3,000 that
# reaches 0.021, and with 200 of 1,800 0.027, the slope 0.76 to 1.25: then they do not count.
SLOPES: Final = (0.8, 1.25)
LARGEST_ECE: Final = 0.02
ENOUGH_EARLY: Final = 500
# A subgroup may not lose this much AUC with its interval wholly below 0. It takes both: of 90 pairs of models of one
# recipe on the real data, 26 had one of 11 subgroups that lost as much, 23 one whose interval lay below 0, and 2 both.
# An interval widened for the number of subgroups would refuse none, and overlook a loss of 0.14 in 286 rows. Subgroups
# smaller than these have too wide an interval to say anything.
SUBGROUP_LOSS: Final = 0.03
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


def objections(comparison: Comparison, newer: bool) -> list[str]:
    """Why the challenger should not take over, by comparison; none when it may. A figure that is not there objects."""
    found = []
    loss = comparison.log_loss
    if not loss.high <= MARGIN:
        found.append(f"test log loss {loss} against it may be worse by more than {MARGIN}")
    elif not newer and not loss.high < 0:
        found.append(f"test log loss {loss} against it is not better, and its training is not the newer one")
    for name, difference in comparison.subgroups.items():
        if difference.value < -SUBGROUP_LOSS and difference.high < 0:
            found.append(f"AUC of early readmission in the subgroup {name} {difference}")
    return found


def miscalibration(calibration: Calibration, early: int) -> list[str]:
    """Why the probabilities cannot be taken at their word; none with too few early readmissions to tell."""
    if early < ENOUGH_EARLY:
        return []
    found = []
    if not SLOPES[0] <= calibration.slope <= SLOPES[1]:
        found.append(f"calibration slope {calibration.slope:.2f} is not from {SLOPES[0]} to {SLOPES[1]}")
    if not calibration.ece <= LARGEST_ECE:
        found.append(f"calibration error {calibration.ece:.3f} is above {LARGEST_ECE}")
    return found


def calibration_text(calibration: Calibration, early: int) -> str:
    """The calibration as a part of the reason, and whether it counted."""
    text = f"calibration slope {calibration.slope:.2f}, error {calibration.ece:.3f}"
    return text if early >= ENOUGH_EARLY else f"{text} (not decisive with {early} early readmissions)"


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
