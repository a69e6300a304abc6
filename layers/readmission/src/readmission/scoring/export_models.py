"""Writes the model of a scorer document from a fitted model of scikit-learn or LightGBM.

scikit-learn keeps the trees of its boosting in private attributes. The lock file pins its version, and the tests that
compare the scorer with the pipeline would reveal a change. LightGBM is not imported here: only trainings beyond a
Lambda function have it.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from readmission.scoring.export_inputs import Block, Floats
from readmission.scoring.format import MOST_LEAVES


def describe(model: Any, block: Block) -> dict[str, Any]:
    """The document's model, fitted on the columns of `block`. Raises TypeError if a document cannot express it."""
    by_lightgbm = type(model).__name__ == "LGBMClassifier"
    if not (
        by_lightgbm or isinstance(model, LogisticRegression | RandomForestClassifier | HistGradientBoostingClassifier)
    ):
        raise TypeError(f"no scorer export for {type(model).__name__}")
    if len(model.classes_) < 3:
        # For two classes, scikit-learn has one score and not two.
        raise TypeError(f"no scorer export for {type(model).__name__} with {len(model.classes_)} classes")
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
        raise TypeError(f"no scorer export for {type(model).__name__} after a StandardScaler, which trees do not need")
    # The index in the document of each of the pipeline's columns.
    column_of = np.argsort(block.order)
    if isinstance(model, RandomForestClassifier):
        return {"type": "forest", "trees": [_forest_tree(tree.tree_, column_of) for tree in model.estimators_]}
    if by_lightgbm:
        return _lightgbm(model.booster_.dump_model(), column_of)
    groups = zip(*model._predictors, strict=True)
    return {
        "type": "boosting",
        "baseline": model._baseline_prediction.ravel().tolist(),
        "trees": [[_boosting_tree(tree.nodes, column_of) for tree in trees] for trees in groups],
    }


@dataclass(frozen=True, slots=True)
class _Nodes:
    """A tree as arrays with one entry per node; `value` may have several numbers per node."""

    leaf: Any
    column: Any
    threshold: Any
    missing_left: Any
    left: Any
    right: Any
    value: Any

    def tree(self) -> dict[str, Any]:
        """The tree as the document holds it."""
        order = _preorder(self.leaf.tolist(), self.left.tolist(), self.right.tolist())
        return {
            "columns": np.where(self.leaf, -1, self.column)[order].tolist(),
            "thresholds": _shortest(np.where(self.leaf, 0.0, self.threshold)[order]),
            "missing": "".join(np.where(self.missing_left & ~self.leaf, "l", "r")[order]),
            "values": _shortest(self.value[order][self.leaf[order]].ravel()),
        }


def _forest_tree(tree: Any, column_of: NDArray[np.intp]) -> dict[str, Any]:
    """A tree with class counts at its leaves, and with 32-bit thresholds, as scikit-learn compares in 32 bits.

    Both are much shorter in JSON than shares and 64-bit thresholds, and equivalent.
    """
    leaf = tree.children_left < 0
    shares = tree.value[:, 0, :]
    weights = np.rint(shares * tree.weighted_n_node_samples[:, np.newaxis])
    counted = np.array_equal(weights / weights.sum(axis=1, keepdims=True), shares)
    return _Nodes(
        leaf=leaf,
        column=column_of[np.where(leaf, 0, tree.feature)],
        threshold=_rounded_down(tree.threshold),
        missing_left=tree.missing_go_to_left,
        left=tree.children_left,
        right=tree.children_right,
        value=weights if counted else shares,
    ).tree()


def _rounded_down(thresholds: Floats) -> Floats:
    """The largest 32-bit numbers not above the thresholds, as the shortest decimals that round to them."""
    exact = np.minimum(thresholds, np.finfo(np.float32).max)
    rounded = exact.astype(np.float32)
    below = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return np.asarray([float(str(one)) for one in below])


