"""How good the probabilities are: metrics, intervals, subgroups and curves, as one document that plots and card need.

Three questions are asked of every model. *early*: is it <30 days against the rest; *any*: any readmission against none;
and all three classes. Larger is better but for losses, Brier scores and calibration errors; a calibration slope is best
at 1, an intercept at 0. *top10* is the operating point "flag the tenth with the highest probability of <30".
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import batched
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.domain.splits import Split
from readmission.evaluation import curves, weighted
from readmission.evaluation.dataset import Part
from readmission.evaluation.weighted import Flags, Floats, Measures

SELECTION: Final = "log_loss"  # what chooses between models: a proper score of all three probabilities
FORMAT: Final = "readmission-evaluation"
EVALUATED: Final[tuple[Split, ...]] = ("validation", "test")
RESAMPLES: Final = 500
_SUBGROUP_RESAMPLES: Final = 200
_SEED: Final = 42
_FEWEST_ROWS: Final = 50
_ROWS_AT_ONCE: Final = 12_000  # a call of a pipeline takes 10 ms, however few rows it has
_FEWEST_EARLY: Final = 5


class Calibration(NamedTuple):
    """Logistic recalibration (slope 1 and intercept 0 are best) and the expected calibration error over 10 bins."""

    slope: float
    intercept: float
    ece: float


def metrics(target: Sequence[str], probabilities: Any, classes: Sequence[str]) -> dict[str, float]:
    """Metrics of three-class `probabilities` (rows x classes, in the order of `classes`, which is sorted)."""
    measures = Measures(target, probabilities, classes)
    return {name: float(value[0]) for name, value in measures.of(np.ones((1, measures.rows))).items()}


def intervals(
    target: Sequence[str],
    probabilities: Any,
    classes: Sequence[str],
    patients: NDArray[np.int64],
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap intervals of `metrics` over patients, whose rows are not independent.

    A calibration error counts the noise of its bins as error, and a resample has more of it than the rows: its interval
    is moved back by the difference of the means, and no further than to 0.
    """
    measures = Measures(target, probabilities, classes)
    whole = measures.of(np.ones((1, measures.rows)))
    found = {}
    for name, values in measures.resampled(patients, resamples, seed).items():
        defined = values[np.isfinite(values)]
        if name.endswith("_ece") and len(defined):
            defined = np.maximum(defined - defined.mean() + whole[name], 0)
        low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (math.nan, math.nan)
        found[name] = (float(low), float(high))
    return found


def calibration(truth: Flags, probability: Floats) -> Calibration:
    """The calibration of one probability (rows); slope and intercept are NaN where all probabilities are alike."""
    whole = np.ones((1, len(truth)))
    intercept, slope = weighted.recalibration(whole, truth, probability)
    ece = weighted.expected_calibration_error(whole, truth, probability)
    return Calibration(float(slope[0]), float(intercept[0]), float(ece[0]))


def subgroups(
    target: Sequence[str],
    probabilities: Any,
    classes: Sequence[str],
    groups: pd.DataFrame,
    patients: NDArray[np.int64],
    resamples: int = _SUBGROUP_RESAMPLES,
) -> list[dict[str, Any]]:
    """For each value of each column of `groups`: rows, patients, base rate, metrics, intervals, and whom the common
    threshold of the top 10 % flags. Fewer than 50 rows or 5 early readmissions are `too_few` for figures.
    """
    truth, shares = np.asarray(target), np.asarray(probabilities)
    early, risk = truth == "<30", shares[:, list(classes).index("<30")]
    flag = risk >= np.quantile(risk, 1 - weighted.FLAGGED_SHARE)
    found = []
    for attribute in groups.columns:
        values = groups[attribute].to_numpy()
        for value in sorted(set(values)):
            inside = values == value
            entry: dict[str, Any] = {
                "attribute": attribute,
                "group": value,
                "rows": int(inside.sum()),
                "patients": len(np.unique(patients[inside])),
                "early": int(early[inside].sum()),
                "too_few": bool(inside.sum() < _FEWEST_ROWS or early[inside].sum() < _FEWEST_EARLY),
            }
            if not entry["too_few"]:
                entry |= _figures(truth[inside], shares[inside], classes, patients[inside], resamples)
                entry |= _flags(early[inside], risk[inside], flag[inside])
            found.append(entry)
    return found


def _flags(early: Flags, risk: Floats, flag: Flags) -> dict[str, float]:
    """Calibration in the large (mean probability less observed share), and what the common threshold does here."""
    return {
        "base_rate": float(early.mean()),
        "mean_probability": float(risk.mean()),
        "calibration_in_the_large": float(risk.mean() - early.mean()),
        "flagged_share": float(flag.mean()),
        "flagged_ppv": float(early[flag].mean()) if flag.any() else math.nan,
        "flagged_recall": float(flag[early].mean()),
    }


def _figures(
    target: Any, probabilities: Any, classes: Sequence[str], patients: NDArray[np.int64], resamples: int
) -> dict[str, Any]:
    return {
        "metrics": metrics(target, probabilities, classes),
        "intervals": intervals(target, probabilities, classes, patients, resamples),
    }


