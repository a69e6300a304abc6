"""SageMaker's API of training jobs: CreateTrainingJob, DescribeTrainingJob, StopTrainingJob and ListTrainingJobs."""

import logging
import os
import shlex
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import count
from threading import Lock
from typing import Any

from localstack import config
from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.connect import connect_to
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.services.plugins import Service

from localstack_plugin.cloudwatch.shared import publisher
from localstack_plugin.sagemaker.host import Lines
from localstack_plugin.sagemaker.jobs import Document, InvalidJob, Job, Place, checked
from localstack_plugin.storage.working_folder import working_folder

LOG = logging.getLogger(__name__)

SETTING = "TRAINING_JOB_COMMAND"
LOG_GROUP = "/aws/sagemaker/TrainingJobs"

type Handler = Callable[[RequestContext, Document], Document]


class TrainingJobs:
    """The jobs of all accounts and regions. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._jobs: dict[tuple[str, str], dict[str, Job]] = {}
        self._numbers = count(1)
        self._closed = False

    def create(self, context: RequestContext, request: Document) -> Document:
        account, region = context.account_id, context.region
        checked(request)
        name = request["TrainingJobName"]
        # SageMaker writes names in its ARNs in lower case.
        arn = f"arn:{context.partition}:sagemaker:{region}:{account}:training-job/{name.lower()}"
        place = Place(
            _command(),
            {
                "AWS_ACCESS_KEY_ID": account,
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": region,
                "AWS_DEFAULT_REGION": region,
                "AWS_ENDPOINT_URL": config.internal_service_url(host="127.0.0.1"),
            },
            working_folder().environment(f"training-job-{next(self._numbers)}"),
            _Log(account, region),
        )
        with self._lock:
            if self._closed:
                raise InvalidJob("ServiceUnavailable", "LocalStack is stopping.")
            jobs = self._jobs.setdefault((account, region), {})
            if name.lower() in jobs:
                raise InvalidJob("ResourceInUse", "Training job names must be unique within an AWS account and region.")
            jobs[name.lower()] = Job(request, arn, place)
        return {"TrainingJobArn": arn}

    def describe(self, context: RequestContext, request: Document) -> Document:
        return self._job(context, request).describe()

    def stop(self, context: RequestContext, request: Document) -> Document:
        self._job(context, request).stop()
        return {}

    def list(self, context: RequestContext, request: Document) -> Document:
        """Newest first, all on one page."""
        with self._lock:
            jobs = [job.describe() for job in self._jobs.get((context.account_id, context.region), {}).values()]
        found = [
            {name: job[name] for name in _LISTED if name in job}
            for job in sorted(jobs, key=lambda job: job["CreationTime"], reverse=True)
            if request.get("NameContains", "") in job["TrainingJobName"]
            and request.get("StatusEquals", job["TrainingJobStatus"]) == job["TrainingJobStatus"]
        ]
        return {"TrainingJobSummaries": found[: request.get("MaxResults", len(found))]}

    def close(self) -> None:
        """Kill all jobs. Their threads then write no more logs: a service that starts while LocalStack stops hangs."""
        with self._lock:
            self._closed = True
            jobs = [job for jobs in self._jobs.values() for job in jobs.values()]
        _Log.closed = True
        for job in jobs:
            job.kill()
        for job in jobs:
            job.join(5)

    def _job(self, context: RequestContext, request: Document) -> Job:
        name = str(request.get("TrainingJobName", ""))
        with self._lock:
            if job := self._jobs.get((context.account_id, context.region), {}).get(name.lower()):
                return job
        raise InvalidJob("ResourceNotFound", f"Requested resource not found: training job {name}.")


_LISTED = (
    "TrainingJobName",
    "TrainingJobArn",
    "CreationTime",
    "TrainingEndTime",
    "LastModifiedTime",
    "TrainingJobStatus",
    "SecondaryStatus",
)


class _Log:
    """Writes the output of jobs to CloudWatch Logs, and the metrics embedded in it to CloudWatch."""

    closed = False

    def __init__(self, account: str, region: str) -> None:
        self._account, self._region = account, region
        self._streams: set[str] = set()

    def __call__(self, stream: str, lines: Lines) -> None:
        if self.closed:
            return
        publisher().submit(self._account, self._region, "\n".join(line for _, line in lines))
        client = connect_to(aws_access_key_id=self._account, region_name=self._region).logs
        try:
            if stream not in self._streams:
                with suppress(client.exceptions.ResourceAlreadyExistsException):
                    client.create_log_group(logGroupName=LOG_GROUP)
                client.create_log_stream(logGroupName=LOG_GROUP, logStreamName=stream)
                self._streams.add(stream)
            events = [{"timestamp": time, "message": line} for time, line in lines]
            client.put_log_events(logGroupName=LOG_GROUP, logStreamName=stream, logEvents=events)
        except Exception:  # the job goes on without its log
            LOG.exception("The output of %s cannot be written to CloudWatch Logs", stream)


def _command() -> list[str]:
    """Raises InvalidJob if no trainer is configured: the emulator cannot run an image."""
    command = shlex.split(os.environ.get(SETTING, ""))
    if not command:
        raise InvalidJob(
            "ValidationException",
            f"This LocalStack has no trainer: it runs no images. Start it with {SETTING}, the command that stands for"
            " the training image, as '/path/to/python -m readmission.training.job'.",
        )
    if not (program := shutil.which(command[0])):
        raise InvalidJob("ValidationException", f"{SETTING} names {command[0]}, which is not a program here.")
    return [program, *command[1:]]


def _answered(handler: Handler) -> Handler:
    def answer(context: RequestContext, request: Document) -> Document:
        try:
            return handler(context, request)
        except InvalidJob as error:
            raise CommonServiceException(error.code, str(error), 400, sender_fault=True) from error

    return answer


@cache
def training_jobs() -> TrainingJobs:
    """Those of this LocalStack."""
    return TrainingJobs()


def service() -> Service:
    jobs = training_jobs()
    operations: dict[str, Any] = {
        "CreateTrainingJob": _answered(jobs.create),
        "DescribeTrainingJob": _answered(jobs.describe),
        "StopTrainingJob": _answered(jobs.stop),
        "ListTrainingJobs": _answered(jobs.list),
    }
    return Service(name="sagemaker", skeleton=Skeleton(load_service("sagemaker"), operations))
