import time
from math import log

import numpy as np
import pytest
from readmission.evaluation.metrics import compute_intervals, compute_metrics
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from tests.unit.readmission.evaluation.samples import CLASSES, sample

TARGET = ["<30", ">30", "NO", "NO"]
SHARES = [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]
BY_HAND = {
    "log_loss": -(log(0.5) + log(0.5) + log(0.3) + log(0.8)) / 4,
    # The third row's likeliest class is <30 and not NO.
    "accuracy": 3 / 4,
    # <30: precision 1/2, recall 1; >30: both 1; NO: precision 1, recall 1/2.
    "f1_macro": (2 / 3 + 1 + 2 / 3) / 3,
    # Pairs in the right order, ties half: <30 2 of 3, >30 3 of 3, NO 3.5 of 4.
    "auc_macro_ovr": (2 / 3 + 1 + 3.5 / 4) / 3,
    "auc_early": 2 / 3,
    # The one <30 is second in the ranking.
    "average_precision_early": 1 / 2,
    "brier_early": (0.5**2 + 0.2**2 + 0.6**2 + 0.1**2) / 4,
    "log_loss_early": -(log(0.5) + log(0.8) + log(0.4) + log(0.9)) / 4,
    # A tenth of four rows lies within the first, which is NO.
    "top10_ppv": 0.0,
    "top10_recall": 0.0,
    # 1 - NO: 0.8 and 0.7 of the readmitted against 0.7 and 0.2.
    "auc_any": 3.5 / 4,
    # One of one at 0.8, then two of three at 0.7.
    "average_precision_any": (1 + 2 / 3) / 2,
    "brier_any": (0.2**2 + 0.3**2 + 0.7**2 + 0.2**2) / 4,
    "log_loss_any": -(log(0.8) + log(0.7) + log(0.3) + log(0.8)) / 4,
}
CALIBRATIONS = {
    f"{target}_{figure}"
    for target in ("early", "any")
    for figure in ("calibration_slope", "calibration_intercept", "ece")
}


@pytest.mark.parametrize(("name", "value"), BY_HAND.items(), ids=BY_HAND)
def test_a_metric_equals_its_value_by_hand(name: str, value: float) -> None:
    assert compute_metrics(TARGET, SHARES, CLASSES)[name] == pytest.approx(value, abs=1e-7)


def test_every_metric_is_tested_here() -> None:
    assert compute_metrics(TARGET, SHARES, CLASSES).keys() == BY_HAND.keys() | CALIBRATIONS


def test_perfect_probabilities_have_perfect_metrics() -> None:
    found = compute_metrics(["<30", ">30", "NO"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], CLASSES)
    ideal = {name: float("loss" not in name and "brier" not in name) for name in BY_HAND}
    ideal["top10_recall"] = 0.3  # a tenth of three rows is 0.3 rows
    assert {name: found[name] for name in BY_HAND} == pytest.approx(ideal)
    assert found["early_ece"] == found["any_ece"] == pytest.approx(0)


@pytest.mark.parametrize("digits", [1, 2, 15], ids=["many ties", "some ties", "no ties"])
def test_metrics_equal_those_of_scikit_learn(digits: int) -> None:
    rows, shares = sample()
    shares = shares.round(digits)
    shares[:, 2] = 1 - shares[:, 0] - shares[:, 1]
    truth, found = rows.target.to_numpy(), compute_metrics(rows.target.to_list(), shares, CLASSES)
    # scikit-learn's multi-class AUC and log loss require sums of exactly 1, so these are compared class by class.
    areas = [roc_auc_score(truth == name, shares[:, index]) for index, name in enumerate(CLASSES)]
    assert found["auc_macro_ovr"] == pytest.approx(np.mean(areas))
    assert found["auc_any"] == pytest.approx(roc_auc_score(truth != "NO", 1 - shares[:, 2]))
    assert found["average_precision_early"] == pytest.approx(average_precision_score(truth == "<30", shares[:, 0]))
    guess = np.array(CLASSES)[shares.argmax(axis=1)]
    assert found["f1_macro"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found["log_loss_early"] == pytest.approx(log_loss(truth == "<30", shares[:, 0]))


def test_ties_at_the_top_10_limit_count_in_proportion() -> None:
    target = ["<30"] * 5 + ["NO"] * 15
    found = compute_metrics(target, [[0.2, 0.2, 0.6]] * 20, CLASSES)
    assert (found["top10_ppv"], found["top10_recall"]) == pytest.approx((0.25, 0.1))


def test_an_interval_contains_its_metric() -> None:
    rows, shares = sample()
    found = compute_metrics(rows.target.to_list(), shares, CLASSES)
    for name, (low, high) in compute_intervals(rows.target.to_list(), shares, CLASSES, rows.patients, 200).items():
        assert low <= found[name] <= high and low < high, name


def test_intervals_depend_only_on_the_seed() -> None:
    rows, shares = sample()
    first, again, other = (
        compute_intervals(rows.target.to_list(), shares, CLASSES, rows.patients, 30, seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_rows_of_one_patient_are_drawn_together() -> None:
    """Ten copies of each row as stays of one patient do not make the interval narrower."""
    rows, shares = sample(300)
    target, tenfold = rows.target.to_list(), [name for name in rows.target for _ in range(10)]
    once = compute_intervals(target, shares, CLASSES, np.arange(300))["auc_early"]
    stays = compute_intervals(tenfold, shares.repeat(10, axis=0), CLASSES, np.arange(300).repeat(10))["auc_early"]
    assert stays == pytest.approx(once)


def test_an_interval_is_as_wide_as_the_spread_of_new_samples() -> None:
    areas = []
    for seed in range(60):
        rows, shares = sample(600, seed)
        areas.append(compute_metrics(rows.target.to_list(), shares, CLASSES)["auc_early"])
    rows, shares = sample(600)
    low, high = compute_intervals(rows.target.to_list(), shares, CLASSES, np.arange(600))["auc_early"]
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(areas), rel=0.35)


def test_intervals_of_15_000_rows_take_seconds() -> None:
    rows, shares = sample(15_000)
    started = time.process_time()
    compute_intervals(rows.target.to_list(), shares, CLASSES, rows.patients)
    assert time.process_time() - started < 15