def evaluation_document(
    parts: Mapping[Split, Part],
    probabilities: Mapping[Split, Any],
    classes: Sequence[str],
    effects: Sequence[Mapping[str, Any]] = (),
    excluded: Mapping[str, int] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """All that plots and model card need, ready for JSON (a figure that is not defined is null).

    `probabilities` (rows x classes) are those of the validation and the test split; `effects` are `feature_effects`;
    `excluded` counts the rows that the data lost before the split, by reason.
    """
    document = {
        "format": FORMAT,
        "format_version": 1,
        "classes": list(classes),
        "resamples": resamples,
        "splits": {split: _sizes(part, classes) for split, part in parts.items()},
        "excluded": dict(excluded or {}),
        "feature_effects": [dict(effect) for effect in effects],
    }
    for split in EVALUATED:
        document[split] = _evaluated(parts[split], np.asarray(probabilities[split]), classes, resamples)
    return {name: _plain(value) for name, value in document.items()}


def _sizes(part: Part, classes: Sequence[str]) -> dict[str, Any]:
    counts = part.target.value_counts()
    return {
        "rows": len(part.target),
        "patients": len(np.unique(part.patients)),
        "classes": {name: int(counts.get(name, 0)) for name in classes},
    }


def _evaluated(part: Part, shares: Floats, classes: Sequence[str], resamples: int) -> dict[str, Any]:
    truth = part.target.to_numpy().astype(str)
    early, any_ = shares[:, list(classes).index("<30")], 1 - shares[:, list(classes).index("NO")]
    few = min(resamples, _SUBGROUP_RESAMPLES)
    return {
        **_figures(truth, shares, classes, part.patients, resamples),
        "subgroups": subgroups(truth.tolist(), shares, classes, part.groups, part.patients, few),
        "curves": {
            "early": curves.of(truth == "<30", early, weighted.bins_of(early)),
            "any": curves.of(truth != "NO", any_, weighted.bins_of(any_)),
        },
    }


def _plain(value: Any) -> Any:
    """The same with tuples as lists, and NaN, which JSON does not know, as None."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat_metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """The document's metrics for MLflow: `validation_auc_early`, `…_low`, `…_high`, and so on."""
    found = {}
    for split in EVALUATED:
        for name, value in document[split]["metrics"].items():
            low, high = document[split]["intervals"][name]
            for suffix, figure in (("", value), ("_low", low), ("_high", high)):
                if figure is not None:
                    found[f"{split}_{name}{suffix}"] = float(figure)
    return found


def feature_effects(
    predict_proba: Callable[[pd.DataFrame], Any],
    part: Part,
    classes: Sequence[str],
    rows: int = 2000,
    repeats: int = 3,
    seed: int = _SEED,
) -> list[dict[str, Any]]:
    """What shuffling one feature costs (Breiman 2001), largest first: the rise of log loss and the fall of the AUC of
    <30, mean and standard deviation over `repeats`, on at most `rows` rows. What correlated features
    share, neither shows.
    """
    generator = np.random.default_rng(seed)
    some = generator.permutation(len(part.target))[:rows]
    features, truth = part.features.iloc[some].reset_index(drop=True), part.target.iloc[some].to_numpy().astype(str)
    unshuffled = np.asarray(predict_proba(features))
    base = _loss_and_area(truth, unshuffled, classes)
    copies = pd.concat([features] * repeats, ignore_index=True)
    at_once = max(1, _ROWS_AT_ONCE // len(copies))
    effects = []
    for names in batched(map(str, features.columns), at_once, strict=False):
        orders = [np.concatenate([generator.permutation(len(features)) for _ in range(repeats)]) for _ in names]
        shuffled = [
            features[name].iloc[order].reset_index(drop=True) for name, order in zip(names, orders, strict=True)
        ]
        for name, shares in zip(names, _shares(predict_proba, copies, unshuffled, shuffled), strict=True):
            each = np.array([_loss_and_area(truth, one, classes) for one in np.split(shares, repeats)]) - base
            effects.append(_effect(name, each))
    return sorted(effects, key=lambda effect: -float(str(effect["log_loss"])))


def _shares(
    predict_proba: Callable[[pd.DataFrame], Any],
    rows: pd.DataFrame,
    unshuffled: Floats,
    columns: Sequence["pd.Series[Any]"],
) -> Iterator[Floats]:
    """For each column, what is forecast of `rows` with it in place of their own; all are asked for at once.

    `unshuffled` is what is forecast of the rows themselves, of which `rows` are copies. It stands where a column holds
    what the rows held, which most columns do in many rows.
    """
    changed = [np.flatnonzero(rows[one.name].ne(one) & (rows[one.name].notna() | one.notna())) for one in columns]
    asked = [
        rows.iloc[where].assign(**{str(one.name): one.iloc[where]}) for one, where in zip(columns, changed, strict=True)
    ]
    table = pd.concat(asked, ignore_index=True)
    found = np.asarray(predict_proba(table)) if len(table) else unshuffled[:0]
    ends = np.cumsum([len(where) for where in changed])
    for where, its in zip(changed, np.split(found, ends[:-1]), strict=True):
        shares = np.tile(unshuffled, (len(rows) // len(unshuffled), 1))
        shares[where] = its
        yield shares


def _effect(name: str, each: Floats) -> dict[str, Any]:
    """The rise of log loss and the fall of the AUC over repeats (repeats x 2)."""
    (loss, area), (loss_deviation, area_deviation) = each.mean(axis=0), each.std(axis=0)
    return {
        "feature": name,
        "log_loss": float(loss),
        "log_loss_deviation": float(loss_deviation),
        "auc_early": float(-area),
        "auc_early_deviation": float(area_deviation),
    }


def _loss_and_area(truth: NDArray[np.str_], shares: Floats, classes: Sequence[str]) -> Floats:
    of_truth = shares[np.arange(len(truth)), np.searchsorted(np.asarray(classes), truth)]
    groups = weighted.Ranking(truth == "<30", shares[:, list(classes).index("<30")]).groups(np.ones((1, len(truth))))
    loss = -np.log(np.clip(of_truth, np.finfo(float).eps, 1)).mean()
    return np.array([loss, weighted.auc(*groups)[0]])
