"""The monitor handler says who asks, measures what was found, and tells EventBridge if it is to."""

from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from readmission.telemetry import metrics

from tests.unit.functions.lambdas import Context, counters_in, load, series

FIGURES = {"auc_early": {"value": 0.7}, "log_loss": {"value": 0.3}}
WINDOW = {
    "kind": "delivery",
    "name": "run-2",
    "version": "3",
    "newest": True,
    "to": "2026-01-02",
    "realised": None,
    "estimated": {name: {"value": 0.5} for name in metrics.MONITORED},
    "drift": {"inputs": [{"psi": 0.1}, {"psi": 0.4}], "forecasts": {"psi": 0.05}},
    "alerts": [{"code": "input_drift", "subject": "payer_code", "value": 0.4, "limit": 0.2, "what_to_do": "look"}],
}
DOCUMENT = {
    "made_at": "2026-01-02T00:00:00Z",
    "model_name": "readmission",
    "version": "3",
    "windows": [WINDOW, {**WINDOW, "newest": False}],
}
ENVIRONMENT = {
    "DATABASE_SECRET": "secret",
    "MLFLOW_TRACKING_URI": "http://mlflow.example",
    "MODEL_NAME": "readmission",
    "DATA_BUCKET": "data",
    "STACK_NAME": "stack",
}


@pytest.fixture
def asked() -> list[Any]:
    return []


@pytest.fixture
def app(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    module = load("monitor")

    @contextmanager
    def connect(*_: Any) -> Any:
        yield "clean"

    def monitor(event: Any, clean: Any, s3: Any, settings: Any) -> Any:
        asked.append(event)
        return DOCUMENT

    vars(module).update(connect=connect, monitor=monitor, s3_client=lambda: "s3")
    return module


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"source": "aws.events", "id": "1"}, {"started_by": "schedule"}),
        ({"execution": "run-2", "started_by": None}, {"execution": "run-2", "started_by": None}),
        ({"started_by": "ada"}, {"started_by": "ada"}),
    ],
    ids=["schedule", "execution", "person"],
)
def test_the_monitor_knows_who_asks(app: ModuleType, asked: list[Any], event: Any, expected: Any) -> None:
    result = app.handler(event, Context())
    assert asked == [expected]
    assert result == {
        "made_at": "2026-01-02T00:00:00Z",
        "version": "3",
        "windows": 2,
        "alerts": 1,
        "key": "monitor/readmission/2026-01-02T00:00:00Z.json",
    }


def test_the_newest_windows_are_measured(app: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    app.handler({}, Context())
    found = counters_in(capsys.readouterr().out)
    assert found[series(metrics.MONITOR_ALERTS, service="monitor")] == 1
    assert found[series(metrics.MONITORED_DRIFT, service="monitor", of="inputs")] == 0.4
    assert found[series(metrics.MONITORED_DRIFT, service="monitor", of="forecasts")] == 0.05
    estimated = series(metrics.MONITORED_QUALITY, service="monitor", basis="estimated", metric="auc_early")
    assert found[estimated] == 0.5
    assert not any(("basis", "realised") in key[1] for key in found)


@pytest.mark.parametrize(("switch", "count"), [("on", 1), ("off", 0)])
def test_eventbridge_is_told_only_if_it_is_to_be(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch, switch: str, count: int
) -> None:
    monkeypatch.setenv("MONITOR_EVENTS", switch)
    sent: list[Any] = []
    monkeypatch.setattr(app.notice, "send", sent.append)
    app.handler({}, Context())
    assert [(one["stack"], one["code"]) for one in sent] == [("stack", "input_drift")] * count
