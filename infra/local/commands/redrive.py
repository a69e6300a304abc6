"""`make redrive`: sends the dead letters of the prediction log again."""

import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import Stack

_LONGEST_SECONDS = 60.0
_PAUSE_SECONDS = 0.5


def redrive(settings: Settings, stack: Stack) -> str:
    """Moves them back into the queue from which *record* takes messages. Raises LocalError if that fails."""
    arn = stack.outputs.get("PredictionDeadLettersArn")
    if not arn:
        raise LocalError("There is no prediction log. To deploy with one: make deploy PARAMETERS=PredictionLog=on")
    sqs = aws.client(settings, "sqs")
    try:
        waiting = _waiting(sqs, arn)
        if not waiting:
            return "There are no dead letters."
        sqs.start_message_move_task(SourceArn=arn)
        task = _finished(sqs, arn)
    except (ClientError, BotoCoreError) as error:
        raise LocalError(f"The dead letters cannot be sent again: {error}") from error
    moved = task.get("ApproximateNumberOfMessagesMoved", 0)
    if task["Status"] != "COMPLETED":
        raise LocalError(
            f"{moved} of {waiting} dead letters were sent again: {task.get('FailureReason', task['Status'])}"
        )
    return f"{moved} dead letters were sent again. What the function record says: make logs FUNCTION=record"


def _waiting(sqs: Any, arn: str) -> int:
    url = sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
    name = "ApproximateNumberOfMessages"
    return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])


def _finished(sqs: Any, arn: str) -> dict[str, Any]:
    """The newest task, when it has ended, or as it is after a minute."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while True:
        task: dict[str, Any] = sqs.list_message_move_tasks(SourceArn=arn, MaxResults=1)["Results"][0]
        if task["Status"] != "RUNNING" or time.monotonic() > deadline:
            return task
        time.sleep(_PAUSE_SECONDS)
