"""The outcomes function behind API Gateway."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError
from readmission.settings import DatabaseSettings

from tests.unit.functions.lambdas import Context, counters_in, load, series

EVENT = {
    "path": "/readmission/outcomes",
    "resource": "/outcomes",
    "httpMethod": "POST",
    "headers": {"Content-Type": "application/json"},
    "body": json.dumps([{"encounter_id": 7, "readmitted": "NO"}, {}]),
    "requestContext": {"requestId": "c6af9ac6"},
}


class Kept:
    """Numbers the connections."""

    opened = 0

    def __init__(self, database: str, settings: DatabaseSettings) -> None:
        assert settings == DatabaseSettings("secret", "require")
        Kept.opened += 1
        self._name = f"connection {self.opened} to {database}"

    def read(self, query: Callable[[str], Any]) -> Any:
        return query(self._name)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kept, "opened", 0)
    monkeypatch.setenv("DATABASE_SECRET", "secret")
    monkeypatch.setenv("DATABASE_TLS", "require")


def test_outcomes_are_written_to_the_clean_database_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    module = load("outcomes")
    asked: list[Any] = []

    class Outcomes:
        @staticmethod
        def store(*arguments: Any) -> dict[int, str]:
            asked.append(arguments)
            return {0: "stored"}

    vars(module).update(KeptConnection=Kept, outcomes=Outcomes)
    for _ in range(2):
        answer = module.handler(EVENT, Context())
        assert (answer["statusCode"], json.loads(answer["body"])["stored"]) == (200, 1)
    # The same connection both times.
    assert [(connection, request_id) for connection, _, request_id, _ in asked] == [
        ("connection 1 to clean", "c6af9ac6")
    ] * 2
    counters = counters_in(capsys.readouterr().out)
    assert counters[series("Requests", service="outcomes", route="/outcomes", status="200")] == 2
    assert counters[series("OutcomesReported", service="outcomes", result="refused")] == 2


@pytest.mark.parametrize(("code", "status"), [("42P01", 503), ("22000", 500)])
def test_a_missing_table_means_that_nothing_has_run_since_the_upgrade(code: str, status: int) -> None:
    module = load("outcomes")

    class Outcomes:
        @staticmethod
        def store(*arguments: Any) -> dict[int, str]:
            raise DatabaseError({"C": code, "M": "no"})

    vars(module).update(KeptConnection=Kept, outcomes=Outcomes)
    answer = module.handler(EVENT, Context())
    assert answer["statusCode"] == status
    assert ("run the pipeline once" in answer["body"]) is (status == 503)
