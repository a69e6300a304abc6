"""The state machine `score` in Step Functions. Imports boto3, so it is imported only where jobs are started."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import JobsUnavailable
from readmission.serving.jobs import Execution

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

# Short, because a person waits for the answer.
CONFIG: Final = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


class JobMachine:
    """A `jobs.Machine`: the state machine of this ARN."""

    def __init__(self, client: "SFNClient", arn: str) -> None:
        self._client = client
        self._arn = arn

    def start(self, job: str, document: Mapping[str, Any]) -> bool:
        """Start an execution of this name; False if there is one. Raises `JobsUnavailable`."""
        # Step Functions answers a repetition of a running execution's start as if it were new.
        if self.describe(job) is not None:
            return False
        with _reachable():
            try:
                self._client.start_execution(stateMachineArn=self._arn, name=job, input=json.dumps(document))
            except ClientError as error:
                if error.response["Error"]["Code"] == "ExecutionAlreadyExists":
                    return False
                raise
        return True

    def describe(self, job: str) -> Execution | None:
        """The execution of this name, or None. Raises `JobsUnavailable`."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{job}"
        with _reachable():
            try:
                found = self._client.describe_execution(executionArn=arn)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                    return None
                raise
        return Execution(
            status=found["status"],
            started_at=_iso(found["startDate"]),
            ended_at=_iso(found["stopDate"]) if "stopDate" in found else None,
            input=json.loads(found.get("input") or "{}"),
            output=json.loads(found.get("output") or "{}"),
            error=found.get("error"),
            cause=found.get("cause"),
        )


@cache
def job_machine(arn: str) -> JobMachine:
    """One for each execution environment."""
    return JobMachine(boto3.client("stepfunctions", config=CONFIG), arn)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise JobsUnavailable(f"Step Functions: {error}") from error
