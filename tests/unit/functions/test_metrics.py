"""The metrics function behind API Gateway."""

import json
import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from readmission.errors import ConfigurationError, TokenUnavailable
from readmission.telemetry.exporter.collector import registry

from tests.unit.functions.lambdas import Context, load
from tests.unit.readmission.telemetry.exporter.fakes import FakeClient, exporter

EVENT = {
    "path": "/metrics",
    "httpMethod": "GET",
    "headers": {"authorization": "Bearer token"},
    "requestContext": {"requestId": "c6af9ac6"},
}
ENVIRONMENT = {"STACK_NAME": "readmission", "METRICS_TOKEN_SECRET": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def function(accepts: Callable[[str | None], bool] = lambda header: header == "Bearer token") -> ModuleType:
    module = load("metrics")

    class Token:
        def accepts(self, header: str | None) -> bool:
            return accepts(header)

    vars(module).update(token=Token(), metric_registry=registry(exporter(FakeClient()).collector))
    return module


def test_a_client_with_the_token_gets_the_metrics() -> None:
    answer = function().handler(EVENT, Context())
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer["headers"]["Cache-Control"] == "no-store"
    names = {family.name for family in text_string_to_metric_families(answer["body"])}
    assert {"readmission_requests", "readmission_cloudwatch_up"} <= names


def test_the_accept_header_selects_the_format() -> None:
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"
    answer = function().handler(EVENT | {"headers": {"Authorization": "Bearer token", "Accept": accept}}, Context())
    assert answer["headers"]["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer["body"].endswith("# EOF\n")


@pytest.mark.parametrize("headers", [None, {}, {"Authorization": "Bearer wrong"}, {"x-api-key": "token"}])
def test_without_the_token_the_answer_is_401(headers: dict[str, str] | None) -> None:
    answer = function().handler(EVENT | {"headers": headers}, Context())
    problem = json.loads(answer["body"])
    assert (answer["statusCode"], answer["headers"]["WWW-Authenticate"]) == (401, "Bearer")
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert (problem["status"], problem["instance"], problem["request_id"]) == (401, "/metrics", "c6af9ac6")


@pytest.mark.parametrize(("error", "status"), [(TokenUnavailable("denied"), 503), (ValueError("denied"), 500)])
def test_a_failure_is_a_problem_whose_cause_is_only_in_the_log(
    caplog: pytest.LogCaptureFixture, error: Exception, status: int
) -> None:
    def accepts(header: str | None) -> bool:
        raise error

    answer = function(accepts).handler(EVENT, Context())
    assert answer["statusCode"] == status == json.loads(answer["body"])["status"]
    assert "denied" not in answer["body"] and "denied" in caplog.text


def test_the_token_is_not_logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    event: dict[str, Any] = EVENT | {"headers": {"Authorization": "Bearer a-secret-of-its-own"}}
    function(lambda header: True).handler(event, Context())
    assert "a-secret-of-its-own" not in caplog.text + "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["STACK_NAME", "METRICS_TOKEN_SECRET"])
def test_without_its_settings_it_does_not_start(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match=name):
        load("metrics")
