"""The handler of *guard*: it reads the ledger first, and needs MLflow only if a version is tried."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from readmission.promotion import ledger
from readmission.reporting import written_card
from readmission.reporting.facts import Decision
from readmission.settings import DatabaseSettings
from readmission.telemetry import metrics

from tests.unit.functions.lambdas import Context, counters_in, load, series

DECIDED = {"decision": "withdrawn", "version": "2", "production_version": "1", "reason": "it failed", "by": "guard"}


@contextmanager
def _connect(database: str, settings: DatabaseSettings) -> Iterator[str]:
    yield database


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    variables = {"DATABASE_SECRET": "database", "MODEL_NAME": "readmission", "SHADOW_REQUESTS": "100"}
    for name, value in (variables | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}).items():
        monkeypatch.setenv(name, value)
    module = load("guard")
    vars(module)["connect"] = _connect
    return module


def _tried(monkeypatch: pytest.MonkeyPatch, entry: Any, decided: Any) -> list[Any]:
    calls: list[Any] = []

    def guard(*arguments: Any) -> Any:
        calls.append(arguments)
        return decided

    monkeypatch.setattr(ledger, "challenge", lambda clean, name: entry)
    monkeypatch.setitem(sys.modules, "readmission.promotion.guard", SimpleNamespace(guard=guard))
    return calls


def test_without_a_challenger_nothing_is_decided(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _tried(monkeypatch, None, DECIDED)
    assert (module.handler({}, Context()), calls) == (None, [])


def test_without_shadow_requests_nothing_is_decided(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _tried(monkeypatch, "an entry", DECIDED)
    monkeypatch.setenv("SHADOW_REQUESTS", "0")
    assert (module.handler({}, Context()), calls) == (None, [])


def test_a_decision_is_returned_and_counted(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = _tried(monkeypatch, "an entry", DECIDED)
    assert module.handler({}, Context()) == DECIDED
    (arguments,) = calls
    assert (arguments[0], arguments[2].shadow_requests) == ("clean", 100)
    assert counters_in(capsys.readouterr().out) == {
        series(metrics.PROMOTION_DECISIONS, service="guard", decision="withdrawn"): 1
    }


def test_the_model_card_is_written_again_with_the_decision(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    _tried(monkeypatch, "an entry", DECIDED)
    monkeypatch.setattr(written_card, "write", lambda *arguments: written.append(arguments))
    module.handler({}, Context())
    ((version, decision, settings),) = written
    assert (version, decision, settings.name) == ("2", Decision("withdrawn", "it failed", "1"), "readmission")


def test_a_decision_stands_although_its_model_card_cannot_be_written(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No MLflow listens at the address."""
    _tried(monkeypatch, "an entry", DECIDED)
    assert module.handler({}, Context()) == DECIDED
    assert "the model card could not be written again" in caplog.messages


def test_nothing_to_decide_yet_is_not_counted(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _tried(monkeypatch, "an entry", None)
    assert module.handler({}, Context()) is None
    assert counters_in(capsys.readouterr().out) == {}
