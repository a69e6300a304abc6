"""A patient's percentile among the training patients."""

import pytest
from readmission.serving.risk import band, percentile_of

PERCENT = tuple(n / 100 for n in range(101))


@pytest.mark.parametrize(("probability", "percentile"), [(0.0, 0), (0.01, 1), (0.5, 50), (0.905, 90.5), (1.0, 100)])
def test_a_probability_between_two_quantiles_is_interpolated(probability: float, percentile: float) -> None:
    assert percentile_of(PERCENT, probability) == pytest.approx(percentile)


def test_interpolation_uses_the_distance_of_the_quantiles() -> None:
    assert percentile_of((0.0, 0.1, 0.5), 0.2) == pytest.approx(62.5)


def test_a_risk_below_or_above_all_quantiles_is_at_the_end() -> None:
    quantiles = (0.2, 0.3, 0.4)
    assert (percentile_of(quantiles, 0.0), percentile_of(quantiles, 0.9)) == (0, 100)


def test_a_risk_equal_to_several_quantiles_is_in_their_middle() -> None:
    assert percentile_of((0.1, 0.2, 0.2, 0.2, 0.5), 0.2) == 50
    assert percentile_of((0.2, 0.2, 0.2), 0.2) == 50


def test_a_higher_risk_never_has_a_lower_percentile_of() -> None:
    quantiles = (0.05, 0.05, 0.1, 0.1, 0.1, 0.3, 0.9)
    percentiles = [percentile_of(quantiles, probability / 1000) for probability in range(1001)]
    assert percentiles == sorted(percentiles)


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
