"""Fitted pipeline → scorer document (`readmission.scoring.scorer` describes it), and the proof that both say the same.

scikit-learn keeps the trees of its boosting in private attributes; the lock file holds its version, and the test of
equality would show a change of them.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler, TargetEncoder

from readmission.domain.features import FEATURES
from readmission.scoring.scorer import FORMAT, FORMAT_VERSION, MOST_LEAVES, QUANTILES, Scorer

TOLERANCE: Final = 1e-9

type _Floats = NDArray[np.float64]


def document_of(
    pipeline: Pipeline, features: Sequence[str], context: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The scorer document of a pipeline that was fitted on a table of the columns `features`, in that order.

    In front of its model may be a `StandardScaler`, or a `ColumnTransformer` and then a `StandardScaler`. The
    transformer's parts are `TargetEncoder` for text, and for numbers "passthrough", `SimpleImputer`, `StandardScaler`
    or a pipeline of both. Columns that it drops are no inputs of the document. Raises TypeError for any other step or
    model, and for a setting of one that a document cannot say.
    """
    *before, model = (step for _, step in pipeline.steps)
    block = _encoding(_active(before), list(features))
    described = _model(model, block)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "inputs": block.inputs,
        "classes": [str(name) for name in pipeline.classes_],
        "model": described,
        **({"context": dict(context)} if context is not None else {}),
    }


