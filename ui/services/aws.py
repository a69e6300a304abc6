"""Clients of AWS, and the application's stack there."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

_CONFIG = Config(connect_timeout=3, read_timeout=60, retries={"total_max_attempts": 2})


class NotDeployed(Exception):
    """There is no such stack, or it is half made."""


@dataclass(frozen=True, slots=True)
class Stack:
    pipeline_arn: str
    artifact_bucket: str


@cache
def client(service: str) -> Any:
    """One for each service: boto3's clients, unlike its sessions, may be used by several threads."""
    return boto3.session.Session().client(service, config=_CONFIG)


def stack(name: str) -> Stack:
    """The deployed application. Raises NotDeployed, or what botocore raises when AWS is away."""
    cloudformation = client("cloudformation")
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except cloudformation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            raise NotDeployed(name) from error
        raise
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    try:
        return Stack(outputs["PipelineArn"], outputs["ArtifactBucketName"])
    except KeyError as error:
        raise NotDeployed(name) from error
