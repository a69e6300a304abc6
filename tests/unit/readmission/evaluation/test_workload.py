import pytest
from readmission.evaluation.workload import plan


def _point(share: float, threshold: float, ppv: float | None, recall: float | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {"share": share, "threshold": threshold}
    for name, value in (("ppv", ppv), ("recall", recall)):
        bounds = (None, None) if value is None else (value - 0.05, value + 0.05)
        found |= {name: value, f"{name}_low": bounds[0], f"{name}_high": bounds[1]}
    return found


POINTS = [_point(0.05, 0.4, 0.3, 0.15), _point(0.2, 0.2, 0.25, 0.5), _point(1.0, 0.01, 0.1, 1.0)]


def test_calls_a_day_become_a_threshold_with_hits_and_misses() -> None:
    found = plan(POINTS, base_rate=0.1, discharges=100, calls=20)
    assert found is not None
    assert (found.threshold, found.calls) == (0.2, 20)
    assert found.hits.value == pytest.approx(5) and found.misses.value == pytest.approx(5)
    assert found.hits.value + found.misses.value == pytest.approx(100 * 0.1)
    assert (found.hits.low, found.hits.high) == (pytest.approx(4), pytest.approx(6))
    assert (found.misses.low, found.misses.high) == (pytest.approx(4.5), pytest.approx(5.5))
    assert found.to_call.value == pytest.approx(4)
    assert (found.to_call.low, found.to_call.high) == (pytest.approx(1 / 0.3), pytest.approx(5))


def test_no_more_patients_are_called_than_the_team_can_call() -> None:
    found = plan(POINTS, base_rate=0.1, discharges=100, calls=19)
    assert found is not None and (found.threshold, found.calls) == (0.4, 5)


def test_a_team_that_can_call_everybody_does() -> None:
    found = plan(POINTS, base_rate=0.1, discharges=10, calls=50)
    assert found is not None and (found.calls, found.misses.value) == (10, 0)


def test_too_few_calls_for_the_test_rows_have_no_plan() -> None:
    assert plan(POINTS, base_rate=0.1, discharges=1000, calls=1) is None


def test_rows_without_an_early_readmission_have_no_number_to_call() -> None:
    found = plan([_point(1.0, 0.01, 0.0, None)], base_rate=0.0, discharges=10, calls=10)
    assert found is not None and found.to_call.value is None
