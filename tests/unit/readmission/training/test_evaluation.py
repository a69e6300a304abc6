from math import log

import numpy as np
import pytest
from readmission.training.evaluation import SELECTION, calibration, metrics

CLASSES = ["<30", ">30", "NO"]
TARGET = ["<30", ">30", "NO", "NO"]
SHARES = [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("log_loss", -(log(0.5) + log(0.5) + log(0.3) + log(0.8)) / 4, id="log_loss"),
        # The third row's likeliest class is <30 in place of NO.
        pytest.param("accuracy", 3 / 4, id="accuracy"),
        # <30: precision 1/2, recall 1; >30: both 1; NO: precision 1, recall 1/2.
        pytest.param("f1_macro", (2 / 3 + 1 + 2 / 3) / 3, id="f1_macro"),
        # Pairs in the right order, ties half: <30 2 of 3, >30 3 of 3, NO 3.5 of 4.
        pytest.param("auc_macro_ovr", (2 / 3 + 1 + 3.5 / 4) / 3, id="auc_macro_ovr"),
        pytest.param("auc_early", 2 / 3, id="auc_early"),
        # The one <30 is second in the ranking.
        pytest.param("average_precision_early", 1 / 2, id="average_precision_early"),
        pytest.param("brier_early", (0.5**2 + 0.2**2 + 0.6**2 + 0.1**2) / 4, id="brier_early"),
        # 1 - NO: 0.8 and 0.7 of the readmitted against 0.7 and 0.2.
        pytest.param("auc_any", 3.5 / 4, id="auc_any"),
        # Two of four have an equal risk of any readmission, one of them is readmitted.
        pytest.param("average_precision_any", (1 + 2 / 3) / 2, id="average_precision_any"),
        pytest.param("brier_any", (0.2**2 + 0.3**2 + 0.7**2 + 0.2**2) / 4, id="brier_any"),
    ],
)
def test_a_metric_is_what_it_is_by_hand(name: str, value: float) -> None:
    assert metrics(TARGET, SHARES, CLASSES)[name] == pytest.approx(value, abs=1e-7)


def test_the_metric_that_selects_is_one_of_them() -> None:
    assert SELECTION in metrics(TARGET, SHARES, CLASSES)


def test_perfect_probabilities_have_perfect_metrics() -> None:
    found = metrics(["<30", ">30", "NO"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], CLASSES)
    ideal = {name: float("loss" not in name and "brier" not in name) for name in found if "calibration" not in name}
    assert {name: found[name] for name in ideal} == pytest.approx(ideal | {"ece_early": 0.0})


def _drawn(count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    probability = generator.uniform(0.02, 0.4, count)
    return generator.uniform(size=count) < probability, probability


def test_probabilities_that_are_true_have_slope_one_and_no_error() -> None:
    truth, probability = _drawn()
    found = calibration(truth, probability)
    assert found.slope == pytest.approx(1, abs=0.1)
    assert found.intercept == pytest.approx(0, abs=0.15)
    assert found.ece < 0.01


def test_probabilities_that_exaggerate_have_a_slope_below_one() -> None:
    truth, probability = _drawn()
    odds = (probability / (1 - probability)) ** 2
    assert calibration(truth, odds / (1 + odds)).slope == pytest.approx(0.5, abs=0.05)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    truth, probability = _drawn()
    assert calibration(truth, np.clip(probability + 0.1, 0, 1)).ece == pytest.approx(0.1, abs=0.01)


def test_the_operating_point_flags_the_tenth_with_the_highest_risk() -> None:
    risk = np.linspace(0.9, 0.1, 20)
    target = ["<30", "NO", *[">30"] * 9, *["NO"] * 8, "<30"]
    shares = np.stack([risk, (1 - risk) / 2, (1 - risk) / 2], axis=1)
    found = metrics(target, shares, ["<30", ">30", "NO"])
    assert (found["top10_ppv_early"], found["top10_recall_early"]) == (0.5, 0.5)
