"""Endpoints behind API Gateway without a framework: ids, headers, problems and the log."""

import json
import logging
import re
from typing import Any

import pytest
from readmission.http import headers, proxy
from readmission.http.problems import UNEXPECTED, FieldError, Refused

LOGGER = logging.getLogger("proxy")


def _event(**changes: Any) -> dict[str, Any]:
    event = {"path": "/metrics", "httpMethod": "GET", "headers": None, "requestContext": {"requestId": "c6af9ac6"}}
    return event | changes


def _ok(request: proxy.Request) -> proxy.Response:
    return proxy.Response("text/plain", request.path)


def _raising(error: Exception) -> Any:
    def endpoint(request: proxy.Request) -> proxy.Response:
        raise error

    return endpoint


def test_an_answer_has_the_request_id_and_the_security_headers() -> None:
    answer = proxy.respond(_event(), _ok, LOGGER)
    assert (answer["statusCode"], answer["body"]) == (200, "/metrics")
    assert answer["headers"] == {
        **headers.SECURITY,
        "Content-Security-Policy": headers.DEFAULT_POLICY,
        "Content-Type": "text/plain",
        "x-request-id": "c6af9ac6",
    }


def test_head_is_answered_as_get_without_the_body() -> None:
    answer = proxy.respond(_event(httpMethod="HEAD"), _ok, LOGGER)
    assert (answer["statusCode"], answer["body"], answer["headers"]["Content-Type"]) == (200, "", "text/plain")


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-Id"])
def test_a_client_may_choose_the_request_id(name: str) -> None:
    ids: list[str] = []
    answer = proxy.respond(_event(headers={name: "ward-7"}), _ok, LOGGER, ids.append)
    assert answer["headers"]["x-request-id"] == "ward-7" and ids == ["ward-7"]


@pytest.mark.parametrize("context", [None, {}, {"requestId": "not an id"}])
def test_without_a_valid_id_a_request_gets_a_new_one(context: Any) -> None:
    answer = proxy.respond(_event(headers={"x-request-id": "a b"}, requestContext=context), _ok, LOGGER)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["headers"]["x-request-id"])


def test_a_refusal_is_a_problem_document_with_its_errors_and_headers() -> None:
    refused = Refused(422, "Invalid", [FieldError("limit", "is required", "required")], {"Retry-After": "1"})
    answer = proxy.respond(_event(), _raising(refused), LOGGER)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (422, "1")
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert json.loads(answer["body"]) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "Invalid",
        "instance": "/metrics",
        "request_id": "c6af9ac6",
        "errors": [{"field": "limit", "message": "is required", "code": "required"}],
    }


def test_an_unexpected_error_is_logged_and_its_cause_is_not_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    answer = proxy.respond(_event(), _raising(ZeroDivisionError("db.internal")), LOGGER)
    assert (answer["statusCode"], json.loads(answer["body"])["detail"]) == (500, UNEXPECTED)
    assert "db.internal" not in answer["body"] and "db.internal" in caplog.text


def test_the_cause_of_a_refusal_is_logged_if_it_is_the_servers_fault(caplog: pytest.LogCaptureFixture) -> None:
    def endpoint(request: proxy.Request) -> proxy.Response:
        raise Refused(503, "Try again later") from OSError("db.internal")

    answer = proxy.respond(_event(), endpoint, LOGGER)
    assert answer["statusCode"] == 503
    assert "db.internal" not in answer["body"] and "db.internal" in caplog.text
    caplog.clear()
    proxy.respond(_event(), _raising(Refused(401, "No token")), LOGGER)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("method", "path", "logged"),
    [("GET", "/metrics", ("GET", "/metrics")), ("87654321", "/patients/87654321", ("other", "other"))],
)
def test_a_request_is_logged_by_method_route_and_status(
    method: str, path: str, logged: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    proxy.respond(_event(httpMethod=method, path=path), _ok, LOGGER)
    (record,) = caplog.records
    line = vars(record)
    assert (record.getMessage(), line["method"], line["route"], line["status"]) == ("answered", *logged, 200)
    assert line["duration_ms"] >= 0
