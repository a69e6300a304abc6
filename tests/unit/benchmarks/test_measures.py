"""What is calculated from what was measured."""

import pytest

from tests.benchmarks import growth, pipeline, report, steps
from tests.benchmarks.pipeline import Invocation


@pytest.mark.parametrize("power", [0.0, 1.0, 1.5])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    assert growth.exponent([1, 3, 10], [7 * size**power for size in (1, 3, 10)]) == pytest.approx(power)


def test_a_constant_part_makes_the_exponent_smaller_than_one() -> None:
    assert 0 < growth.exponent([1, 3, 10], [11, 13, 20]) < 1


def test_time_in_which_several_functions_run_counts_once() -> None:
    ran = [
        Invocation("a", 10, 14, 0),
        Invocation("b", 12, 13, 0),
        Invocation("c", 13, 16, 0),
        Invocation("d", 20, 21, 0),
    ]
    assert pipeline.covered(ran) == 7
    assert pipeline.covered(reversed(ran)) == 7
    assert pipeline.covered([]) == 0


def test_an_invocation_is_read_off_its_report_line() -> None:
    line = "REPORT RequestId: x\tDuration: 1500.00 ms\tBilled Duration: 2000 ms\tMemory Size: 512 MB\t"
    assert pipeline.invocation_of("plan", 100.0, line) == Invocation("plan", 98.5, 100.0, 0.0)
    cold = f"{line}Max Memory Used: 90 MB\tInit Duration: 500.00 ms\t\n"
    assert pipeline.invocation_of("plan", 100.0, cold) == Invocation("plan", 98.0, 100.0, 0.5)


def test_every_step_that_is_reported_is_one_of_the_script() -> None:
    assert tuple(steps.STEPS) == report.STEPS
