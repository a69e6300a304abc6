"""What is calculated from what was measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from readmission.settings import (
    CheckSettings,
    CleanSettings,
    IngestSettings,
    PlanSettings,
    PromoteSettings,
    ReportSettings,
    TrainSettings,
)

from tests.benchmarks import deployment, growth, pipeline, report, scale, steps
from tests.benchmarks.pipeline import Invocation
from tests.platforms import Platform


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


def test_every_step_of_the_script_is_reported_in_its_order() -> None:
    assert tuple(name for name in steps.STEPS if name in report.STEPS) == report.STEPS
    assert tuple(name for name in steps.STEPS if name in report.SCALE_STEPS) == report.SCALE_STEPS
    assert {*report.STEPS, *report.SCALE_STEPS} == {*steps.STEPS}


@pytest.mark.parametrize(
    "kind", [PlanSettings, IngestSettings, CleanSettings, CheckSettings, TrainSettings, PromoteSettings, ReportSettings]
)
def test_the_benchmarks_environment_has_every_variable_that_the_steps_need(kind: Any, tmp_path: Path) -> None:
    kind.from_environment(deployment.environment(Platform({"LOCAL_DIR": str(tmp_path)}), "benchmark"))


def test_growth_trains_on_all_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limits = set()

    def run(state: Path, environment: Mapping[str, str], *names: str) -> None:
        document = json.loads(state.read_text())
        document["measured"] |= {name: {"seconds": 1.0, "mb": 1.0} for name in names}
        state.write_text(json.dumps(document))
        if any(name.startswith("train") for name in names):
            rows = int(document["event"]["input"]["source"].partition("rows=")[2].partition(",")[0])
            limits.add(int(environment["MAX_TRAINING_ROWS"]) >= rows)

    monkeypatch.setattr(growth, "run_steps", run)
    monkeypatch.setattr(Platform, "empty_databases", lambda platform: None)
    figures = growth.measure(Platform({"LOCAL_DIR": str(tmp_path)}), tmp_path, 100_000)
    assert limits == {True}
    assert figures["growth_train gradient_boosting"].ours == pytest.approx(0)


def test_scale_reports_rows_a_second_exponents_and_what_plan_would_take_on_lambda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def measured(platform: Platform, folder: Path, rows: int) -> dict[str, float]:
        steps_ = {f"{step} seconds": rows / 1000 for step in report.SCALE_STEPS}
        memory = {f"{step} mb": 100.0 for step in report.SCALE_STEPS}
        cpu = {f"{step} cpu": rows / 2000 for step in report.SCALE_STEPS}
        trained = {"train seconds": rows / 100, "lead mb": 300.0, "worker mb": rows / 10_000}
        servers = {"postgres": 7.0, "localstack": 8.0, "disk": rows * 9, "parquet": rows * 2}
        return {**steps_, **memory, **cpu, **trained, **servers}

    monkeypatch.setattr(scale, "_measured", measured)
    figures = scale.measure(Platform({"LOCAL_DIR": str(tmp_path)}), tmp_path, 1_000_000)
    assert {row.name for row in report.PARTS["scale"]} == set(figures)
    assert figures["scale_clean"].ours == pytest.approx(1000)
    assert figures["scale_clean"].of == (100, 300, 1000)
    assert figures["scale_clean_exponent"].ours == pytest.approx(1)
    assert figures["scale_clean_rss"].ours == 1
    assert figures["scale_distributed"].ours == pytest.approx(30)
    assert (figures["scale_distributed_lead"].ours, figures["scale_distributed_worker"].ours) == (1, 10)
    assert figures["scale_plan_lambda"].ours == pytest.approx(500 * 1769 / 512)
    assert (figures["scale_disk"].ours, figures["scale_parquet"].ours) == (9, 2)
