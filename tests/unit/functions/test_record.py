"""The handler of *record*: which messages come again, what is counted, and when the database is migrated."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError
from readmission.errors import DatabaseUnavailable
from readmission.pipeline.record import Received, Recorded
from readmission.settings import DatabaseSettings
from readmission.telemetry import metrics

from tests.unit.functions.lambdas import Context, counters_in, load, series

BODIES = {"1": "one", "2": "two", "3": "x"}
EVENT = {"Records": [{"messageId": name, "body": body} for name, body in BODIES.items()]}
RESULT = Recorded(added=5, repeated=2, refused={"2": "it is not JSON"}, again={"3": "S3 is away"})
OWNER, PIPELINE = "readmission/database", "readmission/database/pipeline"


class Step:
    """Answers with each of `answers` in turn, and raises those that are errors."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def _connect(database: str, settings: DatabaseSettings) -> Iterator[str]:
    yield f"{database} as {settings.secret}"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    variables = {"DATABASE_SECRET": PIPELINE, "DATABASE_OWNER_SECRET": OWNER, "DATA_BUCKET": "bucket"}
    for name, value in (variables | {"PREDICTION_RETENTION_DAYS": "90"}).items():
        monkeypatch.setenv(name, value)
    module = load("record")
    vars(module)["connect"] = _connect
    vars(module)["s3_client"] = lambda: "client of s3"
    return module


def test_the_queue_delivers_again_what_was_not_written_and_nothing_else(module: ModuleType) -> None:
    vars(module)["record"] = step = Step(RESULT)
    answer = module.handler(EVENT, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]}
    received = [Received(name, body) for name, body in BODIES.items()]
    assert step.calls == [(received, "bucket", "client of s3", f"clean as {PIPELINE}")]


def test_what_was_written_and_refused_is_counted(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    vars(module)["record"] = Step(RESULT)
    module.handler(EVENT, Context())
    assert counters_in(capsys.readouterr().out) == {
        series(metrics.PREDICTIONS_RECORDED, service="record"): 5,
        series(metrics.PREDICTIONS_REPEATED, service="record"): 2,
        series(metrics.PREDICTION_MESSAGES_REFUSED, service="record"): 1,
    }


def test_a_database_of_the_release_before_is_migrated_by_its_owner(module: ModuleType) -> None:
    vars(module)["record"] = step = Step(DatabaseError({"C": "42P01"}), RESULT)
    vars(module)["migrate"] = migrate = Step(None)
    module.handler(EVENT, Context())
    assert migrate.calls == [(f"clean as {OWNER}", "clean")] and len(step.calls) == 2


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), DatabaseError({"C": "42501"})])
def test_without_the_database_all_messages_come_again(module: ModuleType, error: Exception) -> None:
    vars(module)["record"] = Step(error)
    with pytest.raises(type(error)):
        module.handler(EVENT, Context())


def test_the_schedule_deletes_what_is_older_than_the_parameter_says(
    module: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deletion(Step):
        def __call__(self, clean: str, days: int, goes_on: Any) -> Any:
            return super().__call__(clean, days, goes_on())

    vars(module)["delete_old"] = step = Deletion(12)
    assert module.handler({"delete_old": {}}, Context()) == {"deleted": 12}
    # The context of the tests has no more time than one deletion needs.
    assert step.calls == [(f"clean as {PIPELINE}", 90, False)]
    assert counters_in(capsys.readouterr().out) == {series(metrics.PREDICTIONS_DELETED, service="record"): 12}
