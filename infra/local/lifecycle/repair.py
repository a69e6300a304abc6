"""Makes a stack deployable again whose deployment broke off, for example because the disk was full."""

import time
from typing import Any

from botocore.exceptions import ClientError

from infra.local import aws, stack
from infra.local.errors import LocalError
from infra.local.settings import Settings

STACKS = (stack.NAME, "aws-sam-cli-managed-default")
"""The application's, and that of the bucket to which `sam deploy` uploads."""
DEPLOYABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
PATIENCE_SECONDS = 120
POLL_SECONDS = 0.5


class CannotDelete(LocalError):
    """LocalStack fails to delete a stack if one of its resources was never made. Only a new LocalStack helps."""


def repair(settings: Settings) -> list[str]:
    """Deletes the stacks that cannot be updated, and returns their names. Nothing of value is lost: buckets are kept,
    and the new stack gets the same addresses and keys. Raises CannotDelete."""
    client = aws.client(settings, "cloudformation")
    broken = [name for name in STACKS if _settled(client, name) not in (None, *DEPLOYABLE)]
    for name in broken:
        client.delete_stack(StackName=name)
        if status := _settled(client, name):
            raise CannotDelete(
                f"The stack {name} is in state {status} and cannot be deleted. "
                "Restart the platform, then deploy again: make down, make up, make deploy. All data stays."
            )
    return broken


def _settled(client: Any, name: str) -> str | None:
    """The stack's status once nothing changes it any more; None if it does not exist."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (status := _status(client, name)) and status.endswith("_IN_PROGRESS") and time.monotonic() < deadline:
        if status == "REVIEW_IN_PROGRESS":  # a change set that nobody executed: it stays like this
            break
        time.sleep(POLL_SECONDS)
    return status


def _status(client: Any, name: str) -> str | None:
    try:
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    status: str = found["StackStatus"]
    return None if status == "DELETE_COMPLETE" else status
