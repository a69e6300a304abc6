"""AWS clients, and the application's deployed stack."""

from dataclasses import dataclass
from functools import cache
from typing import Any


class NotDeployed(Exception):
    """The stack does not exist, or its deployment has not finished."""


@dataclass(frozen=True, slots=True)
class Stack:
    pipeline_arn: str


@cache
def client(service: str) -> Any:
    """One client per service. Unlike boto3's sessions, its clients can be shared between threads."""
    # Not at the top: the first page does without.
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=60, retries={"total_max_attempts": 2})
    return boto3.session.Session().client(service, config=config)  # type: ignore[call-overload]


def failed(error: Exception) -> bool:
    """Whether an AWS client raised the error."""
    from botocore.exceptions import BotoCoreError, ClientError

    return isinstance(error, BotoCoreError | ClientError)


def stack(name: str) -> Stack:
    """The deployed application. Raises NotDeployed, or botocore's errors if AWS does not respond."""
    cloudformation = client("cloudformation")
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            raise NotDeployed(name) from error
        raise
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    try:
        return Stack(outputs["PipelineArn"])
    except KeyError as error:
        raise NotDeployed(name) from error
