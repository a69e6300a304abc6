"""The three model families, as unfitted scikit-learn estimators."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from readmission.payloads import Family

_SEED: Final = 42


def _logistic_regression() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _random_forest() -> Pipeline:
    return make_pipeline(RandomForestClassifier(n_estimators=100, min_samples_leaf=50, n_jobs=2, random_state=_SEED))


def _gradient_boosting() -> Pipeline:
    return make_pipeline(
        HistGradientBoostingClassifier(
            learning_rate=0.06,
            max_iter=120,
            max_leaf_nodes=15,
            min_samples_leaf=50,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=_SEED,
        )
    )


FAMILIES: Final[Mapping[Family, Callable[[], Pipeline]]] = {
    "logistic_regression": _logistic_regression,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
}

# The compiled trees, which skops cannot look into: trusted, since the run that saves them has just fitted them.
TREES: Final = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


def parameters(pipeline: Pipeline) -> dict[str, Any]:
    """The last step's parameters, as they are logged."""
    found: dict[str, Any] = pipeline[-1].get_params()
    return found
