"""The pipeline's handlers translate: event and settings in; result, metrics and errors out."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from readmission.domain.payloads import Plan
from readmission.errors import ConfigurationError, InvalidRequest, SourceUnavailable
from readmission.pipeline.sources import Reading
from readmission.reporting import written_card
from readmission.reporting.facts import Decision
from readmission.settings import ChallengeSettings, DatabaseSettings, ModelSettings, SourceSettings
from readmission.telemetry import metrics

from tests.unit.functions.lambdas import Context, counters_in, load, metrics_in, series

DATABASE = DatabaseSettings("secret", "require")
MODEL = ModelSettings("http://mlflow.example", "readmission")
PLAN_EVENT = {"execution": "run", "started_at": "2026-01-01T00:00:00Z", "input": {"batch_size": 10}}
PLAN = {"source": "synthetic", "data_kind": "synthetic", "site": "default", "rows": 25, "batches": [1, 2, 3]}
BATCH_EVENT = {"manifest": "key", "batch": 2}
TRAIN_EVENT = {"execution": "run", "data_kind": "real", "model": "random_forest"}
PROMOTE_EVENT = {"data_kind": "real", "models": ["random_forest"], "candidates": []}


class Step:
    """Replaces the function that a handler calls: records its arguments, and returns or raises."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append((*arguments, *named.values()))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextmanager
def _connect(database: str, settings: DatabaseSettings, answer_seconds: float = 300) -> Iterator[str]:
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
    """The module of the function, with its step, connections and S3 client replaced."""
    module = load(name)
    step = Step(answer)
    setattr(module, name, step)
    vars(module)["connect"] = _connect
    if name == "promote":
        vars(module)["migrate"] = Step(None)
        vars(module)["ledger"] = SimpleNamespace(challenge=Step(None))
        vars(module)["test_scores"] = lambda model, version: {"auc_early": 0.68} if version else {"of": "no version"}
    if hasattr(module, "s3_client"):
        vars(module)["s3_client"] = lambda: "client of s3"
    return module, step


