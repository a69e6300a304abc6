"""The scorer: a fitted model as one JSON document, evaluated in pure Python.

The serving function needs neither numpy nor scikit-learn nor MLflow for it. `training/export.py` writes the
document and proves that it equals the fitted pipeline; its form:

    {"format": "readmission-scorer", "format_version": 1, "features": [name, …], "classes": [name, …], "model": …}

where `model` is one of

    {"type": "linear",   "mean": [f], "scale": [f], "coefficients": [[f] x classes], "intercepts": [c]}
    {"type": "forest",   "trees": [tree, …]}                      leaves hold one probability a class
    {"type": "boosting", "baseline": [c], "trees": [[tree, …] x classes]}      leaves hold one raw score

A tree is `{"feature", "threshold", "left", "right", "value"}`, lists over its nodes. A node with `feature` -1 is a
leaf whose value is `value[left]`; at another the walk goes left when the feature is not above the threshold.
"""

import json
from array import array
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import exp
from typing import Any, Final

from readmission.errors import ScorerInvalid

FORMAT: Final = "readmission-scorer"
FORMAT_VERSION: Final = 1

type _Tree = tuple[list[int], list[float], list[int], list[int], list[Any]]


class Scorer:
    """Evaluates one document.

    `features` and `classes` give the order of the input and of the probabilities.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        """Raises `ScorerInvalid` when the document is none, or of a version that this code does not know."""
        if document.get("format") != FORMAT or document.get("format_version") != FORMAT_VERSION:
            raise ScorerInvalid(
                f"a scorer document of format {document.get('format')!r}, version {document.get('format_version')!r};"
                f" this code reads {FORMAT!r}, version {FORMAT_VERSION}"
            )
        try:
            self.features: tuple[str, ...] = tuple(document["features"])
            self.classes: tuple[str, ...] = tuple(document["classes"])
            self._evaluate = _EVALUATORS[document["model"]["type"]](document["model"])
            # One try, so that a document that does not fit together is found out here and not by a request.
            shares = self._evaluate([0.0] * len(self.features))
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise ScorerInvalid(f"a scorer document that cannot be used: {type(error).__name__}: {error}") from error
        if len(shares) != len(self.classes):
            raise ScorerInvalid(f"a scorer document of {len(self.classes)} classes with {len(shares)} probabilities")

    def probabilities(self, row: Sequence[float]) -> list[float]:
        """The probability of each class for one row of `features`; finite numbers only. They sum to 1."""
        return self._evaluate(row)


def load(content: bytes, expected_sha256: str) -> Scorer:
    """A scorer from a document's bytes. Raises `ScorerInvalid` when they are not the ones of that hash."""
    found = sha256(content).hexdigest()
    if found != expected_sha256:
        raise ScorerInvalid(f"the scorer document's SHA-256 is {found}, not the registered {expected_sha256}")
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ScorerInvalid(f"the scorer document is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ScorerInvalid("the scorer document is no JSON object")
    return Scorer(document)


def _tree(document: dict[str, Any]) -> _Tree:
    return document["feature"], document["threshold"], document["left"], document["right"], document["value"]


def _leaf(tree: _Tree, row: Sequence[float]) -> Any:
    """The value of the leaf that `row` falls into."""
    feature, threshold, left, right, value = tree
    node = 0
    while (column := feature[node]) >= 0:
        node = left[node] if row[column] <= threshold[node] else right[node]
    return value[left[node]]


def _softmax(scores: list[float]) -> list[float]:
    highest = max(scores)
    powers = [exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _linear(model: dict[str, Any]) -> Callable[[Sequence[float]], list[float]]:
    mean, scale = model["mean"], model["scale"]
    lines = list(zip(model["coefficients"], model["intercepts"], strict=True))

    def evaluate(row: Sequence[float]) -> list[float]:
        scaled = [(value - m) / s for value, m, s in zip(row, mean, scale, strict=True)]
        return _softmax([sum(map(float.__mul__, weights, scaled)) + intercept for weights, intercept in lines])

    return evaluate


def _forest(model: dict[str, Any]) -> Callable[[Sequence[float]], list[float]]:
    trees = [_tree(tree) for tree in model["trees"]]

    def evaluate(row: Sequence[float]) -> list[float]:
        # scikit-learn's forests round their input to 32 bits before they compare it.
        rounded = array("f", row)
        leaves = [_leaf(tree, rounded) for tree in trees]
        return [sum(shares) / len(trees) for shares in zip(*leaves, strict=True)]

    return evaluate


def _boosting(model: dict[str, Any]) -> Callable[[Sequence[float]], list[float]]:
    classes = [
        (baseline, [_tree(tree) for tree in trees])
        for baseline, trees in zip(model["baseline"], model["trees"], strict=True)
    ]

    def evaluate(row: Sequence[float]) -> list[float]:
        return _softmax([baseline + sum(_leaf(tree, row) for tree in trees) for baseline, trees in classes])

    return evaluate


_EVALUATORS: Final = {"linear": _linear, "forest": _forest, "boosting": _boosting}
