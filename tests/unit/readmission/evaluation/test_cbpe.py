"""Quality estimated without labels, and measured with them, against reference values and plain formulas."""

import csv
import gzip

import numpy as np
import pytest
from readmission.evaluation import cbpe, quality
from readmission.evaluation.arrays import Flags, Floats

from tests.unit.readmission.evaluation.test_psi import NANNYML

HALVES = pytest.mark.parametrize(
    ("half", "by_expectation", "auc"),
    [(slice(0, 6000), 0.725358, 0.737105), (slice(6000, 12000), 0.727729, 0.739864)],
    ids=["first half", "second half"],
)


def analysis(half: slice) -> tuple[Floats, Flags]:
    with gzip.open(NANNYML / "analysis.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))[half]
    return np.array([float(row["p"]) for row in rows]), np.array([row["y"] == "1" for row in rows])


def expected_auc(probability: Floats) -> float:
    """The chance that a positive is ranked above a negative, if each row is both in proportion; ties count half."""
    values, place = np.unique(probability, return_inverse=True)
    positive = np.bincount(place, weights=probability)
    negative = np.bincount(place, weights=1 - probability)
    below = np.concatenate([[0], negative.cumsum()[:-1]])
    assert len(values) == len(below)
    return float((positive * (below + negative / 2)).sum() / (positive.sum() * negative.sum()))


@HALVES
def test_the_estimated_auc_is_the_one_by_expectation(half: slice, by_expectation: float, auc: float) -> None:
    probability, _ = analysis(half)
    found = cbpe.estimated(probability)["auc_early"]
    assert found.value == pytest.approx(by_expectation, abs=1e-6)
    assert found.value == pytest.approx(expected_auc(probability), abs=1e-12)


@HALVES
def test_the_realised_auc_is_that_of_the_labels_and_within_the_estimates_interval(
    half: slice, by_expectation: float, auc: float
) -> None:
    probability, early = analysis(half)
    realised = quality.realised(early, probability, np.arange(6000))
    assert realised["auc_early"].value == pytest.approx(auc, abs=1e-6)
    for name, estimate in cbpe.estimated(probability).items():
        assert estimate.low < realised[name].value < estimate.high
        assert realised[name].low < realised[name].value < realised[name].high


def test_log_loss_and_precision_are_expected_values() -> None:
    probability = np.random.default_rng(2).beta(1, 8, 2000)
    found = cbpe.estimated(probability)
    entropy = -(probability * np.log(probability) + (1 - probability) * np.log(1 - probability)).mean()
    assert found["log_loss"].value == pytest.approx(entropy)
    assert found["top_decile_precision"].value == pytest.approx(np.sort(probability)[-200:].mean())


def test_the_estimated_calibration_error_is_what_chance_makes_in_so_few_rows() -> None:
    probability = np.random.default_rng(3).beta(1, 8, 2000)
    # The mean distance of a binomial share from its probability, by its normal approximation.
    bins = np.array_split(np.sort(probability), 10)
    expected = sum(np.sqrt(2 / np.pi * (one * (1 - one)).sum()) for one in bins) / 2000
    assert cbpe.estimated(probability)["calibration_error_early"].value == pytest.approx(expected, rel=0.05)


def test_calibrated_forecasts_are_within_the_interval_almost_always() -> None:
    random = np.random.default_rng(4)
    outside = 0
    for _ in range(40):
        probability = random.beta(1, 8, 800)
        early = random.random(800) < probability
        realised = quality.realised(early, probability, np.arange(800), resamples=2)
        outside += sum(
            not one.low <= realised[name].value <= one.high for name, one in cbpe.estimated(probability).items()
        )
    assert outside <= 4  # of 160


def test_an_interval_over_patients_is_wider_where_patients_have_several_stays() -> None:
    random = np.random.default_rng(5)
    probability = np.repeat(random.beta(1, 8, 300), 5)
    early = np.repeat(random.random(300) < probability[::5], 5)
    of_patients = quality.realised(early, probability, np.repeat(np.arange(300), 5))["auc_early"]
    of_rows = quality.realised(early, probability, np.arange(1500))["auc_early"]
    assert of_patients.high - of_patients.low > 1.5 * (of_rows.high - of_rows.low)


def test_an_undefined_figure_is_null() -> None:
    assert quality.Figure(0.5, float("nan"), float("nan")).as_json() == {"value": 0.5, "low": None, "high": None}
