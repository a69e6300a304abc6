"""Challenger against incumbent on the same rows: a paired bootstrap over patients, and the rule that decides.

Patients are drawn, not rows: the encounters of one patient are alike, and rows would make the intervals too narrow.
The seed is fixed, so that the same data give the same decision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.training.evaluation import Calibration

type Floats = NDArray[np.float64]

RESAMPLES: Final = 1000
_SEED: Final = 42
_CHUNK: Final = 50  # resamples at a time: 50 x 15,000 rows of float64 are 6 MB

# A newer model may be this much worse in log loss, with 95 % confidence, and still take over: a tenth of what the
# weakest family loses to the best.
MARGIN: Final = 0.002
# Outside these, a probability cannot be taken at its word; looked at where there are enough early readmissions.
SLOPES: Final = (0.8, 1.25)
LARGEST_ECE: Final = 0.02
ENOUGH_EARLY: Final = 200
# A subgroup may not lose this much AUC with 95 % confidence; smaller ones than these say nothing either way.
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
    """What both models are asked about: truth (rows), patients (rows) and groups (rows x texts)."""

    target: NDArray[np.str_]
    patients: NDArray[np.int64]
    groups: pd.DataFrame

    @property
    def early(self) -> NDArray[np.bool_]:
        return self.target == "<30"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Log loss of three classes (lower is better), AUC of early readmission, and that AUC in each subgroup."""

    log_loss: Difference
    auc_early: Difference
    subgroups: dict[str, Difference]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(rows: Rows, challenger: Floats, incumbent: Floats, classes: Sequence[str]) -> Comparison:
    """Both models' probabilities (rows x classes, in the order of `classes`) on the same rows."""
    column = list(classes).index("<30")
    pair = challenger[:, column], incumbent[:, column]
    everyone = np.ones(len(rows.target), dtype=bool)
    return Comparison(
        log_loss=_log_loss_difference(rows, challenger, incumbent, classes),
        auc_early=_auc_difference(rows, *pair, everyone),
        subgroups={name: _auc_difference(rows, *pair, members) for name, members in _subgroups(rows)},
    )


def objections(comparison: Comparison) -> list[str]:
    """Why the challenger should not take over, by comparison; none when it may."""
    found = []
    loss = comparison.log_loss
    if loss.high > MARGIN:
        found.append(f"test log loss {loss} against it may be worse by more than {MARGIN}")
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
    if calibration.ece > LARGEST_ECE:
        found.append(f"calibration error {calibration.ece:.3f} is above {LARGEST_ECE}")
    return found


def _subgroups(rows: Rows) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for group in rows.groups:
        for value in sorted(rows.groups[group].unique()):
            members = (rows.groups[group] == value).to_numpy()
            early = int(rows.early[members].sum())
            if members.sum() >= SUBGROUP_ROWS and SUBGROUP_EARLY <= early < members.sum():
                yield f"{group} {value}", members


def _log_loss_difference(rows: Rows, challenger: Floats, incumbent: Floats, classes: Sequence[str]) -> Difference:
    place = np.searchsorted(np.asarray(classes), rows.target)
    each = np.arange(len(place))
    with np.errstate(divide="ignore"):
        losses = np.log(incumbent[each, place]) - np.log(challenger[each, place])
    _, patient = np.unique(rows.patients, return_inverse=True)
    total, count = np.bincount(patient, losses), np.bincount(patient).astype(float)
    drawn = [(weights @ total) / (weights @ count) for weights in _resamples(len(total))]
    return _difference(float(losses.mean()), np.concatenate(drawn))


def _auc_difference(rows: Rows, challenger: Floats, incumbent: Floats, members: NDArray[np.bool_]) -> Difference:
    truth = rows.early[members]
    _, patient = np.unique(rows.patients[members], return_inverse=True)
    ranked = [_Ranked(truth, scores[members]) for scores in (challenger, incumbent)]

    def differences(weights: Floats) -> Floats:
        first, second = (one.auc(weights[:, patient]) for one in ranked)
        return first - second

    value = differences(np.ones((1, int(patient.max()) + 1)))[0]
    drawn = np.concatenate([differences(weights) for weights in _resamples(int(patient.max()) + 1)])
    # A draw without any early readmission has no AUC.
    return _difference(float(value), drawn[np.isfinite(drawn)])


class _Ranked:
    """Scores sorted once, for the AUC under many weightings of the rows."""

    def __init__(self, truth: NDArray[np.bool_], scores: Floats) -> None:
        self._order = np.argsort(scores, kind="stable")
        self._truth = truth[self._order]
        self._starts = np.flatnonzero(np.r_[True, np.diff(scores[self._order]) > 0])

    def auc(self, weights: Floats) -> Floats:
        """Of each weighting (weightings x rows): the share of pairs in the right order, equal scores counting half."""
        sorted_ = weights[:, self._order]
        positive = np.add.reduceat(sorted_ * self._truth, self._starts, axis=1)
        negative = np.add.reduceat(sorted_ * ~self._truth, self._starts, axis=1)
        below = negative.cumsum(axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((positive * below).sum(axis=1) / pairs)


def _resamples(patients: int) -> Iterator[Floats]:
    """How often each patient is drawn, `_CHUNK` resamples at a time."""
    generator = np.random.default_rng(_SEED)
    shares = np.full(patients, 1 / patients)
    for _ in range(0, RESAMPLES, _CHUNK):
        yield generator.multinomial(patients, shares, size=_CHUNK).astype(float)


def _difference(value: float, drawn: Floats) -> Difference:
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (-np.inf, np.inf)
    return Difference(value, float(low), float(high))
