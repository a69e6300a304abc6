"""What thresholds of the early risk are worth: the decision curve, and how many patients each would have called.

The *net benefit* of a threshold t, per stay, is TP - FP * t / (1 - t) over all stays (Vickers and Elkin 2006): the
share of stays that are rightly called, less what the others that are called cost. A team that calls from a risk of t on
says by that how many calls a readmission is worth. The two strategies without a model call everybody or nobody; the
latter has a net benefit of 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation import bootstrap
from readmission.evaluation.arrays import Flags, Floats, ratio

# From 1 % to half of all stays; beyond, hardly any stay has so high a risk of an early readmission.
THRESHOLDS: Final = tuple(round(0.01 * step, 2) for step in range(1, 51))
# The shares of stays called, finer where a team can call few.
SHARES: Final = (
    0.001,
    0.002,
    0.003,
    *(round(0.005 * step, 3) for step in range(1, 41)),
    *(round(0.01 * step, 2) for step in range(21, 101)),
)
_DIGITS: Final = 6


def thresholds(
    early: Flags, risk: Floats, patients: NDArray[np.int64], resamples: int, seed: int = bootstrap.SEED
) -> dict[str, list[dict[str, float]]]:
    """The decision curve and the workload of one model, from truth, early risk and patient number per row.

    `decision_curve` has a point per threshold: `net_benefit` and `treat_all` with their bounds, and `gain`, the net
    benefit beyond the better of the two strategies without a model. `workload` has a point per share of stays called:
    the `threshold` from which stays are called, the `share` at or above it, and `ppv` and `recall`. Equal risks are
    called together, so that there may be fewer points. Bounds (`…_low`, `…_high`) are those of 95 % intervals
    bootstrapped over patients; the threshold stays the same in every resample. An undefined figure is NaN.
    """
    order = np.argsort(-risk, kind="stable")
    ranked = risk[order]
    cuts = _cuts(ranked)
    called = np.concatenate([np.searchsorted(-ranked, -np.asarray(THRESHOLDS), side="right"), cuts])
    known, patient_of_row = np.unique(patients, return_inverse=True)
    counted = _Counted(early[order], patient_of_row[order], called)
    whole = counted.figures(np.ones((1, len(known))))
    chunks = [counted.figures(counts) for counts in bootstrap.patient_counts(len(known), resamples, seed)]
    resampled = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in whole}
    return {
        "decision_curve": _points({"threshold": THRESHOLDS}, ("net_benefit", "treat_all", "gain"), whole, resampled),
        "workload": _points(
            {"threshold": _below(ranked[cuts - 1]), "share": (cuts / len(ranked)).tolist()},
            ("ppv", "recall"),
            whole,
            resampled,
        ),
    }


@dataclass(frozen=True, slots=True)
class _Counted:
    """The rows by falling risk. `called` is how many of the first of them each point calls, thresholds first."""

    early: Flags
    patient: NDArray[np.intp]
    called: NDArray[np.intp]

    def figures(self, counts: Floats) -> dict[str, Floats]:
        """Each figure for each weighting of the patients (weightings x its points)."""
        weights: Floats = counts[:, self.patient]
        rows = weights.sum(axis=1, keepdims=True)
        called, hits = self._sums(weights), self._sums(weights * self.early)
        readmitted = weights @ self.early[:, np.newaxis].astype(np.float64)
        first = len(THRESHOLDS)
        return {
            **_benefits(hits[:, :first] / rows, called[:, :first] / rows, readmitted / rows),
            "ppv": ratio(hits[:, first:], called[:, first:]),
            "recall": ratio(hits[:, first:], np.broadcast_to(readmitted, hits[:, first:].shape)),
        }

    def _sums(self, weights: Floats) -> Floats:
        sums = np.cumsum(weights, axis=1)
        return np.where(self.called == 0, 0.0, sums[:, np.maximum(self.called, 1) - 1])


def _benefits(hits: Floats, called: Floats, base_rate: Floats) -> dict[str, Floats]:
    """The net benefits at `THRESHOLDS`, from shares of all rows (weightings x thresholds, and x 1)."""
    odds = np.asarray(THRESHOLDS) / (1 - np.asarray(THRESHOLDS))
    net = hits - (called - hits) * odds
    treat_all = base_rate - (1 - base_rate) * odds
    return {"net_benefit": net, "treat_all": treat_all, "gain": net - np.maximum(treat_all, 0)}


def _cuts(ranked: Floats) -> NDArray[np.intp]:
    """How many rows to call for each of `SHARES`, at most: no cut divides equal risks."""
    wanted = np.floor(np.asarray(SHARES) * len(ranked) + 1e-9).astype(np.intp)
    ends = np.append(np.flatnonzero(np.diff(ranked) != 0) + 1, len(ranked))
    places = np.searchsorted(ends, wanted, side="right")
    return np.unique(ends[places[places > 0] - 1])


def _below(risks: Floats) -> list[float]:
    """The risks with a few digits, rounded down, so that a patient with the risk itself is still called."""
    scale = 10.0**_DIGITS
    found: list[float] = (np.floor(risks * scale) / scale).tolist()
    return found


def _points(
    given: Mapping[str, Sequence[float]],
    names: Sequence[str],
    whole: Mapping[str, Floats],
    resampled: Mapping[str, Floats],
) -> list[dict[str, float]]:
    found = dict(given)
    for name in names:
        low, high = zip(*(bootstrap.interval(values) for values in resampled[name].T), strict=True)
        found |= {name: whole[name][0].tolist(), f"{name}_low": low, f"{name}_high": high}
    return [
        {name: round(value, _DIGITS) for name, value in zip(found, values, strict=True)}
        for values in zip(*found.values(), strict=True)
    ]
