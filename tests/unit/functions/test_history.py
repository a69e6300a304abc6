"""The history function behind API Gateway."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from readmission.settings import DatabaseSettings

from tests.unit.functions.lambdas import Context, counters_in, load, series

EVENT = {"path": "/model/history", "queryStringParameters": {"limit": "2"}, "requestContext": {"requestId": "c6af9ac6"}}
ENVIRONMENT = {"DATABASE_SECRET": "secret", "DATABASE_TLS": "require", "MODEL_NAME": "readmission"}


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
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_decisions_are_read_from_the_clean_database() -> None:
    module = load("history")
    asked: list[Any] = []

    class Ledger:
        @staticmethod
        def read(*arguments: Any) -> list[dict[str, Any]]:
            asked.append(arguments)
            return [{"version": "2"}]

    vars(module).update(KeptConnection=Kept, ledger=Ledger)
    for _ in range(2):
        answer = module.handler(EVENT, Context())
        assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"decisions": [{"version": "2"}]})
    # The same connection both times.
    assert asked == [("connection 1 to clean", "readmission", 2)] * 2


@pytest.mark.parametrize("name", ["DATABASE_SECRET", "MODEL_NAME"])
def test_a_missing_variable_is_a_problem_whose_log_line_names_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.delenv(name)
    module = load("history")
    vars(module)["KeptConnection"] = Kept
    answer = module.handler(EVENT, Context())
    assert answer["statusCode"] == 500 and name not in answer["body"]
    assert name in caplog.text


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(None, "c6af9ac6"), ({"X-Request-Id": "ward-7"}, "ward-7"), ({"x-request-id": "a b\n"}, "c6af9ac6")],
    ids=["none", "sane", "strange"],
)
def test_answer_and_log_have_the_clients_request_id_if_it_is_valid_else_the_gateways(
    monkeypatch: pytest.MonkeyPatch, headers: Any, expected: str
) -> None:
    module = load("history")
    log = io.StringIO()
    monkeypatch.setattr(module.logger.registered_handler, "stream", log)
    answer = module.handler({**EVENT, "queryStringParameters": {"limit": "0"}, "headers": headers}, Context())
    assert answer["headers"]["x-request-id"] == json.loads(answer["body"])["request_id"] == expected
    line = json.loads(log.getvalue())
    assert (line["correlation_id"], line["route"], line["status"]) == (expected, "/model/history", 422)


def test_pages_of_an_allowed_origin_may_read_the_answer_whatever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ALLOW_ORIGINS", "https://ward.example")
    module = load("history")
    event = EVENT | {"queryStringParameters": {"limit": "none"}, "headers": {"Origin": "https://ward.example"}}
    answer = module.handler(event, Context())
    assert answer["statusCode"] == 422
    assert answer["headers"]["Access-Control-Allow-Origin"] == "https://ward.example"


def test_below_a_base_path_requests_are_counted_for_their_route(capsys: pytest.CaptureFixture[str]) -> None:
    module = load("history")
    event = EVENT | {"path": "/readmission/model/history", "resource": "/model/history"}
    module.handler(event | {"queryStringParameters": {"limit": "none"}}, Context())
    assert (
        counters_in(capsys.readouterr().out)[
            series("Requests", service="history", route="/model/history", status="422")
        ]
        == 1
    )
