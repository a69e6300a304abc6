"""`make platform-parameters`: the platform stack's outputs, as parameters for the application's `sam deploy`."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
import yaml
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.settings import ROOT

NAME = "readmission-platform"
COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class _Names(yaml.SafeLoader):
    """Reads a template for its names; what its functions are given does not matter here."""


_Names.add_multi_constructor("!", lambda loader, suffix, node: None)


class NoParameters(Exception):
    """The stack cannot be read, or is not complete; the message says what to do."""


def parameters(client: Any, stack: str) -> list[str]:
    """`Name=value` for each output that is a parameter of the application. Raises `NoParameters`."""
    try:
        (found,) = client.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise NoParameters(f"The stack {stack} cannot be read: {error}") from error
    if found["StackStatus"] not in COMPLETE:
        raise NoParameters(f"The stack {stack} is in state {found['StackStatus']}. Deploy it first: docs/aws.md")
    known = yaml.load((ROOT / "template.yaml").read_text(), _Names)["Parameters"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    return [f"{name}={value}" for name, value in outputs.items() if name in known]


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Prints them on one line. The first argument, if any, is the stack's name."""
    if "AWS_ENDPOINT_URL" in environment:
        print("AWS_ENDPOINT_URL is set, by make env: this is about AWS. Use another shell.", file=sys.stderr)
        return 2
    try:
        print(*parameters(boto3.client("cloudformation"), arguments[0] if arguments else NAME))
    except (NoParameters, BotoCoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
