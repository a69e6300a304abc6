"""The pipeline's handlers only translate: event and settings in, result, metrics and errors out."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from readmission import observability
from readmission.errors import ConfigurationError, InvalidRequest, SourceUnavailable
from readmission.settings import DatabaseSettings, ModelSettings

from tests.unit.functions.lambdas import Context, load, metrics_in

DATABASE = DatabaseSettings("secret", "require")
MODEL = ModelSettings("http://mlflow.example", "readmission")
PLAN_EVENT = {"execution": "run", "started_at": "2026-01-01T00:00:00Z", "input": {"batch_size": 10}}
PLAN = {"source": "synthetic", "data_kind": "synthetic", "rows": 25, "batches": [1, 2, 3]}
BATCH_EVENT = {"manifest": "key", "batch": 2}
TRAIN_EVENT = {"execution": "run", "data_kind": "real", "model": "random_forest"}
PROMOTE_EVENT = {"data_kind": "real", "models": ["random_forest"], "candidates": []}
# What Powertools warns of when a handler fails before it has counted anything.
fails_before_any_metric = pytest.mark.filterwarnings("ignore:No application metrics to publish")


class Step:
    """Stands for the one function that a handler calls: notes its arguments, and answers or fails."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextmanager
def _connect(database: str, settings: DatabaseSettings) -> Iterator[str]:
    assert settings == DATABASE
    yield f"connection to {database}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_SECRET": "secret",
        "DATABASE_TLS": "require",
        "DATA_BUCKET": "bucket",
        "MAX_INVALID_SHARE": "0.1",
        "DEFAULT_SOURCE": "synthetic",
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MODEL_NAME": "readmission",
    }.items():
        monkeypatch.setenv(name, value)


def _wired(name: str, answer: Any) -> tuple[ModuleType, Step]:
    """The function's module with its step, connections and S3 replaced."""
    module = load(name)
    step = Step(answer)
    setattr(module, name, step)
    vars(module)["connect"] = _connect
    if hasattr(module, "boto3"):
        vars(module)["boto3"] = SimpleNamespace(client=lambda service: f"client of {service}")
    return module, step


RESULTS: dict[str, tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = {
    "ingest": (
        BATCH_EVENT,
        {"batch": 2, "rows": 10, "added": 7},
        (BATCH_EVENT, "bucket", "client of s3", "connection to raw"),
        {observability.ROWS_READ: [10.0], observability.ROWS_ADDED: [7.0]},
    ),
    "clean": (
        BATCH_EVENT,
        {"batch": 2, "rows": 10, "cleaned": 9, "quarantined": 1},
        (BATCH_EVENT, "bucket", "client of s3", "connection to raw", "connection to clean"),
        {observability.ROWS_CLEANED: [9.0], observability.ROWS_QUARANTINED: [1.0]},
    ),
    "check": (
        {"manifest": "key"},
        {"rows": 10, "cleaned": 9, "quarantined": 1},
        ({"manifest": "key"}, "bucket", "client of s3", "connection to clean", 0.1),
        {observability.ROWS_CHECKED: [10.0]},
    ),
    "train": (
        TRAIN_EVENT,
        {"model": "random_forest", "mlflow_run_id": "1"},
        (TRAIN_EVENT, "connection to clean", MODEL),
        {observability.MODELS_TRAINED: [1.0]},
    ),
    "promote": (
        PROMOTE_EVENT,
        {
            "decision": "promoted",
            "reason": "first",
            "model": "random_forest",
            "version": "1",
            "production_version": "1",
        },
        (PROMOTE_EVENT, "connection to clean", MODEL),
        {observability.MODELS_PROMOTED: [1.0]},
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_handler_calls_its_step_with_event_and_settings_and_answers_its_result(name: str) -> None:
    event, result, arguments, _ = RESULTS[name]
    module, step = _wired(name, result)
    assert module.handler(event, Context()) == result
    assert step.calls == [arguments]


@pytest.mark.parametrize("name", RESULTS)
def test_a_handler_writes_its_results_as_metrics(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    event, result, _, metrics = RESULTS[name]
    module, _step = _wired(name, result)
    module.handler(event, Context())
    assert metrics_in(capsys.readouterr().out) == {**metrics, "service": name}


@fails_before_any_metric
@pytest.mark.parametrize("name", RESULTS)
def test_an_error_of_the_step_reaches_step_functions_under_its_own_name(name: str) -> None:
    error = SourceUnavailable("away")
    module, _ = _wired(name, error)
    with pytest.raises(SourceUnavailable) as passed:
        module.handler(RESULTS[name][0], Context())
    assert passed.value is error


@fails_before_any_metric
@pytest.mark.parametrize("name", RESULTS)
def test_a_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_SECRET")
    module, step = _wired(name, None)
    with pytest.raises(ConfigurationError, match="DATABASE_SECRET"):
        module.handler(RESULTS[name][0], Context())
    assert step.calls == []


def test_a_model_that_is_refused_counts_as_no_promotion(capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = _wired("promote", {**RESULTS["promote"][1], "decision": "refused"})
    module.handler(PROMOTE_EVENT, Context())
    assert metrics_in(capsys.readouterr().out)[observability.MODELS_PROMOTED] == [0.0]


def _plan(answer: Any = PLAN) -> tuple[ModuleType, Step, Step]:
    module, step = _wired("plan", answer)
    migrate = Step(None)
    vars(module)["migrate"] = migrate
    return module, step, migrate


def test_plan_answers_the_plan_and_counts_it(capsys: pytest.CaptureFixture[str]) -> None:
    module, _, _ = _plan()
    assert module.handler(PLAN_EVENT, Context()) == PLAN
    assert metrics_in(capsys.readouterr().out) == {
        observability.ROWS_PLANNED: [25.0],
        observability.BATCHES_PLANNED: [3.0],
        "service": "plan",
    }


@pytest.mark.parametrize(
    ("input_", "source"),
    [({}, "synthetic"), ({"source": "s3://bucket/key"}, "s3://bucket/key")],
    ids=["default", "named"],
)
def test_plan_reads_the_source_that_is_asked_for_or_the_default_one(input_: dict[str, str], source: str) -> None:
    module, step, _ = _plan()
    module.handler({**PLAN_EVENT, "input": input_}, Context())
    ((_, request, planned, bucket, s3, raw),) = step.calls
    assert (request.source, planned) == (input_.get("source"), source)
    assert (bucket, s3, raw) == ("bucket", "client of s3", "connection to raw")


def test_plan_migrates_both_databases_first() -> None:
    module, _, migrate = _plan()
    module.handler(PLAN_EVENT, Context())
    assert migrate.calls == [("connection to raw", "raw"), ("connection to clean", "clean")]


@fails_before_any_metric
@pytest.mark.parametrize("input_", [{"batch_size": 0}, {"sources": 1}, [], "text", None], ids=repr)
def test_plan_refuses_a_wrong_input_before_it_connects_to_anything(input_: Any) -> None:
    module, step, migrate = _plan()
    with pytest.raises(InvalidRequest):
        module.handler({**PLAN_EVENT, "input": input_}, Context())
    assert step.calls == migrate.calls == []
