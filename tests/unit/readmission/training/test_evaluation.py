from math import log

import pytest
from readmission.training.evaluation import SELECTION, metrics

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
    ],
)
def test_a_metric_is_what_it_is_by_hand(name: str, value: float) -> None:
    assert metrics(TARGET, SHARES, CLASSES)[name] == pytest.approx(value, abs=1e-7)


def test_no_metric_is_left_out_of_this_test() -> None:
    assert len(metrics(TARGET, SHARES, CLASSES)) == 8


def test_the_metric_that_selects_is_one_of_them() -> None:
    assert SELECTION in metrics(TARGET, SHARES, CLASSES)


def test_perfect_probabilities_have_perfect_metrics() -> None:
    found = metrics(["<30", ">30", "NO"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], CLASSES)
    assert found == pytest.approx({name: float("loss" not in name and "brier" not in name) for name in found})
