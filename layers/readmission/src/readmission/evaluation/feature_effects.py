"""Permutation importance: how much worse the forecasts become when one feature is shuffled (Breiman 2001)."""

from collections.abc import Callable, Iterator, Sequence
from itertools import batched
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.evaluation.arrays import Floats
from readmission.evaluation.bootstrap import SEED
from readmission.evaluation.dataset import Part
from readmission.evaluation.metrics import row_losses
from readmission.evaluation.ranking import Ranking

_ROWS_AT_ONCE: Final = 12_000  # a call of a pipeline takes 10 ms however few rows it has


def feature_effects(
    predict_proba: Callable[[pd.DataFrame], Any],
    part: Part,
    classes: Sequence[str],
    rows: int = 2000,
    repeats: int = 3,
    seed: int = SEED,
) -> list[dict[str, Any]]:
    """The effect of shuffling each feature, largest first, on at most `rows` rows.

    The effect is the rise of the log loss and the fall of the early AUC, as mean and standard deviation over
    `repeats`. Information shared by correlated features shows in neither of them.
    """
    generator = np.random.default_rng(seed)
    sample = generator.permutation(len(part.target))[:rows]
    features, truth = part.features.iloc[sample].reset_index(drop=True), part.target.iloc[sample].to_numpy().astype(str)
    unshuffled = np.asarray(predict_proba(features))
    base = _loss_and_auc(truth, unshuffled, classes)
    copies = pd.concat([features] * repeats, ignore_index=True)
    at_once = max(1, _ROWS_AT_ONCE // len(copies))
    effects = []
    for names in batched(map(str, features.columns), at_once, strict=False):
        orders = [np.concatenate([generator.permutation(len(features)) for _ in range(repeats)]) for _ in names]
        shuffled = [
            features[name].iloc[order].reset_index(drop=True) for name, order in zip(names, orders, strict=True)
        ]
        for name, shares in zip(names, _forecasts(predict_proba, copies, unshuffled, shuffled), strict=True):
            changes = np.array([_loss_and_auc(truth, one, classes) for one in np.split(shares, repeats)]) - base
            effects.append(_effect(name, changes))
    return sorted(effects, key=lambda effect: -float(str(effect["log_loss"])))


def _forecasts(
    predict_proba: Callable[[pd.DataFrame], Any],
    rows: pd.DataFrame,
    unshuffled: Floats,
    columns: Sequence["pd.Series[Any]"],
) -> Iterator[Floats]:
    """For each column, the probabilities of `rows` with that column replaced; one call forecasts for all columns.

    `rows` are copies of the rows whose probabilities are `unshuffled`. Only rows that a column changes are forecast
    again: shuffling leaves most values of most columns as they were.
    """
    changed = [np.flatnonzero(_differs(rows[column.name], column)) for column in columns]
    replaced = [
        rows.iloc[where].assign(**{str(column.name): column.iloc[where]})
        for column, where in zip(columns, changed, strict=True)
    ]
    table = pd.concat(replaced, ignore_index=True)
    forecast = np.asarray(predict_proba(table)) if len(table) else unshuffled[:0]
    ends = np.cumsum([len(where) for where in changed])
    for where, of_column in zip(changed, np.split(forecast, ends[:-1]), strict=True):
        shares = np.tile(unshuffled, (len(rows) // len(unshuffled), 1))
        shares[where] = of_column
        yield shares


def _differs(before: "pd.Series[Any]", after: "pd.Series[Any]") -> NDArray[np.bool_]:
    """Where the values differ; two missing values are equal."""
    return np.asarray(before.ne(after) & (before.notna() | after.notna()))


def _effect(name: str, changes: Floats) -> dict[str, Any]:
    """From the changes of log loss and AUC (repeats x 2)."""
    (loss, area), (loss_deviation, area_deviation) = changes.mean(axis=0), changes.std(axis=0)
    return {
        "feature": name,
        "log_loss": float(loss),
        "log_loss_deviation": float(loss_deviation),
        "auc_early": float(-area),
        "auc_early_deviation": float(area_deviation),
    }


def _loss_and_auc(truth: NDArray[np.str_], shares: Floats, classes: Sequence[str]) -> Floats:
    ranking = Ranking(truth == "<30", shares[:, list(classes).index("<30")])
    return np.array([row_losses(truth, shares, classes).mean(), ranking.auc(np.ones((1, len(truth))))[0]])
