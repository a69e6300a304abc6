"""Gradient boosting by LightGBM: the recipe of the family, with its rows in one process or in several.

Nothing that a Lambda function imports may import this module: its layer has no LightGBM.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier, early_stopping
from lightgbm.callback import CallbackEnv
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from readmission.domain.contract import CLASSES
from readmission.domain.features import CATEGORIES, FEATURES, NUMBERS
from readmission.evaluation.dataset import Part
from readmission.training import families
from readmission.training.target_encoding import FOLDS, ClassCounts, Encoder

ENGINE: Final = "lightgbm"
# What MLflow installs to load the model, and the types that skops has to trust.
REQUIREMENTS: Final = ("lightgbm", "mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops")
TRUSTED: Final = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
)
# Of `families.PIPELINES["gradient_boosting"]`, by LightGBM's names. The same rows on the same number of processes give
# the same trees.
SETTINGS: Final[Mapping[str, Any]] = {
    "learning_rate": 0.05,
    "n_estimators": 400,
    "num_leaves": 31,
    "min_child_samples": 150,
    "reg_lambda": 100.0,
    "feature_fraction_bynode": 0.3,
    "random_state": 42,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_PATIENCE: Final = 20
_TOLD_TREES: Final = 25
_CLASSES: Final = np.array(sorted(CLASSES))
# Numbers whose bits depend on each other in no way that other hashes use (SplitMix64).
_MIX: Final = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


def hashed(patients: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number per patient, evenly spread, equal on every machine and independent of the split."""
    mixed = patients.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in _MIX:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed


def codes_of(target: "pd.Series[str]") -> NDArray[np.int64]:
    """The indices of the sorted classes."""
    return np.asarray(pd.Index(_CLASSES).get_indexer(pd.Index(target)), dtype=np.int64)


class Recipe:
    """How rows become the model's columns: numbers as they are, categories by their classes.

    `known` are the features that have a value in at least one training row. If there are more than the 14, each row is
    learned from twice (`families.fit_pipeline`); `copies` says how often.
    """

    def __init__(self, known: Sequence[str], counts: ClassCounts) -> None:
        """`counts` are those of the training rows."""
        self.numbers: Final = [name for name in NUMBERS if name in known]
        names = [name for name in CATEGORIES if name in known]
        self.copies: Final = 1 if all(name in FEATURES for name in known) else 2
        used = ClassCounts(counts.rows, {name: counts.categories[name] for name in names})
        self._encoder: Final = Encoder(used.with_masked_copies() if self.copies == 2 else used)
        self.columns: Final = self._encoder.fitted(self.numbers)
        self.width: Final = len(self.numbers) + self._encoder.width

    def training_rows(self, features: pd.DataFrame, folds: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows that the counts are of, each `copies` times one after another (copies * rows x `width`).

        32 bits halve the memory. Forecasts compare 64 bits with the thresholds, and so does the scorer.
        """
        return np.concatenate(
            [
                np.hstack([rows[self.numbers].to_numpy(np.float64), self._encoder.cross_fitted(rows, folds)])
                for rows in self._copied(features)
            ]
        ).astype(np.float32)

    def other_rows(self, features: pd.DataFrame) -> NDArray[np.float32]:
        """Rows that were not learned from, like `training_rows`."""
        return np.concatenate([self.columns.transform(rows) for rows in self._copied(features)]).astype(np.float32)

    def targets(self, target: "pd.Series[str]") -> NDArray[np.str_]:
        """The classes of the rows that the two methods return."""
        return np.tile(target.to_numpy().astype(str), self.copies)

    def _copied(self, features: pd.DataFrame) -> list[pd.DataFrame]:
        return [features, families.masked(features)][: self.copies]


def fit_model(
    rows: NDArray[Any],
    target: NDArray[np.str_],
    validation: NDArray[Any],
    validated: NDArray[np.str_],
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> LGBMClassifier:
    """Boosting on encoded rows, which stops when the log loss of the validation rows does not get better.

    `settings` are added to `SETTINGS`, for example LightGBM's network. Every process of a network stops at the same
    tree, because all have the same validation rows.
    """

    def tell(state: CallbackEnv) -> None:
        if progress and state.evaluation_result_list and (state.iteration + 1) % _TOLD_TREES == 0:
            loss = state.evaluation_result_list[0][2]
            progress(f"{state.iteration + 1} rounds: log loss {loss:.4f} on validation rows")

    model = LGBMClassifier(**SETTINGS, **settings)
    model.fit(
        rows,
        target,
        eval_X=validation,
        eval_y=np.searchsorted(_CLASSES, validated),  # LightGBM 4.7 takes numbers here, whatever the classes are
        eval_metric="multi_logloss",
        callbacks=[tell, early_stopping(_PATIENCE, verbose=False)],
    )
    return model


def without(model: LGBMClassifier, settings: Iterable[str]) -> LGBMClassifier:
    """The fitted model without settings of no use to others, removed as LightGBM's own Dask code does it."""
    for name in settings:
        if model._other_params.pop(name, None) is not None:
            delattr(model, name)
    return model.set_params(n_jobs=1)


def fit(training: Part, validation: Part) -> Pipeline:
    """The recipe's pipeline, fitted in this process, as `distributed` fits it with a single worker."""
    known = families.known_columns(training)
    folds = (hashed(training.patients) % np.uint64(FOLDS)).astype(np.int64)
    names = [name for name in CATEGORIES if name in known]
    recipe = Recipe(known, ClassCounts.of(training.features, names, codes_of(training.target), folds))
    model = fit_model(
        recipe.training_rows(training.features, folds),
        recipe.targets(training.target),
        recipe.other_rows(validation.features),
        recipe.targets(validation.target),
        n_jobs=1,
    )
    return Pipeline([("columns", recipe.columns), ("model", model)])
