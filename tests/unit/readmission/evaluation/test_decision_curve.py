import json

import numpy as np
import pytest
from readmission.evaluation import decision_curve
from readmission.evaluation.arrays import json_value

GENERATOR = np.random.default_rng(3)
RISK = GENERATOR.beta(2, 14, 2000)
EARLY = GENERATOR.random(2000) < RISK
PATIENTS = GENERATOR.integers(0, 1200, 2000)
FOUND = decision_curve.thresholds(EARLY, RISK, PATIENTS, 200)


def test_the_net_benefit_is_that_of_vickers_and_elkin() -> None:
    for point in FOUND["decision_curve"]:
        called = point["threshold"] <= RISK
        odds = point["threshold"] / (1 - point["threshold"])
        expected = (called & EARLY).mean() - (called & ~EARLY).mean() * odds
        assert point["net_benefit"] == pytest.approx(expected, abs=1e-6)
        assert point["treat_all"] == pytest.approx(EARLY.mean() - (1 - EARLY.mean()) * odds, abs=1e-6)
        assert point["gain"] == pytest.approx(expected - max(point["treat_all"], 0), abs=2e-6)


def test_a_calibrated_model_is_worth_more_than_calling_everybody_or_nobody() -> None:
    at = {point["threshold"]: point for point in FOUND["decision_curve"]}
    assert at[0.15]["gain_low"] > 0
    assert at[0.15]["net_benefit_low"] < at[0.15]["net_benefit"] < at[0.15]["net_benefit_high"]


def test_each_share_has_the_threshold_that_calls_no_more_and_what_it_finds() -> None:
    shares = [point["share"] for point in FOUND["workload"]]
    assert shares == sorted(shares) and shares[-1] == 1
    for point in FOUND["workload"]:
        called = point["threshold"] <= RISK
        assert called.mean() == pytest.approx(point["share"], abs=1e-3)
        assert EARLY[called].mean() == pytest.approx(point["ppv"], abs=2e-2 if called.sum() < 50 else 1e-3)
        assert called[EARLY].mean() == pytest.approx(point["recall"], abs=5e-3)
        assert point["ppv_low"] <= point["ppv"] <= point["ppv_high"]


def test_equal_risks_are_called_together_or_not_at_all() -> None:
    risk = np.repeat([0.4, 0.1], [30, 970])
    points = decision_curve.thresholds(EARLY[:1000], risk, PATIENTS[:1000], 5)["workload"]
    assert [(point["share"], point["threshold"]) for point in points] == [(0.03, 0.4), (1.0, 0.1)]


def test_whole_patients_are_drawn_so_that_stays_of_one_patient_widen_the_intervals() -> None:
    def width(patients: np.ndarray) -> float:
        point = decision_curve.thresholds(EARLY, RISK, patients, 200)["workload"][20]
        return point["ppv_high"] - point["ppv_low"]

    repeated = np.argsort(np.argsort(RISK)) // 20  # twenty stays of similar risk for each patient
    assert width(repeated) != width(np.arange(2000))


@pytest.mark.parametrize("early", [np.zeros(50, bool), np.ones(50, bool)], ids=["none", "all"])
def test_rows_of_one_class_have_a_document_with_nulls(early: np.ndarray) -> None:
    found = json_value(decision_curve.thresholds(early, RISK[:50], PATIENTS[:50], 5))
    json.dumps(found, allow_nan=False)
    assert found["workload"][-1]["recall"] == (1 if early.any() else None)
