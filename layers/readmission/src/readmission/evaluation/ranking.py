"""Metrics of a ranking (AUC, average precision, flagged share), computed for many weightings of the rows at once.

Weights of 1 give the metric itself; the counts of a bootstrap give its resamples. The rows are sorted only once. Each
metric is one value per weighting, NaN where it is undefined, such as an AUC of rows of a single class.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from readmission.evaluation.arrays import Flags, Floats, ratio

FLAGGED_SHARE: Final = 0.10


class Ranking:
    """Rows sorted by falling score, with rows of equal score in one group."""

    def __init__(self, truth: Flags, score: Floats, unit: NDArray[np.intp] | None = None) -> None:
        """`truth`, `score` and `unit` have one entry per row. A row has the weight of its unit, such as its patient;
        without `unit`, each row has a weight of its own.
        """
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
        self._starts = starts if len(starts) < len(order) else None  # None: no two scores are equal
        self._unit = order if unit is None else unit[order]
        self._truth = truth[order].astype(np.float64)

    def groups(self, weights: Floats) -> tuple[Floats, Floats]:
        """The total weight of each group and the weight of its true rows (weightings x groups each).

        `weights` is weightings x units.
        """
        of_rows: Floats = weights[:, self._unit]
        return self._summed(of_rows), self._summed(of_rows * self._truth)

    def totals(self, weights: Floats) -> Floats:
        """The first of the `groups` alone."""
        return self._summed(weights[:, self._unit])

    def _summed(self, of_rows: Floats) -> Floats:
        """The sums over the rows of each group."""
        found: Floats = of_rows if self._starts is None else np.add.reduceat(of_rows, self._starts, axis=1)
        return found

    def auc(self, weights: Floats) -> Floats:
        """The area under the ROC curve for each weighting (weightings x units)."""
        return auc(*self.groups(weights))


def auc(total: Floats, true: Floats) -> Floats:
    """The area under the ROC curve of ranked groups: the share of correctly ordered pairs; ties count half."""
    false = total - true
    seen = false.cumsum(axis=1)
    positives, negatives = true.sum(axis=1), seen[:, -1]
    wrong = np.einsum("ij,ij->i", true, seen) - np.einsum("ij,ij->i", true, false) / 2
    return ratio(positives * negatives - wrong, positives * negatives)


def average_precision(total: Floats, true: Floats) -> Floats:
    """The mean precision over the true rows, as scikit-learn defines it."""
    precision = ratio(true.cumsum(axis=1), total.cumsum(axis=1), 0.0)
    return ratio((true * precision).sum(axis=1), true.sum(axis=1))


def flagged(total: Floats, true: Floats, share: float = FLAGGED_SHARE) -> tuple[Floats, Floats]:
    """Precision (PPV) and recall when the highest `share` is flagged; a group at the limit counts in proportion.

    `total` may have one row for all weightings, if they only differ in what is true.
    """
    limit = share * total.sum(axis=1, keepdims=True)
    above = total.cumsum(axis=1) - total
    hits: Floats = (true * ratio(np.clip(limit - above, 0, total), total, 0.0)).sum(axis=1)
    return ratio(hits, limit[:, 0]), ratio(hits, true.sum(axis=1))
