"""Which job trains a family, and what becomes of it: its run, another attempt, or an error with the job's own name."""

import json
from typing import Any

import pytest
from readmission import errors
from readmission.domain.payloads import AfterJobEvent, Family, TrainEvent
from readmission.settings import ModelSettings, Training, TrainingJobSettings
from readmission.training import placement
from readmission.training.placement import after_job, job_for

MODEL = ModelSettings("http://mlflow.example", "readmission", max_training_rows=5000)
RUN = {"model": "random_forest", "mlflow_run_id": "1"}


class Rows:
    """A connection to a clean table with so many rows at two sites."""

    def __init__(self, rows: int = 0) -> None:
        self.rows = rows
        self.asked = 0

    def run(self, statement: str, **parameters: Any) -> list[list[Any]]:
        self.asked += 1
        return [["a", 100], ["b", self.rows - 100]]


def settings(
    where: Training = "container", rows: int = 0, instances: int = 3, stack: str = "readmission"
) -> TrainingJobSettings:
    return TrainingJobSettings(where, rows, instances, stack)


def event(model: Family = "random_forest") -> TrainEvent:
    return {"execution": "run", "data_kind": "real", "model": model, "after_job": False}


def ended(outcome: Any, attempt: int = 1) -> AfterJobEvent:
    return {
        "execution": "run",
        "data_kind": "real",
        "model": "random_forest",
        "after_job": True,
        "attempt": attempt,
        "outcome": outcome,
    }


def failed(reason: str = "", **fields: str) -> dict[str, str]:
    """What the state machine catches of a job that failed."""
    job = {"TrainingJobName": "job", "TrainingJobStatus": "Failed", "SecondaryStatus": "Failed"} | fields
    return {"Error": "States.TaskFailed", "Cause": json.dumps(job | ({"FailureReason": reason} if reason else {}))}


def refused(code: str, message: str) -> dict[str, str]:
    """What the state machine catches if there is no job."""
    return {"Error": f"SageMaker.{code}", "Cause": message}


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "finished", lambda event, model: None)


# ---------------------------------------------------------------- before
def test_the_function_trains_by_default() -> None:
    assert job_for(event(), Rows(), settings("lambda"), MODEL) is None


def test_a_state_machine_that_cannot_run_jobs_gets_none() -> None:
    """An execution that began before the deployment goes on with the old definition and the new function."""
    old: TrainEvent = {"execution": "run", "data_kind": "real", "model": "random_forest"}
    assert job_for(old, Rows(), settings(), MODEL) is None


def test_one_machine_trains_each_family_as_a_container() -> None:
    assert job_for(event(), Rows(), settings(), MODEL) == {
        "model": "random_forest",
        "job": {
            "name": "readmission-random-forest",
            "model": "random_forest",
            "data_kind": "real",
            "execution": "run",
            "distributed": "false",
            "instances": 1,
            "attempt": 1,
            "wait_seconds": 0,
        },
    }


@pytest.mark.parametrize(
    ("model", "distributed", "instances"),
    [("gradient_boosting", "true", 3), ("random_forest", "false", 1), ("logistic_regression", "false", 1)],
)
def test_only_gradient_boosting_is_distributed(model: Family, distributed: str, instances: int) -> None:
    request = job_for(event(model), Rows(), settings("distributed"), MODEL)
    assert request and (request["job"]["distributed"], request["job"]["instances"]) == (distributed, instances)


@pytest.mark.parametrize(("rows", "by_job"), [(999, False), (1000, True), (1001, True)])
def test_a_job_trains_from_so_many_rows_on(rows: int, by_job: bool) -> None:
    assert bool(job_for(event(), Rows(rows), settings(rows=1000), MODEL)) is by_job


def test_rows_that_are_not_learned_from_do_not_count() -> None:
    """`max_training_rows` limits them, but for a distributed training, which learns from all."""
    given = settings("distributed", rows=5001)
    assert job_for(event(), Rows(1_000_000), given, MODEL) is None
    assert job_for(event("gradient_boosting"), Rows(1_000_000), given, MODEL)


def test_rows_are_not_counted_without_need() -> None:
    rows = Rows()
    assert job_for(event(), rows, settings(), MODEL) and not rows.asked


@pytest.mark.parametrize("length", [1, 20, 53])
def test_the_name_of_a_job_fits_with_what_the_state_machine_adds(length: int) -> None:
    request = job_for(event("gradient_boosting"), Rows(), settings(stack="s" * length), MODEL)
    assert request
    name = request["job"]["name"]
    assert name.startswith("s" * length) and not name.endswith("-")
    assert len(f"{name}-{'x' * 8}") <= 63