def _boosting_tree(nodes: Any, column_of: NDArray[np.intp]) -> dict[str, Any]:
    if nodes["is_categorical"].any():
        raise TypeError("no scorer export for HistGradientBoostingClassifier with native categorical features")
    leaf = nodes["is_leaf"].astype(bool)
    if leaf.sum() > MOST_LEAVES:
        raise TypeError(f"no scorer export for HistGradientBoostingClassifier with more than {MOST_LEAVES} leaves")
    return _Nodes(
        leaf=leaf,
        column=column_of[nodes["feature_idx"]],
        # Infinite if the node only tests whether the number is missing; JSON has no infinity.
        threshold=np.minimum(nodes["num_threshold"], sys.float_info.max),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        left=nodes["left"],
        right=nodes["right"],
        value=nodes["value"],
    ).tree()


def _lightgbm(dump: dict[str, Any], column_of: NDArray[np.intp]) -> dict[str, Any]:
    """From LightGBM's `dump_model`. It holds numbers exactly, and the leaves of the first trees have the baseline."""
    classes = dump["num_class"]
    if not dump["objective"].startswith("multiclass ") or dump["num_tree_per_iteration"] != classes:
        raise TypeError(f"no scorer export for LGBMClassifier with the objective {dump['objective']!r}")
    if dump["average_output"]:
        raise TypeError("no scorer export for LGBMClassifier that averages its trees")
    trees = [_lightgbm_tree(tree["tree_structure"], column_of) for tree in dump["tree_info"]]
    return {
        "type": "boosting",
        "baseline": [0.0] * classes,
        "trees": [trees[index::classes] for index in range(classes)],
    }


def _lightgbm_tree(root: dict[str, Any], column_of: NDArray[np.intp]) -> dict[str, Any]:
    nodes = [root]
    left, right = [], []
    for node in nodes:  # grows meanwhile
        inner = "split_feature" in node
        left.append(len(nodes) if inner else -1)
        right.append(len(nodes) + 1 if inner else -1)
        if inner:
            nodes += (node["left_child"], node["right_child"])
    leaf = np.array([index < 0 for index in left])
    if leaf.sum() > MOST_LEAVES:
        raise TypeError(f"no scorer export for LGBMClassifier with more than {MOST_LEAVES} leaves")
    return _Nodes(
        leaf=leaf,
        column=column_of[[node.get("split_feature", 0) for node in nodes]],
        threshold=np.array([_lightgbm_threshold(node) for node in nodes]),
        missing_left=np.array([_goes_left_if_missing(node) for node in nodes]),
        left=np.array(left),
        right=np.array(right),
        value=np.array([float(node.get("leaf_value", 0.0)) for node in nodes]),
    ).tree()


def _lightgbm_threshold(node: dict[str, Any]) -> float:
    if "split_feature" not in node:
        return 0.0
    if node["decision_type"] != "<=":
        raise TypeError("no scorer export for LGBMClassifier with native categorical features")
    return min(float(node["threshold"]), sys.float_info.max)


def _goes_left_if_missing(node: dict[str, Any]) -> bool:
    if "split_feature" not in node:
        return False
    match node["missing_type"]:
        case "NaN":
            return bool(node["default_left"])
        case "None":
            # Training has not seen a missing number here. LightGBM then compares 0 instead.
            return float(node["threshold"]) >= 0
        case other:
            raise TypeError(f"no scorer export for LGBMClassifier that treats {other} as missing")


def _preorder(leaf: list[bool], left: list[int], right: list[int]) -> list[int]:
    """The nodes in the order node, left subtree, right subtree."""
    order, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        order.append(node)
        if not leaf[node]:
            waiting += (right[node], left[node])
    return order


def _shortest(values: Floats) -> list[float]:
    """The values, integral ones as integers: they are shorter, and equal in JSON."""
    return [int(value) if value.is_integer() and abs(value) < 1e15 else value for value in values.tolist()]
