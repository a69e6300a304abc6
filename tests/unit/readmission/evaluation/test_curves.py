import numpy as np
import pytest
from readmission.evaluation import curves
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score, roc_curve

TRUTH = np.random.default_rng(1).random(5000) < 0.2
SCORE = (np.random.default_rng(2).normal(size=5000) + TRUTH).round(2)
BINS = np.searchsorted(np.quantile(SCORE, np.arange(1, 10) / 10), SCORE, side="right")


def test_a_few_points_describe_the_whole_roc_curve() -> None:
    points = curves.points(TRUTH, SCORE, BINS)["roc"]
    assert len(points["x"]) == len(points["y"]) <= curves.POINTS
    assert auc(points["x"], points["y"]) == pytest.approx(roc_auc_score(TRUTH, SCORE), abs=0.003)
    assert (points["x"][0], points["y"][0], points["x"][-1], points["y"][-1]) == (0, 0, 1, 1)


def test_points_lie_on_scikit_learns_curves() -> None:
    found = curves.points(TRUTH, SCORE, BINS)
    false, true, _ = roc_curve(TRUTH, SCORE, drop_intermediate=False)
    precision, recall, _ = precision_recall_curve(TRUTH, SCORE)
    for points, x, y in ((found["roc"], false, true), (found["precision_recall"], recall, precision)):
        theirs = set(zip(x.round(5).tolist(), y.round(5).tolist(), strict=True))
        assert set(zip(points["x"], points["y"], strict=True)) <= theirs


def test_reliability_compares_share_and_probability_in_each_bin() -> None:
    truth, probability = np.array([True, False, True, True]), np.array([0.2, 0.4, 0.6, 0.8])
    low, high = curves.points(truth, probability, np.array([0, 0, 1, 1]))["reliability"]
    assert (low["rows"], low["probability"], low["observed"]) == (2, pytest.approx(0.3), 0.5)
    assert (high["observed"], high["high"]) == (1.0, 1.0)
    assert 0 < low["low"] < 0.5 < low["high"] < 1


@pytest.mark.parametrize("truth", [[True, True], [False, False]], ids=["all true", "none true"])
def test_rows_of_a_single_class_have_curves(truth: list[bool]) -> None:
    found = curves.points(np.array(truth), np.array([0.1, 0.2]), np.array([0, 1]))
    assert np.isfinite(found["roc"]["x"] + found["precision_recall"]["y"]).all()
