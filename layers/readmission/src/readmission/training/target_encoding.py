"""Target encoding from class counts: what `families` fits in memory, for rows that no single process holds.

scikit-learn's `TargetEncoder` needs of the rows only how many there are of each category and class, and when it encodes
the rows that it learns from, the same for each fold. Counts are whole numbers, so those of several processes add up to
the same sum in any order, and the encodings equal scikit-learn's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import TargetEncoder

from readmission.domain.contract import CLASSES, MISSING
from readmission.evaluation.arrays import Floats

FOLDS: Final = 5
_CLASSES: Final = tuple(sorted(CLASSES))

type Counts = NDArray[np.int64]  # folds x classes


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """The number of rows of each fold and class: of all rows, and of each value of each category."""

    rows: Counts
    categories: Mapping[str, Mapping[str, Counts]]

    @classmethod
    def of(
        cls, features: pd.DataFrame, names: Sequence[str], target: NDArray[np.int64], folds: NDArray[np.int64]
    ) -> Self:
        """`target` holds indices of the sorted `CLASSES`, `folds` numbers from 0 to `FOLDS` - 1."""
        cell = folds * len(_CLASSES) + target
        cells = FOLDS * len(_CLASSES)
        found: dict[str, dict[str, Counts]] = {}
        for name in names:
            codes, values = pd.factorize(features[name])
            counts = np.bincount(codes * cells + cell, minlength=len(values) * cells)
            shaped = counts.reshape(len(values), FOLDS, len(_CLASSES))
            found[name] = dict(zip(map(str, values), shaped, strict=True))
        return cls(_shaped(np.bincount(cell, minlength=cells)), found)

    @classmethod
    def sum(cls, parts: Iterable[Self]) -> Self:
        """The counts of all rows of `parts`, of which there is at least one."""
        first, *others = parts
        categories = {name: dict(values) for name, values in first.categories.items()}
        rows = first.rows.copy()
        for part in others:
            rows += part.rows
            for name, values in part.categories.items():
                own = categories[name]
                for value, counts in values.items():
                    own[value] = own[value] + counts if value in own else counts
        return cls(rows, categories)

    def with_masked_copies(self) -> "ClassCounts":
        """The counts of the rows followed by the same rows with every category unknown."""
        nothing = np.zeros_like(self.rows)
        return ClassCounts(
            self.rows * 2,
            {
                name: {**values, MISSING: values.get(MISSING, nothing) + self.rows}
                for name, values in self.categories.items()
            },
        )


class Encoder:
    """Encodes categories by their classes (Micci-Barreca 2001), as scikit-learn's `TargetEncoder` does.

    `names` are the categories; each becomes one column per class, `width` columns in all.
    """

    def __init__(self, counts: ClassCounts) -> None:
        self.names: Final = tuple(counts.categories)
        self.width: Final = len(self.names) * len(_CLASSES)
        self.means: Final[Floats] = counts.rows.sum(axis=0) / counts.rows.sum()
        self._values: Final = {name: pd.Index(sorted(counts.categories[name])) for name in self.names}
        # By category: the encodings of its values without each fold, and last those with all folds.
        self._encodings: Final = {
            name: _encodings(np.stack([counts.categories[name][value] for value in values]), counts.rows)
            for name, values in self._values.items()
        }

    def cross_fitted(self, features: pd.DataFrame, folds: NDArray[np.int64]) -> Floats:
        """Rows that were learned from, each encoded by the classes of the other folds (rows x `width`)."""
        encoded = np.empty((len(features), self.width))
        for index, name in enumerate(self.names):
            codes = self._values[name].get_indexer(pd.Index(features[name]))
            encoded[:, _columns(index)] = self._encodings[name][folds, codes]
        return encoded

    def fitted(self, numbers: Sequence[str]) -> ColumnTransformer:
        """scikit-learn's own encoder with these encodings, behind `numbers`, which pass unchanged.

        It is fitted on a table of all values first, so that all that it keeps is as scikit-learn expects it.
        """
        rows = max([len(_CLASSES) * FOLDS, *map(len, self._values.values())])
        table = pd.DataFrame(
            {
                **{name: np.zeros(rows) for name in numbers},
                **{name: pd.Series(np.resize(values, rows), dtype="str") for name, values in self._values.items()},
            }
        )
        transformers: list[tuple[str, Any, list[str]]] = [("numbers", "passthrough", list(numbers))]
        if self.names:
            encoder = TargetEncoder(target_type="multiclass", cv=FOLDS)
            transformers.append(("categories", encoder, list(self.names)))
        columns = ColumnTransformer(transformers).fit(table, np.resize(_CLASSES, rows))
        if self.names:
            encoder = columns.named_transformers_["categories"]
            encoder.encodings_ = [
                np.ascontiguousarray(self._encodings[name][-1, :, index])
                for name in self.names
                for index in range(len(_CLASSES))
            ]
            encoder.target_mean_ = self.means
        return columns


def _columns(index: int) -> slice:
    return slice(index * len(_CLASSES), (index + 1) * len(_CLASSES))


def _shaped(counts: NDArray[np.intp]) -> Counts:
    return counts.reshape(FOLDS, len(_CLASSES)).astype(np.int64)


def _encodings(values: NDArray[np.int64], rows: Counts) -> Floats:
    """From the counts of each value (values x folds x classes) and of all rows: folds + 1 x values x classes."""
    without = [_smoothed(values.sum(axis=1) - values[:, fold], rows.sum(axis=0) - rows[fold]) for fold in range(FOLDS)]
    return np.stack([*without, _smoothed(values.sum(axis=1), rows.sum(axis=0))])


def _smoothed(values: NDArray[np.int64], rows: NDArray[np.int64]) -> Floats:
    """The shares of the classes among the rows of each value, drawn towards those of all rows: the fewer rows the more.

    scikit-learn's `smooth="auto"`, for a target of zeros and ones. A value without rows, and a class that all or no
    rows have, get the share of all rows.
    """
    mean = rows / rows.sum()
    variance = mean * (1 - mean)
    count = values.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = values / count
        within = shares * (1 - shares)
        weight = variance * count / (variance * count + within)
        smoothed = weight * shares + (1 - weight) * mean
    return np.where(np.isnan(smoothed), mean, smoothed)
