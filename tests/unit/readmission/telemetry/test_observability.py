"""Metrics as a function writes them: lines in Embedded Metric Format."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from readmission.telemetry import metrics, observability

from tests.unit.functions.lambdas import Context, metrics_in, series


def _meter() -> observability.EmfMeter:
    return observability.EmfMeter("predict")


def test_a_counter_is_one_line_with_its_service_and_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    _meter().count(metrics.PREDICTIONS, 3, model_version="7", readmitted=">30")
    (line,) = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    (group,) = entry["_aws"]["CloudWatchMetrics"]
    assert group["Metrics"] == [{"Name": "Predictions", "Unit": "Count"}]
    assert metrics_in(line) == {series("Predictions", service="predict", model_version="7", readmitted=">30"): 3}


def test_a_histogram_tells_the_time_and_counts_one_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    _meter().observe(metrics.REQUEST_DURATION, 0.0031234567, route="/predict")
    assert metrics_in(capsys.readouterr().out) == {
        series("RequestDuration", service="predict", route="/predict"): 0.003123,
        series("RequestDurationBucket", service="predict", route="/predict", le="0.005"): 1,
    }


@pytest.mark.parametrize(
    "dimensions", [{}, {"route": "/predict"}, {"route": "/predict", "status": "200", "age": "[50-60)"}]
)
def test_dimensions_that_the_table_does_not_have_are_refused(dimensions: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Requests"):
        _meter().count(metrics.REQUESTS, **dimensions)


def test_a_metric_of_another_service_is_refused() -> None:
    with pytest.raises(ValueError, match="RowsRead"):
        _meter().count(metrics.ROWS_READ)


def _requested(path: str, status: int) -> None:
    @observability.api(_meter())
    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return {"statusCode": status}

    handler({"path": path}, Context())


@pytest.mark.parametrize(
    ("path", "route"), [("/predict", "/predict"), ("/predict/", "other"), ("/patients/55629189", "other")]
)
def test_a_path_that_is_no_route_is_told_as_other(path: str, route: str, capsys: pytest.CaptureFixture[str]) -> None:
    _requested(path, 404)
    assert metrics_in(capsys.readouterr().out)[series("Requests", service="predict", route=route, status="404")] == 1


def test_a_step_tells_of_its_environments_first_run_once(capsys: pytest.CaptureFixture[str]) -> None:
    step = observability.step(observability.logger("clean"), observability.EmfMeter("clean"))
    handler = step(lambda event, context: event)
    for _ in range(2):
        handler({}, SimpleNamespace(function_name="readmission-clean"))
    found = metrics_in(capsys.readouterr().out)
    assert found[series("ColdStart", service="clean", function_name="readmission-clean")] == 1
    assert found[series("StepRuns", service="clean", outcome="succeeded")] == 2
