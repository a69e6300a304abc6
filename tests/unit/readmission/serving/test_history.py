import json
import logging
from typing import Any

import pytest
from readmission.errors import DatabaseUnavailable
from readmission.serving.history import respond

LOGGER = logging.getLogger("history")
LEDGER = [{"id": number, "reason": "größer"} for number in range(1200, 0, -1)]


def _event(query: dict[str, str] | None = None) -> dict[str, Any]:
    """The part of a REST API's event (payload 1.0) that is read."""
    return {"path": "/model/history", "queryStringParameters": query, "requestContext": {"requestId": "c6af9ac6"}}


def _decisions(limit: int) -> list[dict[str, Any]]:
    return LEDGER[:limit]


def _raising(error: Exception) -> Any:
    def decisions(limit: int) -> list[dict[str, Any]]:
        raise error

    return decisions


@pytest.mark.parametrize(
    ("query", "count"),
    [(None, 20), ({}, 20), ({"page": "2"}, 20), ({"limit": "1"}, 1), ({"limit": "1000"}, 1000), ({"limit": "007"}, 7)],
)
def test_the_newest_decisions_are_listed_up_to_the_limit(query: dict[str, str] | None, count: int) -> None:
    answer = respond(_event(query), _decisions, LOGGER)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "application/json")
    assert json.loads(answer["body"]) == {"decisions": LEDGER[:count]}


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "+5", "1.0", "ten", "", " 5", "5 ", "\u0665", "²", "9" * 5000])
def test_an_invalid_limit_is_a_problem(limit: str) -> None:
    answer = respond(_event({"limit": limit}), _decisions, LOGGER)
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (422, "application/problem+json")
    assert json.loads(answer["body"]) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "'limit' must be a whole number from 1 to 1000",
        "instance": "/model/history",
        "request_id": "c6af9ac6",
    }


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (DatabaseUnavailable("db.internal:5432 refused"), 503, "Service Unavailable"),
        (KeyError("db.internal"), 500, "Internal Server Error"),
    ],
    ids=["away", "a-bug"],
)
def test_an_unreadable_ledger_is_a_problem_whose_cause_is_only_in_the_log(
    error: Exception, status: int, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = respond(_event(), _raising(error), LOGGER)
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], problem["status"], problem["title"]) == (status, status, title)
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert "db.internal" not in answer["body"] and "db.internal" in caplog.text
