"""Challenger against incumbent on the same rows: a paired bootstrap over patients, and the rule that decides.

Patients are drawn, not rows: the encounters of one patient are alike, and rows would make the intervals too narrow.
One set of draws serves every figure, and its seed is fixed, so that the same data give the same decision.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.evaluation.evaluation import Calibration

type Floats = NDArray[np.float64]

RESAMPLES: Final = 2000
_SEED: Final = 42
_CHUNK: Final = 25  # resamples at a time: their arrays stay within a processor's cache
_LEAST: Final = float(np.finfo(np.float64).eps)  # a probability of 0 costs as much as this one, and not infinity

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
    """What both models are asked about: truth (rows), patients (rows) and groups (rows x texts)."""

    target: NDArray[np.str_]
    patients: NDArray[np.int64]
    groups: pd.DataFrame

    @property
    def early(self) -> NDArray[np.bool_]:
        return np.asarray(self.target == "<30")


@dataclass(frozen=True, slots=True)
class Figures:
    """One model on the rows: log loss of three classes, and AUC and calibration of early readmission."""

    log_loss: float
    auc_early: float
    calibration: Calibration

    def as_json(self) -> dict[str, float | None]:
        found = {"log_loss": self.log_loss, "auc_early": self.auc_early}
        found |= {f"early_calibration_{name}": getattr(self.calibration, name) for name in ("slope", "intercept")}
        return {name: _plain(value) for name, value in (found | {"early_ece": self.calibration.ece}).items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Log loss of three classes (lower is better), AUC of early readmission, and that AUC in each subgroup."""

    log_loss: Difference
    auc_early: Difference
    subgroups: dict[str, Difference]

    def as_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def figures(rows: Rows, probabilities: Floats, classes: Sequence[str], calibration: Calibration) -> Figures:
    """One model's figures; `calibration` is that of early readmission."""
    everyone = np.ones((1, len(rows.target)))
    ranked = _Ranked(rows.early, probabilities[:, list(classes).index("<30")], np.arange(len(rows.target)))
    loss = _losses(rows, probabilities, classes).mean()
    return Figures(float(loss), float(ranked.auc(everyone)[0]), calibration)


def compare(rows: Rows, challenger: Floats, incumbent: Floats, classes: Sequence[str]) -> Comparison:
    """Both models' probabilities (rows x classes, in the order of `classes`) on the same rows."""
    known, patient = np.unique(rows.patients, return_inverse=True)
    losses = _losses(rows, challenger, classes) - _losses(rows, incumbent, classes)
    total, count = np.bincount(patient, losses), np.bincount(patient).astype(float)
    column = list(classes).index("<30")
    pair = challenger[:, column], incumbent[:, column]
    subgroups = dict(_subgroups(rows))
    everyone = np.ones(len(losses), dtype=bool)
    areas = [_Areas(rows, patient, pair, members) for members in (everyone, *subgroups.values())]
    loss_drawn, areas_drawn = [], []
    for weights in _resamples(len(known)):
        loss_drawn.append((weights @ total) / (weights @ count))
        areas_drawn.append([area.difference(weights) for area in areas])
    drawn = np.concatenate(areas_drawn, axis=1)
    whole = np.ones((1, len(known)))
    differences = [
        _difference(float(area.difference(whole)[0]), values) for area, values in zip(areas, drawn, strict=True)
    ]
    return Comparison(
        log_loss=_difference(float(losses.mean()), np.concatenate(loss_drawn)),
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


def _subgroups(rows: Rows) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for group in rows.groups:
        for value in sorted(rows.groups[group].unique()):
            members = (rows.groups[group] == value).to_numpy()
            early = int(rows.early[members].sum())
            if members.sum() >= SUBGROUP_ROWS and SUBGROUP_EARLY <= early < members.sum():
                yield f"{group} {value}", members


def _losses(rows: Rows, probabilities: Floats, classes: Sequence[str]) -> Floats:
    """Each row's log loss."""
    place = np.argmax(rows.target[:, None] == np.asarray(classes), axis=1)
    of_truth = probabilities[np.arange(len(place)), place]
    return np.asarray(-np.log(np.clip(of_truth, _LEAST, 1)))


class _Areas:
    """Both models' AUC among the members, under weightings of the patients."""

    def __init__(
        self, rows: Rows, patient: NDArray[np.intp], pair: tuple[Floats, Floats], members: NDArray[np.bool_]
    ) -> None:
        self._pair = [_Ranked(rows.early[members], scores[members], patient[members]) for scores in pair]

    def difference(self, weights: Floats) -> Floats:
        """Of each weighting (weightings x patients); NaN where a draw has none of either kind."""
        first, second = (one.auc(weights) for one in self._pair)
        return np.asarray(first - second)


class _Ranked:
    """Scores sorted once, for the AUC under many weightings. A row has the weight of its `place`."""

    def __init__(self, truth: NDArray[np.bool_], scores: Floats, place: NDArray[np.intp]) -> None:
        order = np.argsort(scores, kind="stable")
        self._place = place[order]
        self._truth = truth[order].astype(np.float64)
        starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
        self._starts = starts if len(starts) < len(order) else None  # None: no two scores are equal

    def auc(self, weights: Floats) -> Floats:
        """Of each weighting (weightings x places): the share of pairs in the right order, equal scores half."""
        whole = weights[:, self._place]
        positive = whole * self._truth
        if self._starts is not None:
            whole, positive = (np.add.reduceat(one, self._starts, axis=1) for one in (whole, positive))
        negative = whole - positive
        below = negative.cumsum(axis=1)
        pairs = positive.sum(axis=1) * below[:, -1]
        ordered = np.einsum("ij,ij->i", positive, below) - np.einsum("ij,ij->i", positive, negative) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(ordered / pairs)


def _resamples(patients: int) -> Iterator[Floats]:
    """How often each patient is drawn, `_CHUNK` resamples at a time."""
    generator = np.random.default_rng(_SEED)
    for _ in range(0, RESAMPLES, _CHUNK):
        drawn = generator.integers(patients, size=(_CHUNK, patients))
        yield np.stack([np.bincount(one, minlength=patients) for one in drawn]).astype(np.float64)


def _difference(value: float, drawn: Floats) -> Difference:
    return Difference(value, _quantile(drawn, 0.025), _quantile(drawn, 0.975))


def _quantile(drawn: Floats, share: float) -> float:
    """Of the draws that have a value: one without any early readmission has no AUC."""
    finite = drawn[np.isfinite(drawn)]
    return float(np.quantile(finite, share)) if len(finite) else math.nan


def _plain(value: Any) -> Any:
    """The same with None for what JSON, and Postgres, cannot hold."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
