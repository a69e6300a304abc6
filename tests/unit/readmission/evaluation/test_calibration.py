from math import inf, isnan

import numpy as np
import pytest
from readmission.evaluation.calibration import calibration_of
from sklearn.linear_model import LogisticRegression

from tests.unit.readmission.evaluation.samples import sample


def test_recalibration_equals_an_unpenalised_logistic_regression() -> None:
    rows, shares = sample()
    truth, given = rows.target.to_numpy() == "<30", shares[:, 0] ** 1.3
    logit = np.log(given / (1 - given)).reshape(-1, 1)
    fitted = LogisticRegression(C=inf, tol=1e-10).fit(logit, truth)
    found = calibration_of(truth, given)
    assert (found.slope, found.intercept) == pytest.approx((fitted.coef_[0, 0], fitted.intercept_[0]), abs=1e-4)


def test_true_probabilities_are_calibrated_and_exaggerated_ones_are_not() -> None:
    rows, shares = sample(20_000)
    truth = rows.target.to_numpy() == "<30"
    good, bad = calibration_of(truth, shares[:, 0]), calibration_of(truth, shares[:, 0] * 2)
    assert 0.9 < good.slope < 1.1 and good.ece < 0.01
    assert bad.ece == pytest.approx(shares[:, 0].mean(), abs=0.01) and bad.intercept < -0.5


@pytest.mark.parametrize(
    ("truth", "probability"),
    [([True, False], [0.9, 0.1]), ([True], [0.5]), ([True, True], [0.2, 0.3]), ([True, False], [1.0, 0.0])],
    ids=["separated", "one row", "one class", "certain"],
)
def test_calibration_of_tiny_data_neither_fails_nor_warns(truth: list[bool], probability: list[float]) -> None:
    assert 0 <= calibration_of(np.array(truth), np.array(probability)).ece <= 1


def test_equal_probabilities_have_no_calibration_slope() -> None:
    assert isnan(calibration_of(np.array([True, False, False]), np.full(3, 0.5)).slope)
