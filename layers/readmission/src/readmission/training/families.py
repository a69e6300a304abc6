"""The three model families as scikit-learn pipelines, and how they are fitted.

Each pipeline has a step `columns` (numbers and target-encoded categories) and a step `model`. Encoders and imputers
learn from the training split only.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import pandas as pd
from joblib import parallel_config
from joblib.parallel import ThreadingBackend
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
from readmission.training import progress

_SEED: Final = 42
_FOLDS: Final = GroupKFold(5, shuffle=True, random_state=_SEED)


class _Threads(ThreadingBackend):  # type: ignore[misc]  # joblib has no types
    """joblib's backend of threads, also where there are no semaphores.

    Lambda has no /dev/shm, and so no semaphores between processes, which Python's `ThreadPool` makes. joblib then works
    serially, and a forest takes twice as long.
    """

    _pool: ThreadPoolExecutor | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        return n_jobs or 1

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], None]) -> Future[Any]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._n_jobs)
        future: Future[Any] = self._pool.submit(func)
        future.add_done_callback(callback)
        return future

    def retrieve_result_callback(self, future: Future[Any]) -> Any:
        return future.result()

    def terminate(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _columns(numbers: Any, columns: Sequence[str]) -> ColumnTransformer:
    """Transform numbers by `numbers`, and encode categories by their classes in training (Micci-Barreca 2001).

    `TargetEncoder` encodes each training row by the classes of the other folds. `fit` makes the folds of whole
    patients, so that a rare category reveals neither the row's own class nor that of the patient's other rows.
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


# Each builds the family's unfitted pipeline for columns of these names.
PIPELINES: Final[Mapping[Family, Callable[[Sequence[str]], Pipeline]]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
}

# Types that skops does not trust by default. They are safe: the run that saves them has fitted them itself.
TRUSTED: Final = (
    "numpy.dtype",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


def fit(family: Family, training: Part, validation: Part) -> Pipeline:
    """The family's pipeline, fitted on the training rows; boosting stops when the validation rows stop improving."""
    return fit_pipeline(PIPELINES[family](known_columns(training)), training, validation)


def known_columns(part: Part) -> list[str]:
    """The features that have a value in at least one row.

    Others are left out: there is nothing to learn from them, and boosting cannot bin them.
    """
    return [str(name) for name in part.features if part.features[name].notna().any()]


def fit_pipeline(pipeline: Pipeline, training: Part, validation: Part) -> Pipeline:
    """Fit a pipeline of `PIPELINES` in place, and return it.

    If there are more than the 14 features, each row is learned from twice: complete, and with only the 14 known.
    Without the second copy, requests with 14 features get worse forecasts than from a model of only those features.
    """
    features, target, patients = _twice(training)
    _set_folds_of_patients(patients, pipeline)
    columns, model = pipeline[:-1], pipeline[-1]
    inputs = columns.fit_transform(features, target)
    if isinstance(model, RandomForestClassifier):
        with parallel_config(backend=_Threads()):
            model.fit(inputs, target)
    elif isinstance(model, HistGradientBoostingClassifier):
        unseen, unseen_target, _ = _twice(validation)
        progress.fitting(model)
        model.fit(inputs, target, X_val=columns.transform(unseen), y_val=unseen_target)
    else:
        model.fit(inputs, target)
    for encoder in _encoders(pipeline["columns"].transformers_):
        encoder.cv = _FOLDS  # the row indices of the folds are large, and not needed after fitting
    return pipeline


def _set_folds_of_patients(patients: NDArray[np.int64], pipeline: Pipeline) -> None:
    """Give the encoders folds of whole patients: scikit-learn does not pass groups through a pipeline."""
    for encoder in _encoders(pipeline["columns"].transformers):
        encoder.cv = list(_FOLDS.split(patients, groups=patients))


def _encoders(transformers: Sequence[tuple[str, Any, Any]]) -> list[TargetEncoder]:
    return [transformer for _, transformer, _ in transformers if isinstance(transformer, TargetEncoder)]


def _twice(part: Part) -> tuple[pd.DataFrame, "pd.Series[str]", NDArray[np.int64]]:
    """The rows, followed by the same rows masked if they have more than the 14 features."""
    if all(name in FEATURES for name in part.features):
        return part.features, part.target, part.patients
    both = pd.concat([part.features, masked(part.features)], ignore_index=True)
    return both, pd.concat([part.target, part.target], ignore_index=True), np.tile(part.patients, 2)


def masked(features: pd.DataFrame) -> pd.DataFrame:
    """The same rows with everything but the 14 features unknown."""
    unknown = [name for name in features.columns if name not in FEATURES]
    return features.assign(**{str(name): np.nan if name in NUMBERS else MISSING for name in unknown})


def parameters(pipeline: Pipeline) -> dict[str, Any]:
    """The parameters of the last step, the model."""
    found: dict[str, Any] = pipeline[-1].get_params()
    return found
