import pytest

from tests.load.measured import Request, held_of, quantile


def test_what_was_asked_in_the_time_counts_however_late_its_answer() -> None:
    settling = [Request("predict", 9.0, 900.0, False), Request("predict", 9.9, 5_000.0, False)]
    measured = [Request("predict", 10.0, 10.0, False), Request("batch", 19.9, 15_000.0, False)]
    later = Request("predict", 20.1, 7.0, False)
    found = held_of(30, [*settling, *measured, later], began=10.0, ended=20.0, worked=2.0, confirms=True)
    assert (found.users, found.confirms, found.requests, found.rate) == (30, True, 2, 0.2)
    assert (found.p50, found.p99, found.mean) == (10.0, 15_000.0, 7_505.0)
    assert (found.settling, found.settling_slowest) == (2, 5_000.0)
    assert found.p95_by_kind == {"predict": 10.0, "batch": 15_000.0}
    assert found.processor == pytest.approx(0.2)


@pytest.mark.parametrize("began", [9.0, 15.0, 20.5])
def test_a_failure_counts_whenever_it_was_asked(began: float) -> None:
    assert held_of(1, [Request("health", began, 1.0, True)], 10.0, 20.0, 0.0, False).failures == 1


def test_without_requests_all_figures_are_zero() -> None:
    found = held_of(1, [], 10.0, 20.0, 0.0, False)
    assert (found.requests, found.mean, found.p95, found.settling_slowest) == (0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("share", "value"), [(0.5, 10), (0.95, 19), (0.99, 20)])
def test_a_quantile_is_the_smallest_value_that_so_many_are_not_above(share: float, value: float) -> None:
    assert quantile([float(one) for one in range(1, 21)], share) == value
