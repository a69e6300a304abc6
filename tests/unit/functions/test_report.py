"""The report handler selects one of its two tasks and counts what it wrote."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from readmission.errors import ConfigurationError, TrackingUnavailable
from readmission.settings import ModelSettings
from readmission.telemetry import metrics

from tests.unit.functions.lambdas import Context, counters_in, load, series

PLOTS = {"task": "plots", "model": "random_forest", "mlflow_run_id": "r1"}
CARD = {"task": "card", "data_kind": "real", "promotion": {"version": "1"}}
ANSWERS = {
    "plots": {"mlflow_run_id": "r1", "artifacts": ["plots/roc.png", "plots/reliability.png"]},
    "card": {"mlflow_run_id": "r1", "artifacts": ["model_card.md", "model_card.html"]},
}


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def app(calls: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    monkeypatch.setenv("MODEL_NAME", "readmission")
    # Set, so that the module leaves the variable alone; matplotlib writes there.
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    module = load("report")
    for task, name in (("plots", "write_plots"), ("card", "write_card")):
        vars(module)[name] = lambda event, settings, task=task: calls.append((task, event, settings)) or ANSWERS[task]
    return module


@pytest.mark.parametrize("event", [PLOTS, CARD], ids=["plots", "card"])
def test_a_task_is_done_with_event_and_settings(app: ModuleType, calls: list[Any], event: Any) -> None:
    assert app.handler(event, Context()) == ANSWERS[event["task"]]
    assert calls == [(event["task"], event, ModelSettings("http://mlflow.example", "readmission"))]


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        (PLOTS, {series(metrics.PLOTS_WRITTEN, service="report"): 2}),
        (CARD, {series(metrics.CARDS_WRITTEN, service="report"): 1}),
    ],
    ids=["plots", "card"],
)
def test_what_was_written_is_counted(
    app: ModuleType, capsys: pytest.CaptureFixture[str], event: Any, counted: dict[str, Any]
) -> None:
    app.handler(event, Context())
    ran = {series(metrics.STEP_RUNS, service="report", outcome="succeeded"): 1}
    assert counters_in(capsys.readouterr().out) == {**counted, **ran}


def test_an_error_reaches_step_functions_under_its_own_name(app: ModuleType) -> None:
    def fail(*_: Any) -> None:
        raise TrackingUnavailable("away")

    vars(app)["write_plots"] = fail
    with pytest.raises(TrackingUnavailable):
        app.handler(PLOTS, Context())


def test_a_missing_variable_is_named(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI"):
        app.handler(PLOTS, Context())
