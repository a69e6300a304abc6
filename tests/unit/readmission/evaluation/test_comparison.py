import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from readmission.evaluation.calibration import Calibration
from readmission.evaluation.comparison import (
    Comparison,
    Difference,
    Figures,
    Rows,
    compare,
    figures,
)
from sklearn.metrics import log_loss, roc_auc_score

CLASSES = ("<30", ">30", "NO")


def some_rows(count: int = 1200, patients: int = 700) -> Rows:
    generator = np.random.default_rng(5)
    return Rows(
        target=generator.choice(CLASSES, count, p=[0.2, 0.3, 0.5]),
        patients=generator.integers(0, patients, count),
        groups=pd.DataFrame({"gender": generator.choice(["Female", "Male"], count)}),
    )


def scores(rows: Rows, skill: float, seed: int = 1, digits: int | None = None) -> Any:
    """Probabilities that favour the true class by `skill`; rounding them to `digits` makes ties."""
    noise = np.random.default_rng(seed).normal(0, 0.5, (len(rows.target), 3))
    truth = np.stack([rows.target == name for name in CLASSES], axis=1)
    powers = np.exp(noise + skill * truth)
    shares = powers / powers.sum(axis=1, keepdims=True)
    return shares if digits is None else np.round(shares, digits) + 10.0**-digits


def test_differences_equal_those_of_scikit_learn() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.6), scores(rows, 0.3, seed=2)
    found = compare(rows, ours, theirs, CLASSES)
    expected = [log_loss(rows.target, one, labels=list(CLASSES)) for one in (ours, theirs)]
    assert found.log_loss.value == pytest.approx(expected[0] - expected[1])
    expected = [roc_auc_score(rows.early, one[:, 0]) for one in (ours, theirs)]
    assert found.auc_early.value == pytest.approx(expected[0] - expected[1])


def test_equal_scores_count_half_in_the_auc() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.6, digits=1), scores(rows, 0.3, seed=2, digits=1)
    expected = roc_auc_score(rows.early, ours[:, 0]) - roc_auc_score(rows.early, theirs[:, 0])
    assert compare(rows, ours, theirs, CLASSES).auc_early.value == pytest.approx(expected)


def test_a_model_does_not_differ_from_itself() -> None:
    rows = some_rows()
    ours = scores(rows, 0.5)
    found = compare(rows, ours, ours, CLASSES)
    assert found.log_loss == Difference(0, 0, 0) and found.auc_early == Difference(0, 0, 0)


def test_the_same_rows_give_the_same_interval() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.5), scores(rows, 0.4, seed=2)
    assert compare(rows, ours, theirs, CLASSES) == compare(rows, ours, theirs, CLASSES)


def test_a_clearly_better_model_has_its_interval_below_zero() -> None:
    rows = some_rows()
    found = compare(rows, scores(rows, 1.5), scores(rows, 0.1, seed=2), CLASSES)
    assert found.log_loss.high < 0 < found.auc_early.low


def test_a_clearly_worse_model_has_its_interval_above_zero() -> None:
    rows = some_rows()
    found = compare(rows, scores(rows, 0.1), scores(rows, 1.5, seed=2), CLASSES)
    assert found.log_loss.low > 0 > found.auc_early.high


def test_whole_patients_are_resampled() -> None:
    """Ten copies of the rows of the same patients do not make the interval narrower."""
    rows = some_rows(300, 300)
    again = Rows(np.tile(rows.target, 10), np.tile(rows.patients, 10), pd.concat([rows.groups] * 10, ignore_index=True))
    ours, theirs = scores(rows, 0.5), scores(rows, 0.4, seed=2)
    once = compare(rows, ours, theirs, CLASSES).log_loss
    tenfold = compare(again, np.tile(ours, (10, 1)), np.tile(theirs, (10, 1)), CLASSES).log_loss
    assert tenfold.high - tenfold.low == pytest.approx(once.high - once.low, rel=0.01)


def test_small_subgroups_are_left_out() -> None:
    rows = some_rows()
    rows.groups.loc[:150, "gender"] = "Unknown"
    found = compare(rows, scores(rows, 0.5), scores(rows, 0.4, seed=2), CLASSES)
    assert set(found.subgroups) == {"gender Female", "gender Male"}


def test_a_probability_of_zero_for_the_true_class_has_a_high_but_finite_loss() -> None:
    rows = some_rows()
    theirs = scores(rows, 0.5, seed=2)
    ours = theirs.copy()
    sure = np.flatnonzero(rows.target == "NO")[:60]
    ours[sure] = [0.5, 0.5, 0.0]
    found = compare(rows, ours, theirs, CLASSES)
    assert found.log_loss.low > 0 and math.isfinite(found.log_loss.high)


def test_the_order_of_the_classes_does_not_matter() -> None:
    rows = some_rows()
    ours, theirs = scores(rows, 0.5), scores(rows, 0.4, seed=2)
    turned = compare(rows, ours[:, ::-1], theirs[:, ::-1], CLASSES[::-1])
    straight = compare(rows, ours, theirs, CLASSES)
    assert turned.log_loss.high == pytest.approx(straight.log_loss.high)
    assert turned.auc_early == straight.auc_early


def test_the_interval_matches_a_naive_bootstrap() -> None:
    rows = some_rows(400, 250)
    ours, theirs = scores(rows, 0.5), scores(rows, 0.4, seed=2)
    known = np.unique(rows.patients)
    generator = np.random.default_rng(9)
    drawn = []
    for _ in range(400):
        some = np.concatenate([np.flatnonzero(rows.patients == one) for one in generator.choice(known, len(known))])
        areas = [roc_auc_score(rows.early[some], one[some, 0]) for one in (ours, theirs)]
        drawn.append(areas[0] - areas[1])
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = compare(rows, ours, theirs, CLASSES).auc_early
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.2 * (high - low))


def test_figures_equal_those_of_scikit_learn() -> None:
    rows = some_rows()
    ours = scores(rows, 0.6)
    found = figures(rows, ours, CLASSES, Calibration(1.0, 0.0, 0.01))
    assert found.log_loss == pytest.approx(log_loss(rows.target, ours, labels=list(CLASSES)))
    assert found.auc_early == pytest.approx(roc_auc_score(rows.early, ours[:, 0]))


def test_nan_and_infinity_are_null_in_json() -> None:
    nothing = Difference(math.nan, -math.inf, math.inf)
    written = [
        Figures(0.9, 0.6, Calibration(math.nan, math.nan, 0.01)).as_json(),
        Comparison(nothing, nothing, {"gender Male": nothing}).as_json(),
    ]
    assert json.loads(json.dumps(written, allow_nan=False))[0]["early_calibration_slope"] is None