def context_of(pipeline: Pipeline, rows: pd.DataFrame) -> dict[str, Any]:
    """The document's context, of the rows that the pipeline was fitted on: what a patient can be compared with.

    The quantiles are probabilities that occurred, not means of two: so they ascend for certain. They are rounded, as
    the threads of a forest add in any order, and the same rows are to give the same document.
    """
    early = pipeline.predict_proba(rows)[:, list(pipeline.classes_).index("<30")]
    quantiles = np.quantile(early, np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    return {"reference": rows[list(FEATURES)].median().to_dict(), "risk_quantiles": quantiles.round(9).tolist()}


def to_json(document: dict[str, Any]) -> bytes:
    """The document's bytes: what is logged, and hashed."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def scores(scorer: Scorer, rows: pd.DataFrame) -> _Floats:
    """The scorer's probabilities (rows x classes, in the order of its classes) of a table that holds its features."""
    return np.asarray([scorer.probabilities(row) for row in rows[list(scorer.features)].to_numpy().tolist()])


def largest_difference(document: bytes, pipeline: Pipeline, rows: pd.DataFrame) -> float:
    """The largest absolute difference between the scorer's and the pipeline's probabilities over all `rows`."""
    ours = scores(Scorer(json.loads(document)), rows)
    return float(np.abs(ours - pipeline.predict_proba(rows)).max())


@dataclass(frozen=True)
class _Block:
    """Some of a pipeline's encoded columns, and the inputs they come from.

    `places` says which of the block's columns each input becomes; `mean` and `scale` are how they are scaled.
    """

    inputs: list[dict[str, Any]]
    places: list[list[int]]
    mean: _Floats
    scale: _Floats

    @property
    def order(self) -> NDArray[np.intp]:
        """The block's columns in the order of the document: input after input."""
        return np.asarray([place for places in self.places for place in places], dtype=np.intp)

    @property
    def scaled(self) -> bool:
        return bool((self.mean != 0).any() or (self.scale != 1).any())

    def scaled_by(self, scaler: StandardScaler) -> "_Block":
        """The block behind that scaler too: ((x - mean) / scale - its mean) / its scale, in one."""
        mean = scaler.mean_ if scaler.with_mean else np.zeros_like(self.mean)
        scale = scaler.scale_ if scaler.with_std else np.ones_like(self.scale)
        return _Block(self.inputs, self.places, self.mean + mean * self.scale, self.scale * scale)


def _unscaled(inputs: list[dict[str, Any]], places: list[list[int]]) -> _Block:
    width = sum(map(len, places))
    return _Block(inputs, places, np.zeros(width), np.ones(width))


def _encoding(steps: list[Any], features: list[str]) -> _Block:
    """All steps in front of the model as one block, whose inputs are in the order of `features`."""
    if not steps or not isinstance(steps[0], ColumnTransformer):
        return _numbers(steps, features)
    parts = steps[0].transformers_
    block = _joined(_part(step, names) for part, step, names in parts if _has_output(steps[0], part))
    for step in steps[1:]:
        if not isinstance(step, StandardScaler):
            raise TypeError(f"no scorer export for {type(step).__name__} behind the ColumnTransformer")
        block = block.scaled_by(step)
    names = [one["name"] for one in block.inputs]
    if len(set(names)) < len(names) or not set(names) <= set(features):
        raise TypeError(f"no scorer export for a ColumnTransformer of {names}: twice the same, or none of the features")
    sequence = sorted(range(len(names)), key=lambda place: features.index(names[place]))
    return _Block(
        [block.inputs[place] for place in sequence],
        [block.places[place] for place in sequence],
        block.mean,
        block.scale,
    )


def _active(steps: Iterable[Any]) -> list[Any]:
    """The steps that change something. A fitted ColumnTransformer has a function of None for "passthrough"."""
    return [
        step
        for step in steps
        if not (step is None or step == "passthrough" or (isinstance(step, FunctionTransformer) and step.func is None))
    ]


def _has_output(transformer: ColumnTransformer, part: str) -> bool:
    """Whether a part has any columns: one that drops them, or was given none, is not fitted."""
    columns = transformer.output_indices_[part]
    return bool(columns.stop > columns.start)


def _part(step: Any, names: Any) -> _Block:
    """One part of a ColumnTransformer, over the columns of these names."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"no scorer export for a ColumnTransformer whose columns are no list of names: {names!r}")
    if isinstance(step, TargetEncoder):
        return _categories(step, names)
    return _numbers(_active([part for _, part in step.steps] if isinstance(step, Pipeline) else [step]), names)


def _joined(blocks: Iterable[_Block]) -> _Block:
    """The blocks side by side."""
    inputs: list[dict[str, Any]] = []
    places: list[list[int]] = []
    means, scales = [np.zeros(0)], [np.ones(0)]
    for block in blocks:
        begin = sum(map(len, means))
        inputs += block.inputs
        places += [[begin + place for place in own] for own in block.places]
        means.append(block.mean)
        scales.append(block.scale)
    return _Block(inputs, places, np.concatenate(means), np.concatenate(scales))


def _numbers(steps: list[Any], names: list[str]) -> _Block:
    """The columns of these names, behind steps for numbers."""
    block = _unscaled([{"name": name, "kind": "number"} for name in names], [[place] for place in range(len(names))])
    for place, step in enumerate(steps):
        if isinstance(step, SimpleImputer) and place == 0:
            block = _imputed(step, names)
        elif isinstance(step, StandardScaler):
            block = block.scaled_by(step)
        else:
            raise TypeError(f"no scorer export for {type(step).__name__} as step {place + 1} over numbers")
    return block


def _imputed(imputer: SimpleImputer, names: list[str]) -> _Block:
    """The columns of these names without gaps, and behind them the indicators of those that had any in training."""
    fills = np.asarray(imputer.statistics_, dtype=np.float64)
    if not np.isnan(imputer.missing_values):
        raise TypeError(f"no scorer export for a SimpleImputer of {imputer.missing_values!r}")
    if gone := [name for name, fill in zip(names, fills, strict=True) if np.isnan(fill)]:
        raise TypeError(f"no scorer export for a SimpleImputer that drops {gone}: set keep_empty_features")
    inputs = [
        {"name": name, "kind": "number", "missing": [fill]} for name, fill in zip(names, fills.tolist(), strict=True)
    ]
    places = [[place] for place in range(len(names))]
    if imputer.add_indicator:
        for place, feature in enumerate(imputer.indicator_.features_.tolist(), len(names)):
            inputs[feature]["missing"].append(1.0)
            places[feature].append(place)
    return _unscaled(inputs, places)


def _categories(encoder: TargetEncoder, names: list[str]) -> _Block:
    """The columns of these names, each encoded as one column a class."""
    if encoder.target_type_ != "multiclass":
        raise TypeError(f"no scorer export for a TargetEncoder of a {encoder.target_type_} target")
    width = len(encoder.classes_)
    inputs = []
    for place, (name, categories) in enumerate(zip(names, encoder.categories_, strict=True)):
        if not all(isinstance(category, str) for category in categories):
            raise TypeError(f"no scorer export for a TargetEncoder: {name} has categories that are no text")
        # The encodings of a feature follow each other, one array over its categories for each class.
        encodings = np.column_stack(encoder.encodings_[width * place : width * (place + 1)])
        inputs.append(
            {
                "name": name,
                "kind": "category",
                "values": dict(zip(map(str, categories), encodings.tolist(), strict=True)),
                "unseen": encoder.target_mean_.tolist(),
            }
        )
    return _unscaled(inputs, [list(range(width * place, width * (place + 1))) for place in range(len(names))])


def _model(model: Any, block: _Block) -> dict[str, Any]:
    if not isinstance(model, LogisticRegression | RandomForestClassifier | HistGradientBoostingClassifier):
        raise TypeError(f"no scorer export for {type(model).__name__}")
    if len(model.classes_) < 3:
        # scikit-learn gives two classes one score, not two.
        raise TypeError(f"no scorer export for {type(model).__name__} of {len(model.classes_)} classes")
    if isinstance(model, LogisticRegression):
        order = block.order
        return {
            "type": "linear",
            "mean": block.mean[order].tolist(),
            "scale": block.scale[order].tolist(),
            "coefficients": model.coef_[:, order].tolist(),
            "intercepts": model.intercept_.tolist(),
        }
    if block.scaled:
        raise TypeError(f"no scorer export for {type(model).__name__} behind a StandardScaler, which trees do not need")
    # Where each of the pipeline's columns is in the document.
    column_of = np.argsort(block.order)
    if isinstance(model, RandomForestClassifier):
        return {"type": "forest", "trees": [_forest_tree(tree.tree_, column_of) for tree in model.estimators_]}
    groups = zip(*model._predictors, strict=True)
    return {
        "type": "boosting",
        "baseline": model._baseline_prediction.ravel().tolist(),
        "trees": [[_boosting_tree(tree.nodes, column_of) for tree in trees] for trees in groups],
    }


def _forest_tree(tree: Any, column_of: NDArray[np.intp]) -> dict[str, Any]:
    """A tree whose leaves hold the counts of the classes, and whose thresholds are of 32 bits as its input is.

    Both are a fraction as long as the shares and thresholds of 64 bits, and say the same.
    """
    leaf = tree.children_left < 0
    shares = tree.value[:, 0, :]
    weights = np.rint(shares * tree.weighted_n_node_samples[:, np.newaxis])
    counted = np.array_equal(weights / weights.sum(axis=1, keepdims=True), shares)
    return _tree(
        leaf=leaf,
        column=column_of[np.where(leaf, 0, tree.feature)],
        threshold=_rounded_down(tree.threshold),
        missing_left=tree.missing_go_to_left,
        left=tree.children_left,
        right=tree.children_right,
        value=weights if counted else shares,
    )


def _rounded_down(thresholds: _Floats) -> _Floats:
    """The largest numbers of 32 bits not above the thresholds, as the shortest decimal numbers that round to them."""
    exact = np.minimum(thresholds, np.finfo(np.float32).max)
    rounded = exact.astype(np.float32)
    below = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return np.asarray([float(str(one)) for one in below])


def _boosting_tree(nodes: Any, column_of: NDArray[np.intp]) -> dict[str, Any]:
    if nodes["is_categorical"].any():
        raise TypeError("no scorer export for HistGradientBoostingClassifier with categorical features of its own")
    leaf = nodes["is_leaf"].astype(bool)
    if leaf.sum() > MOST_LEAVES:
        raise TypeError(f"no scorer export for HistGradientBoostingClassifier with more than {MOST_LEAVES} leaves")
    return _tree(
        leaf=leaf,
        column=column_of[nodes["feature_idx"]],
        # Infinite where the one question is whether the number is missing; JSON has no infinity.
        threshold=np.minimum(nodes["num_threshold"], sys.float_info.max),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        left=nodes["left"],
        right=nodes["right"],
        value=nodes["value"],
    )


def _tree(
    *, leaf: Any, column: Any, threshold: Any, missing_left: Any, left: Any, right: Any, value: Any
) -> dict[str, Any]:
    """A tree of the document, from arrays over the nodes."""
    order = _preorder(leaf.tolist(), left.tolist(), right.tolist())
    return {
        "columns": np.where(leaf, -1, column)[order].tolist(),
        "thresholds": _shortest(np.where(leaf, 0.0, threshold)[order]),
        "missing": "".join(np.where(missing_left & ~leaf, "l", "r")[order]),
        "values": _shortest(value[order][leaf[order]].ravel()),
    }


def _preorder(leaf: list[bool], left: list[int], right: list[int]) -> list[int]:
    """The nodes, each before those on its left, and those before the ones on its right."""
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if not leaf[node]:
            waiting += (right[node], left[node])
    return order


def _shortest(values: _Floats) -> list[float]:
    """The values, whole ones without decimals: JSON makes no difference."""
    return [int(value) if value.is_integer() and abs(value) < 1e15 else value for value in values.tolist()]