RESULTS: dict[str, tuple[Any, Any, tuple[Any, ...], dict[str, Any]]] = {
    "ingest": (
        BATCH_EVENT,
        {"batch": 2, "rows": 10, "added": 7},
        (BATCH_EVENT, "bucket", "client of s3", "connection to raw"),
        {series(metrics.ROWS_READ, service="ingest"): 10, series(metrics.ROWS_ADDED, service="ingest"): 7},
    ),
    "clean": (
        BATCH_EVENT,
        {"batch": 2, "rows": 10, "cleaned": 9, "quarantined": 1},
        (BATCH_EVENT, "bucket", "client of s3", "connection to raw", "connection to clean"),
        {series(metrics.ROWS_CLEANED, service="clean"): 9, series(metrics.ROWS_QUARANTINED, service="clean"): 1},
    ),
    "check": (
        {"manifest": "key"},
        {"rows": 10, "cleaned": 9, "quarantined": 1},
        ({"manifest": "key"}, "bucket", "client of s3", "connection to clean", 0.1),
        {series(metrics.ROWS_CHECKED, service="check"): 10},
    ),
    "train": (
        TRAIN_EVENT,
        {"model": "random_forest", "mlflow_run_id": "1"},
        (TRAIN_EVENT, "connection to clean", MODEL),
        {},
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
        (PROMOTE_EVENT, "connection to clean", MODEL, None),
        {
            series(metrics.PROMOTION_DECISIONS, service="promote", decision="promoted"): 1,
            series(metrics.MODEL_TEST_SCORE, service="promote", model_version="1", metric="auc_early"): 0.68,
        },
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_handler_passes_event_and_settings_and_returns_the_result(name: str) -> None:
    event, result, arguments, _ = RESULTS[name]
    module, step = _wired(name, result)
    assert module.handler(event, Context()) == result
    assert step.calls == [arguments]


@pytest.mark.parametrize("name", RESULTS)
def test_a_handler_writes_its_result_as_metrics(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    event, result, _, written = RESULTS[name]
    module, _step = _wired(name, result)
    module.handler(event, Context())
    ran = {series(metrics.STEP_RUNS, service=name, outcome="succeeded"): 1}
    assert counters_in(capsys.readouterr().out) == {**written, **ran}


@pytest.mark.parametrize("name", RESULTS)
def test_a_handler_writes_its_duration_and_the_cold_start(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    event, result, _, _ = RESULTS[name]
    module, _step = _wired(name, result)
    module.handler(event, Context())
    first = metrics_in(capsys.readouterr().out)
    assert first[series(metrics.COLD_STARTS, service=name, function_name="function")] == 1
    assert 0 < first[series(metrics.STEP_DURATION, service=name)] < 60
    module.handler(event, Context())
    assert metrics.COLD_STARTS not in {key[0] for key in metrics_in(capsys.readouterr().out)}


def test_the_training_duration_is_written_by_family(capsys: pytest.CaptureFixture[str]) -> None:
    event, result, _, _ = RESULTS["train"]
    module, _step = _wired("train", result)
    module.handler(event, Context())
    assert series(metrics.TRAINING_DURATION, service="train", model="random_forest") in metrics_in(
        capsys.readouterr().out
    )


@pytest.mark.parametrize("name", RESULTS)
def test_a_failed_run_is_counted_and_its_error_logged(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = _wired(name, SourceUnavailable("away"))
    stream = io.StringIO()
    module.logger.registered_handler.stream = stream
    with pytest.raises(SourceUnavailable):
        module.handler(RESULTS[name][0], Context())
    assert counters_in(capsys.readouterr().out) == {series(metrics.STEP_RUNS, service=name, outcome="failed"): 1}
    (line,) = (json.loads(text) for text in stream.getvalue().splitlines())
    assert (line["level"], line["error"], line["exception_name"]) == ("ERROR", "SourceUnavailable", "SourceUnavailable")


@pytest.mark.parametrize("name", RESULTS)
def test_an_error_reaches_step_functions_under_its_own_name(name: str) -> None:
    error = SourceUnavailable("away")
    module, _ = _wired(name, error)
    with pytest.raises(SourceUnavailable) as passed:
        module.handler(RESULTS[name][0], Context())
    assert passed.value is error


@pytest.mark.parametrize("name", RESULTS)
def test_a_missing_variable_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_SECRET")
    module, step = _wired(name, None)
    with pytest.raises(ConfigurationError, match="DATABASE_SECRET"):
        module.handler(RESULTS[name][0], Context())
    assert step.calls == []


def test_a_decision_is_counted_with_the_scores_of_the_served_version(
    capsys: pytest.CaptureFixture[str],
) -> None:
    result = {**RESULTS["promote"][1], "decision": "refused", "version": "2", "production_version": "1"}
    module, _ = _wired("promote", result)
    module.handler(PROMOTE_EVENT, Context())
    found = counters_in(capsys.readouterr().out)
    assert found[series(metrics.PROMOTION_DECISIONS, service="promote", decision="refused")] == 1
    assert found[series(metrics.MODEL_TEST_SCORE, service="promote", model_version="1", metric="auc_early")] == 0.68


def test_a_refused_first_model_has_a_decision_but_no_scores(capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = _wired("promote", {**RESULTS["promote"][1], "decision": "refused", "production_version": ""})
    module.handler(PROMOTE_EVENT, Context())
    assert counters_in(capsys.readouterr().out) == {
        series(metrics.STEP_RUNS, service="promote", outcome="succeeded"): 1,
        series(metrics.PROMOTION_DECISIONS, service="promote", decision="refused"): 1,
    }


def test_a_promotion_is_told_how_versions_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SHADOW_REQUESTS": "500", "CANARY_SHARE": "0.25", "LABEL_DUE_DAYS": "45"}.items():
        monkeypatch.setenv(name, value)
    module, step = _wired("promote", RESULTS["promote"][1])
    module.handler(PROMOTE_EVENT, Context())
    assert step.calls[0][3] == ChallengeSettings(shadow_requests=500, canary_share=0.25, label_due_days=45)


@pytest.mark.parametrize(("name", "decision"), [("challenge", "shadowed"), ("abort", "withdrawn")])
def test_a_persons_decision_on_a_challenger_is_counted(
    name: str, decision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _ = _wired("promote", None)
    result = {"decision": decision, "version": "2", "production_version": "1", "reason": "a trial", "by": "Ada"}
    vars(module)["challenger"] = SimpleNamespace(**{name: (step := Step(result))})
    assert module.handler({name: {"by": "Ada"}}, Context()) == result
    assert step.calls[0][0] == {"by": "Ada"}
    assert counters_in(capsys.readouterr().out) == {
        series(metrics.PROMOTION_DECISIONS, service="promote", decision=decision): 1
    }


@pytest.mark.parametrize(
    ("name", "decision", "production"),
    [("challenge", "shadowed", "1"), ("abort", "withdrawn", "1"), ("rollback", "rolled back", "2")],
)
def test_the_model_card_is_written_again_with_a_persons_decision(
    name: str, decision: str, production: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _ = _wired("promote", None)
    result = {"decision": decision, "version": "2", "production_version": production, "reason": "a trial", "by": "Ada"}
    vars(module)["challenger"] = SimpleNamespace(challenge=Step(result), abort=Step(result))
    vars(module)["rollback"] = Step(result)
    monkeypatch.setattr(written_card, "write", write := Step(None))
    module.handler({name: {}}, Context())
    ((version, quoted, _settings),) = write.calls
    assert (version, quoted) == ("2", Decision(decision, "a trial", production))


@pytest.mark.parametrize("event", [PROMOTE_EVENT, {"challenge": {}}, {"rollback": {}}])
@pytest.mark.parametrize("newest", ["withdrawn", "shadowed"])
def test_the_card_of_a_challenger_that_gives_way_says_so(
    event: dict[str, Any], newest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = RESULTS["promote"][1] | {"version": "3", "previous_version": "1", "by": "Ada"}
    module, _ = _wired("promote", result)
    vars(module)["challenger"] = SimpleNamespace(challenge=Step(result))
    vars(module)["rollback"] = Step(result)
    tried = SimpleNamespace(version="2", decision=newest, reason="version 3 takes its place", previous_version="1")
    vars(module)["ledger"] = SimpleNamespace(challenge=Step(tried), newest_on=(found := Step(tried)))
    monkeypatch.setattr(written_card, "write", write := Step(None))
    module.handler(event, Context())
    assert found.calls == [("connection to clean", "readmission", "2")]
    written = [(version, quoted) for version, quoted, _settings in write.calls if version == "2"]
    withdrawn = Decision("withdrawn", "version 3 takes its place", "1")
    assert written == ([("2", withdrawn)] if newest == "withdrawn" else [])


def test_the_challenger_is_shown_and_a_version_replayed_without_a_decision(capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = _wired("promote", None)
    vars(module)["guard"] = SimpleNamespace(state=Step({"version": "2"}))
    vars(module)["replay"] = step = Step({"forecasts": 7})
    assert module.handler({"challenger": {}}, Context()) == {"version": "2"}
    assert module.handler({"replay": {"version": "2"}}, Context()) == {"forecasts": 7}
    assert step.calls == [({"version": "2"}, "connection to clean", MODEL)]
    assert counters_in(capsys.readouterr().out) == {}


def test_a_rollback_is_counted_as_a_decision_but_not_as_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = _wired("promote", None)
    vars(module)["rollback"] = Step({"version": "1", "previous_version": "2", "reason": "worse"})
    module.handler({"rollback": {}}, Context())
    assert counters_in(capsys.readouterr().out) == {
        series(metrics.PROMOTION_DECISIONS, service="promote", decision="rolled_back"): 1,
        series(metrics.MODEL_TEST_SCORE, service="promote", model_version="1", metric="auc_early"): 0.68,
    }


@pytest.mark.parametrize(("request_", "limit"), [({"limit": 5}, 5), ({}, 20)], ids=["limit", "default"])
def test_the_history_is_read_from_the_ledger_and_is_not_a_run_of_the_step(
    capsys: pytest.CaptureFixture[str], request_: dict[str, int], limit: int
) -> None:
    module, _ = _wired("promote", None)
    read = Step([{"version": "1"}])
    vars(module)["ledger"] = SimpleNamespace(read=read)
    assert module.handler({"history": request_}, Context()) == [{"version": "1"}]
    assert read.calls == [("connection to clean", "readmission", limit)]
    assert counters_in(capsys.readouterr().out) == {}


class Logins:
    """Records which login connects to which database."""

    def __init__(self) -> None:
        self.used: list[tuple[str, str]] = []
        self.patience: dict[tuple[str, str], float] = {}

    @contextmanager
    def connect(self, database: str, settings: DatabaseSettings, answer_seconds: float = 300) -> Iterator[str]:
        self.used.append((database, settings.secret))
        self.patience[self.used[-1]] = answer_seconds
        yield f"{settings.secret}'s connection to {database}"


@pytest.mark.parametrize("event", [PROMOTE_EVENT, {"rollback": {}}], ids=["promotion", "rollback"])
def test_the_owner_migrates_the_ledger_and_the_pipelines_user_decides(
    event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_OWNER_SECRET", "owner")
    logins = Logins()
    module, _ = _wired("promote", RESULTS["promote"][1])
    vars(module)["rollback"] = Step({"version": "1", "previous_version": "2", "reason": "worse"})
    vars(module)["connect"] = logins.connect
    module.handler(event, Context())
    assert logins.used == [("clean", "owner"), ("clean", "secret")]
    assert module.migrate.calls == [("owner's connection to clean", "clean")]


def test_the_owner_migrates_before_a_run_is_planned_and_the_pipelines_user_plans(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_OWNER_SECRET", "owner")
    logins = Logins()
    module, _, migrate = _plan()
    vars(module)["connect"] = logins.connect
    module.handler(PLAN_EVENT, Context())
    assert logins.used == [("raw", "owner"), ("clean", "owner"), ("raw", "secret"), ("clean", "secret")]
    assert migrate.calls == [("owner's connection to raw", "raw"), ("owner's connection to clean", "clean")]
    # A migration may rewrite all rows, and may take nearly as long as the function, 900 s.
    assert 840 < logins.patience["raw", "owner"] < 900


def _plan(answer: Any = PLAN, skipped: str | None = None) -> tuple[ModuleType, Step, Step]:
    module, step = _wired("plan", answer)
    migrate = Step(None)
    vars(module)["migrate"] = migrate
    vars(module)["adopt"] = Step(0)
    vars(module)["runs"] = SimpleNamespace(register=Step(skipped))
    return module, step, migrate


def test_plan_returns_the_plan_and_counts_it(capsys: pytest.CaptureFixture[str]) -> None:
    module, _, _ = _plan()
    assert module.handler(PLAN_EVENT, Context()) == PLAN
    assert counters_in(capsys.readouterr().out) == {
        series(metrics.ROWS_PLANNED, service="plan"): 25,
        series(metrics.BATCHES_PLANNED, service="plan"): 3,
        series(metrics.STEP_RUNS, service="plan", outcome="succeeded"): 1,
    }


@pytest.mark.parametrize(
    ("input_", "source"),
    [({}, "synthetic"), ({"source": "s3://bucket/key"}, "s3://bucket/key")],
    ids=["default", "named"],
)
def test_plan_reads_the_requested_source_or_the_default(input_: dict[str, str], source: str) -> None:
    module, step, _ = _plan()
    module.handler({**PLAN_EVENT, "input": input_}, Context())
    ((_, request, planned, bucket, s3, databases, reading),) = step.calls
    assert (request.source, planned) == (input_.get("source"), source)
    assert (bucket, s3, databases) == ("bucket", "client of s3", ("connection to raw", "connection to clean"))
    assert reading == Reading(SourceSettings())


def test_plan_records_and_logs_what_started_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RETRAIN_PAUSE_HOURS", "6")
    module, _, _ = _plan()
    input_ = {"started_by": "schedule", "reason": "the schedule of a rule"}
    module.handler({**PLAN_EVENT, "input": input_}, Context())
    ((clean, execution, started_at, request, pause),) = module.runs.register.calls
    assert (clean, execution, started_at) == ("connection to clean", "run", "2026-01-01T00:00:00Z")
    assert (request.started_by, pause) == ("schedule", timedelta(hours=6))
    (line,) = [vars(record) for record in caplog.records if record.getMessage() == "started"]
    assert (line["started_by"], line["actor"], line["reason"]) == ("schedule", "schedule", input_["reason"])


def test_a_run_that_is_skipped_is_not_planned(caplog: pytest.LogCaptureFixture) -> None:
    module, step, _ = _plan(skipped="too soon")
    event = {**PLAN_EVENT, "input": {"started_by": "drift", "start_at": "train", "source": "https://u:secret@h/d"}}
    planned = module.handler(event, Context())
    assert (planned["skipped"], planned["by"], planned["batches"], step.calls) == ("too soon", "drift", [], [])
    assert planned.keys() == Plan.__required_keys__
    assert "secret" not in str(planned) + caplog.text


def test_promote_answers_whether_models_exist(capsys: pytest.CaptureFixture[str]) -> None:
    module, step = _wired("promote", None)
    answer = {"outcome": "wait", "execution": "other", "wait_seconds": 10, "candidates": [], "promotion": None}
    vars(module)["look"] = Step(answer)
    event = {"execution": "run", "earlier": {"models": ["random_forest"]}}
    assert module.handler(event, Context()) == answer
    ((asked, clean, model, jobs),) = module.look.calls
    assert (asked, clean, model.name, jobs.where) == (event, "connection to clean", "readmission", "lambda")
    assert step.calls == []
    ran = {series(metrics.STEP_RUNS, service="promote", outcome="succeeded"): 1}
    assert counters_in(capsys.readouterr().out) == ran


def test_plan_migrates_both_databases_first() -> None:
    module, _, migrate = _plan()
    module.handler(PLAN_EVENT, Context())
    assert migrate.calls == [("connection to raw", "raw"), ("connection to clean", "clean")]


@pytest.mark.parametrize(
    "input_",
    [
        {"batch_size": 0},
        {"sources": 1},
        {"source": "https://host:99999/"},
        {"source": "http://example.org/data.csv"},
        {"source": "/etc/passwd"},
        [],
        "text",
        None,
    ],
    ids=repr,
)
def test_plan_refuses_invalid_input_before_it_connects_to_anything(input_: Any) -> None:
    module, step, migrate = _plan()
    with pytest.raises(InvalidRequest):
        module.handler({**PLAN_EVENT, "input": input_}, Context())
    assert step.calls == migrate.calls == []


def test_deliveries_are_listed_and_withdrawn_without_counting_as_runs_of_the_check(
    capsys: pytest.CaptureFixture[str],
) -> None:
    module, step = _wired("check", None)
    listed, withdrawn = [{"delivery_id": "run-1"}], {"delivery": "run-1", "removed": 2, "kept": 1}
    read, withdraw = Step(listed), Step(withdrawn)
    vars(module)["deliveries"] = SimpleNamespace(read=read)
    vars(module)["withdraw"] = withdraw
    assert module.handler({"deliveries": {}}, Context()) == listed
    assert module.handler({"withdraw": {"delivery": "run-1"}}, Context()) == withdrawn
    assert read.calls == [("connection to clean", 100)]
    assert withdraw.calls == [({"delivery": "run-1"}, "connection to clean")]
    assert (step.calls, counters_in(capsys.readouterr().out)) == ([], {})


def test_plan_takes_over_what_an_earlier_release_loaded_before_it_plans() -> None:
    module, _, migrate = _plan()
    adopted = Step(1)
    vars(module)["adopt"] = adopted
    module.handler(PLAN_EVENT, Context())
    assert adopted.calls == [("connection to raw", "connection to clean")]
    assert len(migrate.calls) == 2


# ---------------------------------------------------------------- training jobs
REQUEST = {"model": "random_forest", "job": {"name": "readmission-random-forest"}}
RUN = {"model": "random_forest", "mlflow_run_id": "1"}


def _training(**replaced: Any) -> ModuleType:
    module, _ = _wired("train", RUN)
    for name, answer in replaced.items():
        setattr(module, name, Step(answer))
    return module


@pytest.mark.parametrize(("finished", "result"), [(None, REQUEST), (RUN, RUN)], ids=["first", "redriven"])
def test_a_family_that_a_job_trains_is_not_trained_by_the_function(
    finished: Any, result: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module = _training(job_for=REQUEST, finished=finished, train=AssertionError("the function trained"))
    assert module.handler(TRAIN_EVENT | {"after_job": False}, Context()) == result
    assert not [name for name in metrics_in(capsys.readouterr().out) if metrics.TRAINING_DURATION in str(name)]


def test_an_operators_recalibration_trains_nothing() -> None:
    made = {**RUN, "data_kind": "real", "site": "main", "recalibrated_from": "3"}
    module = _training(recalibrate=made, train=AssertionError("the function trained"))
    assert module.handler({"recalibrate": {"site": "main"}}, Context()) == made
    (call,) = vars(module)["recalibrate"].calls
    assert call == ({"site": "main"}, "connection to clean", MODEL)


@pytest.mark.parametrize("answer", [RUN, REQUEST], ids=["run", "another attempt"])
def test_after_a_job_the_function_says_what_became_of_it(answer: Any) -> None:
    module = _training(after_job=answer, train=AssertionError("the function trained"))
    event = TRAIN_EVENT | {"after_job": True, "attempt": 1, "outcome": {"TrainingJobStatus": "Completed"}}
    assert module.handler(event, Context()) == answer
