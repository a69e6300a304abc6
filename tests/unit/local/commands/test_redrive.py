"""Dead letters, sent again by SQS."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local import aws, settings
from infra.local.commands import redrive
from infra.local.errors import LocalError
from infra.local.stack import Stack

ARN = "arn:aws:sqs:us-east-1:000000000000:readmission-predictions-dead-letters"


class FakeSqs:
    """A queue with dead letters, and the states of the task that moves them."""

    def __init__(self, waiting: int, *tasks: dict[str, Any]) -> None:
        self.waiting, self.tasks = waiting, list(tasks)
        self.started: list[str] = []
        self.problem: Exception | None = None

    def get_queue_url(self, **asked: str) -> dict[str, str]:
        assert asked == {"QueueName": "readmission-predictions-dead-letters"}
        return {"QueueUrl": "url"}

    def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.waiting)}}

    def start_message_move_task(self, **asked: str) -> None:
        if self.problem:
            raise self.problem
        self.started.append(asked["SourceArn"])

    def list_message_move_tasks(self, **asked: Any) -> dict[str, Any]:
        assert asked["SourceArn"] == ARN
        return {"Results": [self.tasks.pop(0)]}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(redrive, "_PAUSE_SECONDS", 0)

    def run(fake: FakeSqs, **outputs: str) -> str:
        monkeypatch.setattr(aws, "client", lambda settings, service: fake)
        deployed = Stack("api", "key", "https://localhost", "token", "arn", "bucket", {}, outputs)
        return redrive.redrive(settings.load({"LOCAL_DIR": "/nowhere"}), deployed)

    return run


def test_dead_letters_are_sent_again_until_sqs_has_finished(run: Any) -> None:
    done = {"Status": "COMPLETED", "ApproximateNumberOfMessagesMoved": 3}
    fake = FakeSqs(3, {"Status": "RUNNING"}, {"Status": "RUNNING"}, done)
    assert run(fake, PredictionDeadLettersArn=ARN).startswith("3 dead letters were sent again")
    assert fake.started == [ARN] and fake.tasks == []


def test_without_dead_letters_nothing_is_started(run: Any) -> None:
    fake = FakeSqs(0)
    assert run(fake, PredictionDeadLettersArn=ARN) == "There are no dead letters."
    assert fake.started == []


def test_without_the_log_the_command_says_how_to_get_one(run: Any) -> None:
    with pytest.raises(LocalError, match="make deploy PARAMETERS=PredictionLog=on"):
        run(FakeSqs(0))


def test_a_task_that_fails_is_an_error_with_what_was_moved(run: Any) -> None:
    failed = {"Status": "FAILED", "ApproximateNumberOfMessagesMoved": 1, "FailureReason": "AWS.SimpleQueueService"}
    with pytest.raises(LocalError, match=r"1 of 3 dead letters were sent again: AWS\.SimpleQueueService"):
        run(FakeSqs(3, failed), PredictionDeadLettersArn=ARN)


def test_a_task_that_cannot_start_is_an_error(run: Any) -> None:
    fake = FakeSqs(3)
    fake.problem = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "StartMessageMoveTask")
    with pytest.raises(LocalError, match="cannot be sent again"):
        run(fake, PredictionDeadLettersArn=ARN)
