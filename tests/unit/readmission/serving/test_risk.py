"""A patient's place among the training patients."""

import pytest
from readmission.serving.risk import band, place

PERCENT = tuple(n / 100 for n in range(101))


@pytest.mark.parametrize(("probability", "percentile"), [(0.0, 0), (0.01, 1), (0.5, 50), (0.905, 90.5), (1.0, 100)])
def test_a_probability_between_two_quantiles_stands_in_proportion_between_them(
    probability: float, percentile: float
) -> None:
    assert place(PERCENT, probability) == pytest.approx(percentile)


def test_a_place_is_interpolated_between_quantiles_that_are_unevenly_apart() -> None:
    assert place((0.0, 0.1, 0.5), 0.2) == pytest.approx(62.5)


def test_who_is_below_or_above_every_training_patient_stands_at_the_end() -> None:
    quantiles = (0.2, 0.3, 0.4)
    assert (place(quantiles, 0.0), place(quantiles, 0.9)) == (0, 100)


def test_who_has_the_risk_of_many_training_patients_stands_in_their_middle() -> None:
    assert place((0.1, 0.2, 0.2, 0.2, 0.5), 0.2) == 50
    assert place((0.2, 0.2, 0.2), 0.2) == 50


def test_a_higher_risk_never_has_a_lower_place() -> None:
    quantiles = (0.05, 0.05, 0.1, 0.1, 0.1, 0.3, 0.9)
    places = [place(quantiles, probability / 1000) for probability in range(1001)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("percentile", "name"),
    [
        (0, "low"),
        (49.9, "low"),
        (50, "moderate"),
        (79.9, "moderate"),
        (80, "high"),
        (89.9, "high"),
        (90, "very high"),
        (100, "very high"),
    ],
)
def test_each_percentile_has_its_band(percentile: float, name: str) -> None:
    assert band(percentile) == name
