"""Confidence-based performance estimation (CBPE): how good forecasts are, estimated without labels.

A calibrated forecast says how often it is right. *By expectation* each row counts as an early readmission with its
forecast `p` as weight, and as none with `1 - p`. The forecasts are taken as they are, and not calibrated again on the
reference rows: the promotion refuses miscalibrated models, so what is estimated is what the API's answers claim. If
labels later contradict the estimate, the forecasts are no longer calibrated, which is what one wants to know.

The AUC, the log loss and the precision are the expected ones. The expected calibration error of calibrated forecasts is
what chance alone makes, the mean over drawn labels.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from readmission.evaluation import bootstrap
from readmission.evaluation.arrays import Floats
from readmission.evaluation.calibration import BINS, bins_of
from readmission.evaluation.quality import METRICS, Figure, losses
from readmission.evaluation.ranking import Ranking, auc, flagged

_DRAWS: Final = 200
_CHUNK: Final = 25  # draws per array
_ERRORS: Final = 3  # standard errors on each side of an estimate, as NannyML has it


def estimated(probability: Floats, draws: int = _DRAWS) -> dict[str, Figure]:
    """The figures of `quality.realised` that are expected of these forecasts (one per row), if they are calibrated.

    The interval is three standard errors on each side: where the realised figure is, once labels of these rows are
    there. The errors are those of labels drawn from the forecasts, with a fixed seed.
    """
    ranking = Ranking(np.ones(len(probability), dtype=np.bool_), probability)
    total = ranking.totals(np.ones((1, len(probability))))
    if_early, if_not = losses(probability)
    inside = np.zeros((len(probability), BINS))
    inside[np.arange(len(probability)), bins_of(probability)] = 1

    def with_labels(labels: Floats) -> dict[str, Floats]:
        true = ranking.totals(labels)
        return {
            "auc_early": auc(total, true),
            "log_loss": (labels @ (if_early - if_not) + if_not.sum()) / len(probability),
            "calibration_error_early": np.abs((labels - probability) @ inside).sum(axis=1) / len(probability),
            "top_decile_precision": flagged(total, true)[0],
        }

    generator = np.random.default_rng(bootstrap.SEED)
    chunks = [
        with_labels((generator.random((min(_CHUNK, draws - done), len(probability))) < probability).astype(np.float64))
        for done in range(0, draws, _CHUNK)
    ]
    drawn = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS}
    expected = {name: float(values[0]) for name, values in with_labels(probability[None, :]).items()}
    expected["calibration_error_early"] = float(drawn["calibration_error_early"].mean())
    return {name: _with_interval(name, expected[name], drawn[name]) for name in METRICS}


def _with_interval(name: str, value: float, drawn: Floats) -> Figure:
    defined = drawn[np.isfinite(drawn)]
    error = _ERRORS * float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    return _bounded(name, value, error)


def _bounded(name: str, value: float, error: float) -> Figure:
    low, high = max(value - error, 0.0), value + error
    return Figure(value, low, high if name == "log_loss" else min(high, 1.0))


def widened(figures: Mapping[str, Figure], reference: Mapping[str, Mapping[str, float | None]]) -> dict[str, Figure]:
    """The figures with intervals that also allow for what the calibration is known by: the reference rows.

    `reference` are the estimates for the rows on which the calibration was measured. A model that seems calibrated on
    few rows may be off by as much as chance makes of them; both errors add up as squares.
    """
    found = {}
    for name, (value, low, high) in figures.items():
        known = reference[name]
        if known["value"] is None or known["high"] is None:
            found[name] = figures[name]
            continue
        error = math.hypot(max(high - value, value - low), known["high"] - known["value"])
        found[name] = _bounded(name, value, error)
    return found
