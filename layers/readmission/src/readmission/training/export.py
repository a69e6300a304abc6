"""Fitted pipeline → scorer document (`readmission.scorer` describes it), and the proof that both say the same.

scikit-learn keeps the trees of its boosting in private attributes; the lock file holds its version, and the test of
equality would show a change of them.
"""

import json
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from readmission.scorer import FORMAT, FORMAT_VERSION, Scorer

TOLERANCE: Final = 1e-9


def document_of(pipeline: Pipeline, features: list[str]) -> dict[str, Any]:
    """The scorer document of a pipeline of `families.FAMILIES` that was fitted on `features` in that order.

    Raises TypeError for a model of another family.
    """
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "features": features,
        "classes": [str(name) for name in pipeline.classes_],
        "model": _model(pipeline),
    }


def to_json(document: dict[str, Any]) -> bytes:
    """The document's bytes: what is logged, and hashed."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def scores(scorer: Scorer, rows: pd.DataFrame) -> NDArray[np.float64]:
    """The scorer's probabilities (rows x classes, in the order of its classes) of a table that holds its features."""
    return np.asarray([scorer.probabilities(row) for row in rows[list(scorer.features)].to_numpy().tolist()])


def largest_difference(document: bytes, pipeline: Pipeline, rows: pd.DataFrame) -> float:
    """The largest absolute difference between the scorer's and the pipeline's probabilities over all `rows`."""
    ours = scores(Scorer(json.loads(document)), rows)
    return float(np.abs(ours - pipeline.predict_proba(rows)).max())


def _model(pipeline: Pipeline) -> dict[str, Any]:
    model = pipeline[-1]
    if isinstance(model, LogisticRegression):
        scaler = pipeline[0]
        return {
            "type": "linear",
            "mean": scaler.mean_.tolist(),
            "scale": scaler.scale_.tolist(),
            "coefficients": model.coef_.tolist(),
            "intercepts": model.intercept_.tolist(),
        }
    if isinstance(model, RandomForestClassifier):
        return {"type": "forest", "trees": [_forest_tree(tree.tree_) for tree in model.estimators_]}
    if isinstance(model, HistGradientBoostingClassifier):
        return {
            "type": "boosting",
            "baseline": model._baseline_prediction.ravel().tolist(),
            "trees": [[_boosting_tree(tree.nodes) for tree in trees] for trees in zip(*model._predictors, strict=True)],
        }
    raise TypeError(f"no scorer export for {type(model).__name__}")


def _forest_tree(tree: Any) -> dict[str, Any]:
    shares = tree.value[:, 0, :]
    return _tree(
        leaf=tree.children_left < 0,
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        value=shares / shares.sum(axis=1, keepdims=True),
    )


def _boosting_tree(nodes: Any) -> dict[str, Any]:
    return _tree(
        leaf=nodes["is_leaf"].astype(bool),
        feature=nodes["feature_idx"],
        threshold=nodes["num_threshold"],
        left=nodes["left"],
        right=nodes["right"],
        value=nodes["value"],
    )


def _tree(leaf: Any, feature: Any, threshold: Any, left: Any, right: Any, value: Any) -> dict[str, Any]:
    """The lists of one tree; a leaf's `left` is the place of its value."""
    place = np.cumsum(leaf) - 1
    return {
        "feature": np.where(leaf, -1, feature).tolist(),
        "threshold": np.where(leaf, 0.0, threshold).tolist(),
        "left": np.where(leaf, place, left).tolist(),
        "right": np.where(leaf, 0, right).tolist(),
        "value": value[leaf].tolist(),
    }
