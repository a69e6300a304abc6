"""The table of metrics, as those who write and read by it rely on it."""

from math import inf

import pytest
from readmission.metrics import METRICS, le_text


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (0.000025, "0.000025"),
        (0.005, "0.005"),
        (0.1, "0.1"),
        (1, "1"),
        (1.0, "1"),
        (2.5, "2.5"),
        (10, "10"),
        (inf, "+Inf"),
    ],
)
def test_a_bound_is_a_plain_decimal(bound: float, text: str) -> None:
    assert le_text(bound) == text


def test_every_bound_is_told_exactly_and_apart() -> None:
    for metric in METRICS:
        assert (
            [float(le_text(bound)) for bound in metric.buckets] == list(metric.buckets) == sorted(set(metric.buckets))
        )