# ---------------------------------------------------------------- after
@pytest.mark.parametrize("outcome", [{"TrainingJobStatus": "Completed"}, failed("InternalServerError: sorry")])
def test_a_finished_run_is_the_result_whatever_became_of_the_job(
    outcome: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "finished", lambda event, model: RUN)
    assert after_job(ended(outcome), settings(), MODEL) == RUN


@pytest.mark.usefixtures("no_run")
def test_a_job_that_ended_well_without_a_run_is_named() -> None:
    with pytest.raises(errors.TrainingRunMissing, match=r"random_forest.*run"):
        after_job(ended({"TrainingJobStatus": "Completed"}), settings(), MODEL)


@pytest.mark.usefixtures("no_run")
def test_an_error_of_the_job_keeps_its_name_and_message() -> None:
    reason = "AlgorithmError: NoTrainingData: the split train lacks the class <30: ingest more, exit code: 1"
    with pytest.raises(errors.NoTrainingData) as raised:
        after_job(ended(failed(reason)), settings(), MODEL)
    assert str(raised.value) == "the split train lacks the class <30: ingest more"


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    "reason",
    [
        "AlgorithmError: , exit code: 137",
        "AlgorithmError: ValueError: no such thing, exit code: 1",
        "AlgorithmError: Any: not an error, exit code: 1",
        "ClientError: the image cannot be pulled",
    ],
)
def test_what_is_not_an_error_of_ours_has_sagemakers_reason(reason: str) -> None:
    with pytest.raises(errors.TrainingJobFailed) as raised:
        after_job(ended(failed(reason)), settings(), MODEL)
    assert str(raised.value) == f"the training job job failed: {reason}"


MAY_PASS = {
    "capacity": failed("CapacityError: Unable to provision requested ML compute capacity. Please retry later."),
    "internal": failed("InternalServerError: We encountered an internal error. Please try again."),
    "database": failed("AlgorithmError: DatabaseUnavailable: no connection, exit code: 1"),
    "throttled": refused("ThrottlingException", "Rate exceeded"),
    "generic": refused("AmazonSageMakerException", "Rate exceeded (Status Code: 400; Error Code: ThrottlingException)"),
    "in use": refused("ResourceLimitExceededException", "'ml.m5.large for training job usage' is 2 Instances, with"),
}


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize("outcome", MAY_PASS.values(), ids=MAY_PASS)
def test_what_may_pass_is_tried_again_later_each_time(outcome: dict[str, str]) -> None:
    first, second = (after_job(ended(outcome, attempt), settings(), MODEL) for attempt in (1, 2))
    assert "job" in first and "job" in second
    assert (first["job"]["attempt"], second["job"]["attempt"]) == (2, 3)
    assert 0 < first["job"]["wait_seconds"] < second["job"]["wait_seconds"]


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize("outcome", MAY_PASS.values(), ids=MAY_PASS)
def test_the_attempts_have_an_end_and_no_error_that_the_state_machine_would_retry(outcome: dict[str, str]) -> None:
    with pytest.raises((errors.TrainingJobFailed, errors.TrainingJobNotStarted)) as raised:
        after_job(ended(outcome, 3), settings(), MODEL)
    assert not isinstance(raised.value, errors.Transient)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    "outcome",
    [
        refused("ValidationException", "Could not assume role arn:aws:iam::1:role/x"),
        refused("ResourceLimitExceededException", "'ml.m5.large for training job usage' is 0 Instances, with current"),
        {"Error": "States.Runtime", "Cause": "no such path"},
    ],
)
def test_a_refused_request_is_not_tried_again(outcome: dict[str, str]) -> None:
    with pytest.raises(errors.TrainingJobNotStarted) as raised:
        after_job(ended(outcome), settings(), MODEL)
    assert outcome["Cause"] in str(raised.value)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    "outcome",
    [
        failed(TrainingJobStatus="Stopped", SecondaryStatus="MaxRuntimeExceeded"),
        {"Error": "States.Timeout", "Cause": ""},
    ],
)
def test_a_job_that_takes_too_long_has_timed_out(outcome: dict[str, str]) -> None:
    with pytest.raises(errors.StepTimedOut):
        after_job(ended(outcome), settings(), MODEL)


@pytest.mark.usefixtures("no_run")
@pytest.mark.parametrize(
    "outcome", [failed(TrainingJobStatus="Stopped", SecondaryStatus="Stopped"), {"TrainingJobStatus": "Stopped"}]
)
def test_a_job_that_somebody_stopped_says_so(outcome: dict[str, str]) -> None:
    with pytest.raises(errors.TrainingJobStopped, match=r"the training job .*was stopped"):
        after_job(ended(outcome), settings(), MODEL)
