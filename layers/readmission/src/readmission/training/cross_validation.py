"""The recipe over patient-grouped splits, beside the recipe of the 14 features: what `make evaluate` prints.

One split moves the AUC of early readmission by ±.01, so a recipe is judged by all of them. Every patient is in the test
rows of exactly one split; of the others 70 % of all patients are learned from, as in the pipeline, and 10 % validate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.domain.contract import CLASSES
from readmission.domain.features import FEATURES
from readmission.domain.payloads import Family
from readmission.errors import NoTrainingData
from readmission.evaluation import comparison
from readmission.evaluation.arrays import Floats
from readmission.evaluation.dataset import Part, part_of
from readmission.evaluation.metrics import compute_metrics
from readmission.training import families

SPLITS: Final = 5
RECIPES: Final = ("served", "served, asked 14", "14 only")
# Per cent of the patients, in the order of their places from where the split begins.
_TEST, _VALIDATION = 100 // SPLITS, 10


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Test metrics of each recipe in each split, and how the first differs from the last, all splits together."""

    family: Family
    rows: int
    patients: int
    metrics: Mapping[str, Sequence[Mapping[str, float]]]
    gain: comparison.Comparison

    def mean(self, recipe: str, metric: str) -> tuple[float, float]:
        """Mean and standard deviation over the splits."""
        values = [split[metric] for split in self.metrics[recipe]]
        return float(np.mean(values)), float(np.std(values, ddof=1))


def evaluate(
    table: pd.DataFrame, family: Family, progress: Callable[[int], None] = lambda split: None
) -> CrossValidation:
    """Evaluate the family on the clean rows that `dataset.read` answers; `progress` is told each split that is done.

    Raises `NoTrainingData` when there are too few rows for every class to be in every split.
    """
    places = table["patient_nbr"].map({number: place_of(number) for number in table["patient_nbr"].unique()}).to_numpy()
    metrics: dict[str, list[dict[str, float]]] = {recipe: [] for recipe in RECIPES}
    shares: dict[str, list[Floats]] = {recipe: [] for recipe in RECIPES}
    tested = []
    for split in range(SPLITS):
        turned = (places - split * _TEST) % 100
        learned = turned >= _TEST + _VALIDATION
        test, training, validation = (
            part_of(table[rows]) for rows in (turned < _TEST, learned, (turned >= _TEST) & ~learned)
        )
        if any(set(part.target) != set(CLASSES) for part in (test, training, validation)):
            raise NoTrainingData(f"split {split + 1} of {len(table)} clean rows lacks a class; clean more data first")
        tested.append(test)
        for recipe, probabilities in _forecasts(family, training, validation, test).items():
            shares[recipe].append(probabilities)
            metrics[recipe].append(compute_metrics(list(test.target), probabilities, sorted(CLASSES)))
        progress(split)
    return CrossValidation(family, len(table), table["patient_nbr"].nunique(), metrics, _gain(tested, shares))


def place_of(patient: int) -> int:
    """A patient's place from 0 to 99, the same on every machine, and independent of `splits.split_of`."""
    return int.from_bytes(blake2b(str(patient).encode(), digest_size=8, person=b"crossvalidation").digest()) % 100


def _forecasts(family: Family, training: Part, validation: Part, test: Part) -> dict[str, Floats]:
    few = list(FEATURES)
    whole = families.fit(family, training, validation)
    fourteen = families.fit(family, *(replace(part, features=part.features[few]) for part in (training, validation)))
    probabilities = (
        whole.predict_proba(test.features),
        whole.predict_proba(families.masked(test.features)),
        fourteen.predict_proba(test.features[few]),
    )
    return dict(zip(RECIPES, probabilities, strict=True))


def _gain(tested: Sequence[Part], shares: Mapping[str, Sequence[Floats]]) -> comparison.Comparison:
    """Paired over all patients; without subgroups, which the pipeline's own evaluation tells."""
    patients: NDArray[np.int64] = np.concatenate([part.patients for part in tested])
    target = np.concatenate([part.target.to_numpy().astype(str) for part in tested])
    rows = comparison.Rows(target, patients, pd.DataFrame(index=range(len(patients))))
    rich, few = (np.concatenate(shares[recipe]) for recipe in (RECIPES[0], RECIPES[-1]))
    return comparison.compare(rows, rich, few, sorted(CLASSES))
