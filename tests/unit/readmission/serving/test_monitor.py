"""`GET /monitor` answers the newest document as it is."""

import json
from typing import Any

import pytest
from readmission.errors import StorageUnavailable
from readmission.serving.monitor import respond
from readmission.telemetry.observability import logger

EVENT = {"httpMethod": "GET", "path": "/monitor", "headers": {}}


def answer(newest: Any, event: Any = EVENT, **options: Any) -> Any:
    return respond(event, newest, logger("history"), **options)


def test_the_document_is_answered_as_it_is() -> None:
    found = answer(lambda: '{"format": "readmission-monitor", "é": 1}'.encode())
    assert (found["statusCode"], found["headers"]["Content-Type"]) == (200, "application/json")
    assert json.loads(found["body"]) == {"format": "readmission-monitor", "é": 1}


def test_before_the_first_run_there_is_no_document_and_the_answer_says_how_to_get_one() -> None:
    found = answer(lambda: None)
    assert found["statusCode"] == 404 and "make monitor" in found["body"]


def test_a_storage_that_is_away_is_an_answer_that_may_be_tried_again() -> None:
    def away() -> bytes:
        raise StorageUnavailable("no answer")

    assert answer(away)["statusCode"] == 503


@pytest.mark.parametrize(("scopes", "status"), [("predict", 403), ("operate", 200), ("predict operate", 200)])
def test_with_an_issuer_the_scope_operate_is_needed(scopes: str, status: int) -> None:
    authorizer = {"kind": "token", "subject": "1", "name": "Ada", "scopes": scopes}
    event = EVENT | {"requestContext": {"authorizer": authorizer}}
    assert answer(lambda: b"{}", event, identified=True)["statusCode"] == status
