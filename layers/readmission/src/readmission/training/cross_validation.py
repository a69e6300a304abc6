"""Cross-validation over patients: compares the served recipe with one that uses only the 14 features (`make evaluate`).

The early AUC of a single split varies by ±0.01, so a recipe is judged over all folds. Each patient is tested in exactly
one fold. As in the pipeline, 70 % of all patients train and 10 % validate.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from readmission.domain.contract import CLASSES
from readmission.domain.features import FEATURES
from readmission.domain.payloads import Family
from readmission.errors import NoTrainingData
from readmission.evaluation import comparison
from readmission.evaluation.arrays import Floats
from readmission.evaluation.dataset import Part, part_of
from readmission.evaluation.metrics import compute_metrics
from readmission.training import families

FOLDS: Final = 5
# From the training and the validation rows.
type Fit = Callable[[Part, Part], Pipeline]
RECIPES: Final = ("served", "served, 14 known", "14 only")
# Per cent of the patients, ordered by their positions.
_TEST, _VALIDATION = 100 // FOLDS, 10


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """The test metrics of each recipe in each fold, and the first recipe compared with the last over all folds."""

    family: Family
    rows: int
    patients: int
    metrics: Mapping[str, Sequence[Mapping[str, float]]]
    gain: comparison.Comparison

    def mean(self, recipe: str, metric: str) -> tuple[float, float]:
        """Mean and standard deviation over the folds."""
        values = [fold[metric] for fold in self.metrics[recipe]]
        return float(np.mean(values)), float(np.std(values, ddof=1))


@dataclass(frozen=True, slots=True)
class Fold:
    training: Part
    validation: Part
    test: Part


def evaluate(
    table: pd.DataFrame,
    family: Family,
    progress: Callable[[int], None] = lambda fold: None,
    fit: Fit | None = None,
) -> CrossValidation:
    """Evaluate the family on clean rows from `dataset.read`; calls `progress` with the index of each finished fold.

    `fit` fits the family by another engine than the pipeline's. Raises `NoTrainingData` if there are too few rows for
    every class to occur in every fold.
    """
    metrics: dict[str, list[dict[str, float]]] = {recipe: [] for recipe in RECIPES}
    probabilities: dict[str, list[Floats]] = {recipe: [] for recipe in RECIPES}
    tested = []
    for index, fold in enumerate(folds(table)):
        tested.append(fold.test)
        for recipe, shares in _forecasts(fit or partial(families.fit, family), fold).items():
            probabilities[recipe].append(shares)
            metrics[recipe].append(compute_metrics(list(fold.test.target), shares, sorted(CLASSES)))
        progress(index)
    patients = table["patient_nbr"].nunique()
    return CrossValidation(family, len(table), patients, metrics, _gain(tested, probabilities))


def folds(table: pd.DataFrame) -> Iterator[Fold]:
    """Yield the folds of clean rows. Raises `NoTrainingData` for one in which a part lacks a class."""
    position_of = {number: position(number) for number in table["patient_nbr"].unique()}
    positions = table["patient_nbr"].map(position_of).to_numpy()
    for index in range(FOLDS):
        turned = (positions - index * _TEST) % 100
        tested, learned = turned < _TEST, turned >= _TEST + _VALIDATION
        fold = Fold(part_of(table[learned]), part_of(table[~tested & ~learned]), part_of(table[tested]))
        if any(set(part.target) != set(CLASSES) for part in (fold.training, fold.validation, fold.test)):
            raise NoTrainingData(f"fold {index + 1} of {len(table)} clean rows lacks a class; clean more data first")
        yield fold


def position(patient: int) -> int:
    """A patient's position from 0 to 99: equal on every machine, and independent of `splits.split_of`."""
    return int.from_bytes(blake2b(str(patient).encode(), digest_size=8, person=b"crossvalidation").digest()) % 100


def _forecasts(fit: Fit, fold: Fold) -> dict[str, Floats]:
    """The test rows' probabilities by each recipe."""
    few = list(FEATURES)
    served = fit(fold.training, fold.validation)
    training, validation = (replace(part, features=part.features[few]) for part in (fold.training, fold.validation))
    only_14 = fit(training, validation)
    probabilities = (
        served.predict_proba(fold.test.features),
        served.predict_proba(families.masked(fold.test.features)),
        only_14.predict_proba(fold.test.features[few]),
    )
    return dict(zip(RECIPES, probabilities, strict=True))


def _gain(tested: Sequence[Part], probabilities: Mapping[str, Sequence[Floats]]) -> comparison.Comparison:
    """Compares the first recipe with the last, paired over all patients and without subgroups."""
    patients: NDArray[np.int64] = np.concatenate([part.patients for part in tested])
    target = np.concatenate([part.target.to_numpy().astype(str) for part in tested])
    rows = comparison.Rows(target, patients, pd.DataFrame(index=range(len(patients))))
    first, last = (np.concatenate(probabilities[recipe]) for recipe in (RECIPES[0], RECIPES[-1]))
    return comparison.compare(rows, first, last, sorted(CLASSES))
