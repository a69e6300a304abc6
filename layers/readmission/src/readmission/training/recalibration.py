"""Fits a trained model to the class shares of one site: a prior correction of the three classes.

The probability of each class is multiplied by a weight of the class, and divided by their sum. The weights are those
for which the mean probability of each class, over the site's rows, is the share that has it. Weights of observed shares
over those of the training (Saerens et al. 2002) would correct twice what the model already sees in the site's patients.
It is the intercept of a recalibration; slopes, and what the model has learned of the inputs, stay.

For a softmax the logarithms of the weights are added to the intercepts. A forest, whose probabilities are means over
trees, has the weights in each leaf. Both are models that a scorer document can express.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from readmission.domain.splits import Split
from readmission.errors import NoTrainingData
from readmission.evaluation.arrays import Floats
from readmission.evaluation.dataset import Part

# With 100 rows of a class, chance alone moves its share by a tenth.
FEWEST: Final = 100
_TOLERANCE: Final = 1e-6  # of the logarithm of a mean probability; chance moves shares a thousand times as much
_MOST_STEPS: Final = 100
_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """The pipeline with other intercepts or leaves, and by class the weights, and the shares that they come from.

    `predicted` are the mean probabilities before.
    """

    pipeline: Pipeline
    weights: Mapping[str, float]
    observed: Mapping[str, float]
    predicted: Mapping[str, float]


def recalibrated(pipeline: Pipeline, parts: Mapping[Split, Part], site: str) -> Recalibrated:
    """A copy of the fitted pipeline, recalibrated on the training and validation rows in `parts`, those of the site.

    Raises `NoTrainingData` with fewer than `FEWEST` rows of a class, and TypeError for a model of another kind.
    """
    classes = [str(name) for name in pipeline.classes_]
    target = pd.concat([parts["train"].target, parts["validation"].target]).to_numpy().astype(str)
    counts = {name: int((target == name).sum()) for name in classes}
    if few := [f"{count} of {name}" for name, count in counts.items() if count < FEWEST]:
        raise NoTrainingData(
            f"the site {site!r} has too few rows to recalibrate a model: {', '.join(few)} among its training and"
            f" validation rows whose label is due; it takes {FEWEST} of each class"
        )
    observed = np.array([counts[name] for name in classes]) / len(target)
    copied = deepcopy(pipeline)
    shift = _shift_of(copied[-1])
    inputs = copied[:-1].transform(pd.concat([parts["train"].features, parts["validation"].features]))
    logarithms = np.zeros(len(classes))
    shift(logarithms)
    before = means = copied[-1].predict_proba(inputs).mean(axis=0)
    for _ in range(_MOST_STEPS):
        step = np.log(observed / means)
        if np.abs(step).max() < _TOLERANCE:
            break
        logarithms += step
        shift(logarithms)
        means = copied[-1].predict_proba(inputs).mean(axis=0)
    # The threads of a forest add in any order, and the same rows must give the same model.
    logarithms = logarithms.round(_DIGITS)
    shift(logarithms)
    return Recalibrated(
        copied,
        dict(zip(classes, np.exp(logarithms - logarithms[-1]).tolist(), strict=True)),
        dict(zip(classes, observed.tolist(), strict=True)),
        dict(zip(classes, before.tolist(), strict=True)),
    )


def _shift_of(model: Any) -> Callable[[Floats], None]:
    """What gives the model other weights, by their logarithms, in place of those of the call before."""
    if isinstance(model, LogisticRegression):
        return _adder(model, "intercept_")
    if isinstance(model, HistGradientBoostingClassifier):
        return _adder(model, "_baseline_prediction")
    if isinstance(model, RandomForestClassifier):
        return _leaves(model)
    raise TypeError(f"no recalibration of {type(model).__name__}")


def _adder(model: Any, name: str) -> Callable[[Floats], None]:
    original = getattr(model, name).copy()

    def shift(logarithms: Floats) -> None:
        setattr(model, name, original + logarithms.reshape(original.shape))

    return shift


def _leaves(model: RandomForestClassifier) -> Callable[[Floats], None]:
    # A view of the tree's memory; nodes x 1 x classes.
    trees = [(tree.tree_.value, tree.tree_.value.copy()) for tree in model.estimators_]

    def shift(logarithms: Floats) -> None:
        for values, original in trees:
            weighted = original * np.exp(logarithms)
            values[:] = weighted / weighted.sum(axis=2, keepdims=True)

    return shift
