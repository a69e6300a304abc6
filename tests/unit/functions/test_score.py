"""The handlers of scoring jobs: a whole job by the function *score*, and the routes of the function *jobs*."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import pytest
from readmission.bulk import log, rows
from readmission.errors import ModelUnavailable
from readmission.settings import DatabaseSettings

from tests.unit.functions.lambdas import Context, counters_in, load, series
from tests.unit.readmission.builders import BUCKET
from tests.unit.readmission.bulk.fakes import KEY, PREPARED, STARTED, Job, csv_file
from tests.unit.readmission.serving.test_jobs import Machine

NIGHT = csv_file(PREPARED | {"patient_nbr": 7}, PREPARED | {"patient_nbr": 8, "age_numeric": 500})
PLAN = {"task": "plan", "execution": "job", "started_at": STARTED, "input": {"source": KEY}}
CHUNK = {"task": "chunk", "execution": "job", "chunk": 1}
FINISH = {"task": "finish", "execution": "job"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_SECRET": "reader",
        "DATA_BUCKET": BUCKET,
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MODEL_NAME": "readmission",
        "SCORE_MACHINE_ARN": "arn:aws:states:eu-central-1:0:stateMachine:score",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    made = Job(NIGHT)
    monkeypatch.setattr(rows, "look_up", made.look_up)
    return made


type Opened = list[tuple[str, DatabaseSettings]]


@pytest.fixture
def opened() -> Opened:
    """The databases that were connected to."""
    return []


@pytest.fixture
def app(job: Job, opened: Opened) -> Callable[[], ModuleType]:
    def made() -> ModuleType:
        module = load("score")

        def connect(database: str, settings: DatabaseSettings) -> Any:
            opened.append((database, settings))
            return nullcontext("connection")

        vars(module).update(connect=connect, s3_client=lambda: job.bucket, MlflowRegistry=lambda _: job.registry)
        return module

    return made


def test_the_steps_score_a_file_and_count_its_rows(
    app: Callable[[], ModuleType], job: Job, opened: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    module = app()
    planned = module.handler(PLAN, Context())
    assert planned == {"rows": 2, "chunks": [1], "model_version": "1", "skipped": None}
    assert module.handler(CHUNK, Context()) == {"chunk": 1, "answered": 1, "refused": 1}
    assert module.handler(FINISH, Context())["results"] == "scoring/jobs/job/results.csv"
    counters = counters_in(capsys.readouterr().out)
    assert counters[series("RowsScored", service="score")] == 1
    assert counters[series("RowsRefused", service="score")] == 1
    assert counters[series("StepRuns", service="score", outcome="succeeded")] == 3
    assert {settings.secret for _, settings in opened} == {"reader"}
    assert [one.patient_nbr for one in job.asked] == [7]


def test_with_a_prediction_log_the_forecasts_are_written_by_the_other_login(
    app: Callable[[], ModuleType], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREDICTION_LOG", "on")
    monkeypatch.setenv("DATABASE_LOG_SECRET", "pipeline")
    monkeypatch.setenv("PATIENT_KEY", "k" * 32)
    written: list[Any] = []
    monkeypatch.setattr(log, "write", lambda *arguments: written.append(arguments))
    module = app()
    module.handler(PLAN, Context())
    opened.clear()
    module.handler(CHUNK, Context())
    assert [settings.secret for _, settings in opened] == ["reader", "pipeline"]
    ((scored, job_id, at, *_, key_of),) = written
    assert (len(scored), job_id, at) == (1, "job", STARTED)
    assert len(key_of("default", 7)) == 64


def test_a_failure_keeps_its_name(app: Callable[[], ModuleType], job: Job) -> None:
    job.registry.problem = "no version is in Production yet"
    with pytest.raises(ModelUnavailable):
        app().handler(PLAN, Context())


def test_a_log_of_the_function_has_numbers_of_rows_and_nothing_of_a_patient(
    app: Callable[[], ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    module = app()
    for event in (PLAN, CHUNK, FINISH):
        module.handler(event, Context())
    told: dict[str, Any] = {}
    for record in caplog.records:
        told |= vars(record)
    assert (told["rows"], told["answered"], told["refused"]) == (2, 1, 1)
    assert not {*PREPARED, "patient_nbr", "encounter_id"} & told.keys()


def test_a_job_is_started_and_followed_behind_the_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    module, machine, bucket = load("jobs"), Machine(), Job(NIGHT).bucket
    vars(module).update(job_machine=lambda arn: machine, s3_client=lambda: bucket)
    event = {"headers": {"Content-Type": "application/json"}, "requestContext": {"requestId": "r"}}
    order = event | {"path": "/readmission/jobs", "resource": "/jobs", "httpMethod": "POST"}
    answer = module.handler(order | {"body": json.dumps({"id": "night", "source": KEY})}, Context())
    assert answer["statusCode"] == 202
    path = {"path": "/readmission/jobs/night", "resource": "/jobs/{id}", "pathParameters": {"id": "night"}}
    follow = event | path | {"httpMethod": "GET"}
    answer = module.handler(follow, Context())
    assert (answer["statusCode"], json.loads(answer["body"])["status"]) == (200, "running")
    counters = counters_in(capsys.readouterr().out)
    assert counters[series("Requests", service="jobs", route="/jobs", status="202")] == 1
    assert counters[series("Requests", service="jobs", route="/jobs/{id}", status="200")] == 1
