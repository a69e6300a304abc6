"""Where a family is trained: in the function *train*, or by a training job that the state machine starts.

The state machine asks before the training and after each job, so that the rules for what is tried again are here and
not in its definition.
"""

import json
import re
from typing import Any, Final, cast

from pg8000.native import Connection

from readmission import errors
from readmission.domain.payloads import (
    AfterJobEvent,
    EndedJob,
    Failure,
    JobRequest,
    TrainEvent,
    TrainingJob,
    TrainResult,
)
from readmission.errors import (
    ReadmissionError,
    StepTimedOut,
    TrainingJobFailed,
    TrainingJobNotStarted,
    TrainingJobStopped,
    TrainingRunMissing,
    Transient,
)
from readmission.evaluation import dataset
from readmission.settings import ModelSettings, TrainingJobSettings
from readmission.training.train import finished

# The only family that several machines can train.
DISTRIBUTED: Final = "gradient_boosting"
# Seconds before each attempt. Capacity that is not there now may be there in a quarter of an hour.
_WAITS: Final = (0, 120, 900)
# A job's name has 63 characters at most; the state machine adds a hyphen and eight others.
_LONGEST_NAME: Final = 54
# How SageMaker begins the reason of a failure that was not the container's, and error codes of its API that may pass.
_MAY_PASS: Final = re.compile(
    r"\A(CapacityError|InternalServerError)\b"
    r"|Throttling|TooManyRequests|RequestLimitExceeded|ResourceLimitExceeded|ServiceUnavailable|InternalFailure"
    r"|SdkClientException"
)
# A quota of none passes only when AWS raises it.
_NO_QUOTA: Final = re.compile(r"\bis 0 Instances\b")
_OWN_ERROR: Final = re.compile(r"\AAlgorithmError:\s*(?P<name>[A-Z]\w+): (?P<message>.*)", re.DOTALL)
_EXIT_CODE: Final = re.compile(r",? exit code: \d+\s*\Z")


def job_for(
    event: TrainEvent, clean: Connection, settings: TrainingJobSettings, model: ModelSettings
) -> JobRequest | None:
    """The job that is to train this family; None if the function trains it.

    An event without `after_job` comes from a state machine of an earlier release, which cannot run jobs.
    """
    if settings.where == "lambda" or "after_job" not in event:
        return None
    request = _request(event, settings, 1)
    if settings.rows and _rows(request["job"], clean, model) < settings.rows:
        return None
    return request


def after_job(event: AfterJobEvent, settings: TrainingJobSettings, model: ModelSettings) -> TrainResult | JobRequest:
    """The run that the job has finished, or the next job if what the last one failed of may pass.

    Otherwise raises the error of the job by its own name. What is not an error of ours is `TrainingJobNotStarted`,
    `TrainingJobStopped`, `StepTimedOut` or `TrainingJobFailed`, with SageMaker's reason.
    """
    training = TrainEvent(execution=event["execution"], data_kind=event["data_kind"], model=event["model"])
    # Also after a failure, which may have come when the run was complete.
    if run := finished(training, model):
        return run
    if not (failure := _failure(event["outcome"])):
        raise TrainingRunMissing(
            f"the training job of {event['model']} ended well, but MLflow has no finished run of the execution"
            f" {event['execution']}; see the job's log, and whether the job and the functions use the same MLflow"
        )
    error, may_pass = _named(failure)
    if may_pass and event["attempt"] < len(_WAITS):
        return _request(training, settings, event["attempt"] + 1)
    if isinstance(error, Transient):  # with its own name, the state machine would ask again what became of the job
        error = TrainingJobFailed(f"{type(error).__name__}: {error}")
    raise error


def _request(event: TrainEvent, settings: TrainingJobSettings, attempt: int) -> JobRequest:
    family = event["model"]
    distributed = settings.where == "distributed" and family == DISTRIBUTED
    name = f"{settings.stack}-{family.replace('_', '-')}"[:_LONGEST_NAME].rstrip("-")
    job = TrainingJob(
        name=name,
        model=family,
        data_kind=event["data_kind"],
        execution=event["execution"],
        distributed="true" if distributed else "false",
        instances=settings.instances if distributed else 1,
        attempt=attempt,
        wait_seconds=_WAITS[attempt - 1],
    )
    return JobRequest(model=family, job=job)


def _rows(job: TrainingJob, clean: Connection, model: ModelSettings) -> int:
    """How many rows the job would learn from: a distributed one from all."""
    rows = sum(dataset.sites(clean, job["data_kind"]).values())
    return rows if job["distributed"] == "true" else min(rows, model.max_training_rows)


def _failure(outcome: Failure | EndedJob) -> Failure | None:
    if "Error" in outcome:
        return cast(Failure, outcome)
    if outcome["TrainingJobStatus"] == "Completed":
        return None
    return Failure(Error="States.TaskFailed", Cause=json.dumps(outcome))


def _named(failure: Failure) -> tuple[ReadmissionError, bool]:
    """The error that a failed attempt stands for, and whether another attempt may succeed.

    If the job itself failed, the cause is its description; otherwise it is the reason why there is no job.
    """
    job = _description(failure["Cause"])
    if failure["Error"] == "States.Timeout" or job.get("SecondaryStatus") == "MaxRuntimeExceeded":
        return StepTimedOut("the training job did not end within its time limit"), False
    if job.get("TrainingJobStatus") == "Stopped":
        return TrainingJobStopped(f"the training job {job.get('TrainingJobName', '')} was stopped"), False
    if failure["Error"] != "States.TaskFailed" or not job:
        text = f"{failure['Error']}: {failure['Cause']}"
        return TrainingJobNotStarted(f"SageMaker did not start the training job: {text}"), _may_pass(text)
    reason = str(job.get("FailureReason") or "SageMaker names no reason")
    if reason.startswith("CapacityError"):
        return TrainingJobNotStarted(f"the training job got no machine: {reason}"), True
    if own := _own_error(reason):
        return own, isinstance(own, Transient)
    failed = TrainingJobFailed(f"the training job {job.get('TrainingJobName')} failed: {reason}")
    return failed, _may_pass(reason)


def _may_pass(text: str) -> bool:
    return bool(_MAY_PASS.search(text)) and not _NO_QUOTA.search(text)


def _own_error(reason: str) -> ReadmissionError | None:
    """The error that the job's process named, if it is one of ours."""
    if not (match := _OWN_ERROR.match(reason)):
        return None
    kind = getattr(errors, match["name"], None)
    if not (isinstance(kind, type) and issubclass(kind, ReadmissionError)):
        return None
    return kind(_EXIT_CODE.sub("", match["message"]))


def _description(cause: str) -> dict[str, Any]:
    """SageMaker's description of the job; empty if the cause is another text."""
    try:
        described = json.loads(cause)
    except ValueError:
        return {}
    return described if isinstance(described, dict) and "TrainingJobStatus" in described else {}
