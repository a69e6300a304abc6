"""Points of ROC, precision-recall and reliability curves, few enough to store in a document."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation.arrays import Flags, Floats

POINTS: Final = 200
_DIGITS: Final = 5
_Z: Final = 1.959964  # standard normal quantile of a 95 % interval


def points(truth: Flags, probability: Floats, bins: NDArray[np.intp]) -> dict[str, Any]:
    """The curves of one yes-or-no target. All arguments are per row; `bins` are those of the reliability curve."""
    order = np.argsort(-probability, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(probability[order]) != 0, True))  # the last row of each distinct score
    true = np.cumsum(truth[order])[ends]
    flagged = ends + 1
    positive, negative = max(int(truth.sum()), 1), max(int((~truth).sum()), 1)
    recall = true / positive
    return {
        "base_rate": float(truth.mean()),
        "roc": _thinned(np.append(0, (flagged - true) / negative), np.append(0, recall)),
        "precision_recall": _thinned(recall, true / flagged),
        "reliability": _reliability(truth, probability, bins),
    }


def _thinned(x: Floats, y: Floats) -> dict[str, list[float]]:
    """At most `POINTS` of the points, spread about evenly over x, including the first and the last."""
    indices = np.searchsorted(x, np.linspace(x[0], x[-1], POINTS - 1))
    kept = np.unique(np.append(indices.clip(0, len(x) - 1), len(x) - 1))
    return {"x": x[kept].round(_DIGITS).tolist(), "y": y[kept].round(_DIGITS).tolist()}


def _reliability(truth: Flags, probability: Floats, bins: NDArray[np.intp]) -> list[dict[str, float]]:
    """Rows, mean probability and observed share of each bin, with Wilson's 95 % interval of the share (Wilson 1927)."""
    found = []
    for number in np.unique(bins):
        inside = bins == number
        rows, share = int(inside.sum()), float(truth[inside].mean())
        middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
        half = _Z / (1 + _Z**2 / rows) * float(np.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)))
        mean = float(probability[inside].mean())
        values = {"probability": mean, "observed": share, "low": max(middle - half, 0.0), "high": min(middle + half, 1)}
        found.append({"rows": rows} | {name: round(value, _DIGITS) for name, value in values.items()})
    return found
