"""The evaluation document: metrics, intervals, subgroups and curves of one model, as the plots and the card need them.

`readmission.evaluation.metrics` explains the metrics.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from readmission.domain.splits import Split
from readmission.evaluation import curves, decision_curve
from readmission.evaluation.arrays import Flags, Floats, json_value
from readmission.evaluation.calibration import bins_of
from readmission.evaluation.dataset import Part
from readmission.evaluation.metrics import RESAMPLES, compute_intervals, compute_metrics
from readmission.evaluation.ranking import FLAGGED_SHARE

FORMAT: Final = "readmission-evaluation"
EVALUATED: Final[tuple[Split, ...]] = ("validation", "test")
_SUBGROUP_RESAMPLES: Final = 200
_FEWEST_ROWS: Final = 50
_FEWEST_EARLY: Final = 5


def evaluation_document(
    parts: Mapping[Split, Part],
    probabilities: Mapping[Split, Any],
    classes: Sequence[str],
    effects: Sequence[Mapping[str, Any]] = (),
    excluded: Mapping[str, int] | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """The document, ready for JSON; an undefined figure is null.

    Documents of earlier releases have no `thresholds`.

    `probabilities` (rows x classes) are those of the splits in `EVALUATED`, `effects` the result of
    `feature_effects`, and `excluded` the number of rows left out before the split, by reason.
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
        document[split] = _evaluate(parts[split], np.asarray(probabilities[split]), classes, resamples)
    return {name: json_value(value) for name, value in document.items()}


def flat_metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """The document's defined metrics under MLflow's names: `validation_auc_early`, `…_low`, `…_high` and so on."""
    found = {}
    for split in EVALUATED:
        for name, value in document[split]["metrics"].items():
            low, high = document[split]["intervals"][name]
            for suffix, figure in (("", value), ("_low", low), ("_high", high)):
                if figure is not None:
                    found[f"{split}_{name}{suffix}"] = float(figure)
    return found


def subgroups(
    target: Sequence[str],
    probabilities: Any,
    classes: Sequence[str],
    groups: pd.DataFrame,
    patients: NDArray[np.int64],
    resamples: int = _SUBGROUP_RESAMPLES,
) -> list[dict[str, Any]]:
    """Evaluate each value of each column of `groups` separately.

    An entry holds rows, patients, base rate, metrics, intervals, and what the threshold that flags 10 % of all rows
    does in the subgroup. With fewer than 50 rows or 5 early readmissions it is `too_few` and holds only the counts.
    """
    truth, shares = np.asarray(target), np.asarray(probabilities)
    early, risk = truth == "<30", shares[:, list(classes).index("<30")]
    flag = risk >= np.quantile(risk, 1 - FLAGGED_SHARE)
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
                entry |= _metrics_with_intervals(truth[inside], shares[inside], classes, patients[inside], resamples)
                entry |= _flags(early[inside], risk[inside], flag[inside])
            found.append(entry)
    return found


def _sizes(part: Part, classes: Sequence[str]) -> dict[str, Any]:
    counts = part.target.value_counts()
    return {
        "rows": len(part.target),
        "patients": len(np.unique(part.patients)),
        "classes": {name: int(counts.get(name, 0)) for name in classes},
    }


def _evaluate(part: Part, shares: Floats, classes: Sequence[str], resamples: int) -> dict[str, Any]:
    truth = part.target.to_numpy().astype(str)
    early, any_ = shares[:, list(classes).index("<30")], 1 - shares[:, list(classes).index("NO")]
    fewer = min(resamples, _SUBGROUP_RESAMPLES)
    return {
        **_metrics_with_intervals(truth, shares, classes, part.patients, resamples),
        "subgroups": subgroups(truth.tolist(), shares, classes, part.groups, part.patients, fewer),
        "curves": {
            "early": curves.points(truth == "<30", early, bins_of(early)),
            "any": curves.points(truth != "NO", any_, bins_of(any_)),
        },
        "thresholds": decision_curve.thresholds(truth == "<30", early, part.patients, resamples),
    }


def _metrics_with_intervals(
    target: Any, probabilities: Any, classes: Sequence[str], patients: NDArray[np.int64], resamples: int
) -> dict[str, Any]:
    return {
        "metrics": compute_metrics(target, probabilities, classes),
        "intervals": compute_intervals(target, probabilities, classes, patients, resamples),
    }


def _flags(early: Flags, risk: Floats, flag: Flags) -> dict[str, float]:
    """Calibration in the large (mean probability minus observed share), and the effect of the common threshold."""
    return {
        "base_rate": float(early.mean()),
        "mean_probability": float(risk.mean()),
        "calibration_in_the_large": float(risk.mean() - early.mean()),
        "flagged_share": float(flag.mean()),
        "flagged_ppv": float(early[flag].mean()) if flag.any() else math.nan,
        "flagged_recall": float(flag[early].mean()),
    }
