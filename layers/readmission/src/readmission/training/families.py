"""The three model families, as unfitted scikit-learn pipelines, and how they are fitted.

Each is `columns` (numbers and target-encoded categories) and `model`; nothing in them has seen a row before `fit`, so
that encoders and imputers know the training split alone.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from readmission.domain.contract import MISSING
from readmission.domain.features import CATEGORIES, FEATURES, NUMBERS
from readmission.domain.payloads import Family
from readmission.evaluation.dataset import Part

_SEED: Final = 42
_FOLDS: Final = GroupKFold(5, shuffle=True, random_state=_SEED)


def _columns(numbers: Any, columns: Sequence[str]) -> ColumnTransformer:
    """Numbers through `numbers`, categories encoded by their training rows' classes (Micci-Barreca 2001).

    `TargetEncoder` encodes its training rows by the classes of other folds, which `fit` makes of other patients: a rare
    category gives neither its row away, nor the row's copy, nor the patient.
    """
    transformers: list[tuple[str, Any, list[str]]] = [("numbers", numbers, [n for n in NUMBERS if n in columns])]
    if categories := [name for name in CATEGORIES if name in columns]:
        transformers.append(("categories", TargetEncoder(target_type="multiclass", cv=_FOLDS), categories))
    return ColumnTransformer(transformers)


def _logistic_regression(columns: Sequence[str]) -> Pipeline:
    return Pipeline(
        [
            ("columns", _columns(SimpleImputer(strategy="median", add_indicator=True), columns)),
            ("scaler", StandardScaler()),
            ("model", LogisticRegression(C=0.01, max_iter=1000)),
        ]
    )


def _random_forest(columns: Sequence[str]) -> Pipeline:
    model = RandomForestClassifier(n_estimators=100, min_samples_leaf=40, max_samples=0.5, n_jobs=2, random_state=_SEED)
    return Pipeline([("columns", _columns("passthrough", columns)), ("model", model)])


def _gradient_boosting(columns: Sequence[str]) -> Pipeline:
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=400,
        max_leaf_nodes=31,
        min_samples_leaf=150,
        l2_regularization=100.0,
        max_features=0.3,
        early_stopping=True,
        n_iter_no_change=20,
        random_state=_SEED,
    )
    return Pipeline([("columns", _columns("passthrough", columns)), ("model", model)])


FAMILIES: Final[Mapping[Family, Callable[[Sequence[str]], Pipeline]]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
}

# What skops does not know, or cannot look into (compiled trees): trusted, as the run that saves them has fitted them.
TRUSTED: Final = (
    "numpy.dtype",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


def fit(family: Family, training: Part, validation: Part) -> Pipeline:
    """The family's pipeline, fitted on the training rows; boosting stops when the validation rows gain no more.

    Where there is more than the 14 features, every row is learned from twice: whole, and with only those known. Without
    the second copy a request of 14 features is forecast worse than by a model that knows no others. A number that is
    known of no row is left out: there is nothing to learn from it, and boosting cannot bin it.
    """
    known = [str(name) for name in training.features if training.features[name].notna().any()]
    pipeline = FAMILIES[family](known)
    features, target, patients = _twice(training)
    _encode_by_other(patients, pipeline)
    columns, model = pipeline[:-1], pipeline[-1]
    inputs = columns.fit_transform(features, target)
    if isinstance(model, HistGradientBoostingClassifier):
        unseen, unseen_target, _ = _twice(validation)
        model.fit(inputs, target, X_val=columns.transform(unseen), y_val=unseen_target)
    else:
        model.fit(inputs, target)
    for encoder in _encoders(pipeline["columns"].transformers_):
        encoder.cv = _FOLDS  # which rows were in which fold is of no use any more, and large
    return pipeline


def _encode_by_other(patients: NDArray[np.int64], pipeline: Pipeline) -> None:
    """Let the encoder's folds be of whole patients: scikit-learn does not pass groups on through a pipeline."""
    for encoder in _encoders(pipeline["columns"].transformers):
        encoder.cv = list(_FOLDS.split(patients, groups=patients))


def _encoders(transformers: Sequence[tuple[str, Any, Any]]) -> list[TargetEncoder]:
    return [transformer for _, transformer, _ in transformers if isinstance(transformer, TargetEncoder)]


def _twice(part: Part) -> tuple[pd.DataFrame, "pd.Series[str]", NDArray[np.int64]]:
    """The rows whole, and behind them the same rows masked, if they know more than the 14 features."""
    if all(name in FEATURES for name in part.features):
        return part.features, part.target, part.patients
    both = pd.concat([part.features, masked(part.features)], ignore_index=True)
    return both, pd.concat([part.target, part.target], ignore_index=True), np.tile(part.patients, 2)


def masked(features: pd.DataFrame) -> pd.DataFrame:
    """The same rows with nothing known but the 14 features."""
    unknown = [name for name in features.columns if name not in FEATURES]
    return features.assign(**{str(name): np.nan if name in NUMBERS else MISSING for name in unknown})


def parameters(pipeline: Pipeline) -> dict[str, Any]:
    """The last step's parameters, as they are logged."""
    found: dict[str, Any] = pipeline[-1].get_params()
    return found
