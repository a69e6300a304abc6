"""The points of ROC, precision-recall and reliability curves, few enough for a document."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

POINTS: Final = 200
_DIGITS: Final = 5
_Z: Final = 1.959964  # of a 95 % interval


def of(truth: NDArray[np.bool_], probability: NDArray[np.float64], bins: NDArray[np.intp]) -> dict[str, Any]:
    """The curves of one yes-or-no question (rows); `bins` are the rows' bins of the reliability curve."""
    order = np.argsort(-probability, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(probability[order]) != 0, True))  # rows of the same score come together
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


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, list[float]]:
    """At most `POINTS` of the points, about evenly spread over x, the first and the last among them."""
    places = np.searchsorted(x, np.linspace(x[0], x[-1], POINTS - 1))
    kept = np.unique(np.append(places.clip(0, len(x) - 1), len(x) - 1))
    return {"x": x[kept].round(_DIGITS).tolist(), "y": y[kept].round(_DIGITS).tolist()}


def _reliability(
    truth: NDArray[np.bool_], probability: NDArray[np.float64], bins: NDArray[np.intp]
) -> list[dict[str, float]]:
    """Each bin's rows, mean probability and observed share, with Wilson's 95 % interval of that (Wilson 1927)."""
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
