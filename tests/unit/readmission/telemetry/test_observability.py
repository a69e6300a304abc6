"""Metrics in Embedded Metric Format, as functions write them."""

import json
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from readmission.telemetry import metrics, observability

from tests.unit.functions.lambdas import Context, metrics_in, series


def _meter() -> observability.EmfMeter:
    return observability.EmfMeter("predict")


def test_outside_an_invocation_a_metric_is_written_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    _meter().count(metrics.PREDICTIONS, 3, model_version="7", readmitted=">30")
    (line,) = capsys.readouterr().out.splitlines()
    entry = json.loads(line)
    (group,) = entry["_aws"]["CloudWatchMetrics"]
    assert group["Metrics"] == [{"Name": "Predictions", "Unit": "Count"}]
    assert metrics_in(line) == {series("Predictions", service="predict", model_version="7", readmitted=">30"): 3}


def test_a_histogram_writes_the_duration_and_counts_one_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    _meter().observe(metrics.REQUEST_DURATION, 0.0031234567, route="/predict")
    assert metrics_in(capsys.readouterr().out) == {
        series("RequestDuration", service="predict", route="/predict"): 0.003123,
        series("RequestDurationBucket", service="predict", route="/predict", le="0.005"): 1,
    }


@pytest.mark.parametrize(
    "dimensions", [{}, {"route": "/predict"}, {"route": "/predict", "status": "200", "age": "[50-60)"}]
)
def test_unknown_dimensions_are_refused(dimensions: dict[str, str]) -> None:
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
def test_an_unknown_path_is_written_as_other(path: str, route: str, capsys: pytest.CaptureFixture[str]) -> None:
    _requested(path, 404)
    assert metrics_in(capsys.readouterr().out)[series("Requests", service="predict", route=route, status="404")] == 1


def test_a_step_counts_a_cold_start_once(capsys: pytest.CaptureFixture[str]) -> None:
    step = observability.step(observability.logger("clean"), observability.EmfMeter("clean"))
    handler = step(lambda event, context: event)
    for _ in range(2):
        handler({}, SimpleNamespace(function_name="readmission-clean"))
    found = metrics_in(capsys.readouterr().out)
    assert found[series("ColdStart", service="clean", function_name="readmission-clean")] == 1
    assert found[series("StepRuns", service="clean", outcome="succeeded")] == 2


def _lines(output: str) -> list[tuple[frozenset[str], set[str]]]:
    """The dimension values and the metric names of each line."""
    found = []
    for line in output.splitlines():
        entry = json.loads(line)
        ((group,),) = (entry["_aws"]["CloudWatchMetrics"],)
        (names,) = group["Dimensions"]
        found.append((frozenset(entry[name] for name in names), {metric["Name"] for metric in group["Metrics"]}))
    return found


def test_an_invocation_writes_one_line_per_set_of_dimensions(capsys: pytest.CaptureFixture[str]) -> None:
    meter = observability.EmfMeter("ingest")

    @observability.step(observability.logger("ingest"), meter)
    def handler(event: Any, context: Any) -> Any:
        meter.count(metrics.ROWS_READ, 10)
        meter.count(metrics.ROWS_ADDED, 7)
        meter.count(metrics.ROWS_ADDED, 2)

    handler({}, Context())
    output = capsys.readouterr().out
    assert sorted(_lines(output), key=lambda line: sorted(line[1])) == [
        (frozenset({"ingest", "function"}), {"ColdStart"}),
        (frozenset({"ingest"}), {"RowsRead", "RowsAdded", "StepDuration"}),
        (frozenset({"ingest", "succeeded"}), {"StepRuns"}),
    ]
    found = metrics_in(output)
    assert (found[series("RowsRead", service="ingest")], found[series("RowsAdded", service="ingest")]) == (10, 9)


def test_a_failed_invocation_writes_what_it_collected(capsys: pytest.CaptureFixture[str]) -> None:
    meter = observability.EmfMeter("ingest")

    @observability.step(observability.logger("ingest"), meter)
    def handler(event: Any, context: Any) -> Any:
        meter.count(metrics.ROWS_READ, 10)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        handler({}, Context())
    found = metrics_in(capsys.readouterr().out)
    assert found[series("RowsRead", service="ingest")] == 10
    assert found[series("StepRuns", service="ingest", outcome="failed")] == 1


def test_a_background_thread_writes_at_once_during_an_invocation(capsys: pytest.CaptureFixture[str]) -> None:
    meter = _meter()
    with meter.invocation("function"):
        meter.count(metrics.VALIDATION_ERRORS, route="/predict")
        thread = Thread(target=lambda: meter.count(metrics.MODEL_RELOADS, outcome="loaded"))
        thread.start()
        thread.join()
        during = metrics_in(capsys.readouterr().out)
    assert {name for name, _ in during} == {"ColdStart", "ModelReloads"}
    assert {name for name, _ in metrics_in(capsys.readouterr().out)} == {"ValidationErrors"}


@pytest.mark.parametrize("count", [100, 101, 250])
def test_no_value_is_lost_at_the_limit_of_a_line(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    meter = _meter()
    with meter.invocation("function"):
        for _ in range(count):
            meter.count(metrics.VALIDATION_ERRORS, route="/predict")
    found = metrics_in(capsys.readouterr().out)
    assert found[series("ValidationErrors", service="predict", route="/predict")] == count
