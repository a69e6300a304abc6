"""The bootstrap function answers CloudFormation whatever happens, and passes rotations on."""

import json
from contextlib import nullcontext
from types import ModuleType
from typing import Any

import pytest
from readmission.errors import DatabaseUnavailable

from tests.unit.functions.lambdas import Context, load

REQUEST = {
    "RequestType": "Create",
    "ResponseURL": "https://answers.example/signed",
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "Databases",
}
ENVIRONMENT = {
    "ADMINISTRATOR_SECRET": "administrator",
    "DATABASE_HOST": "db.example",
    "LOGIN_SECRETS": "owner,pipeline,reader,mlflow",
    "MLFLOW_CLUSTER": "platform",
    "MLFLOW_SERVICE": "mlflow",
}


class CloudFormation:
    """Takes the place of `urlopen`, and keeps the answers."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []

    def urlopen(self, request: Any, timeout: float) -> Any:
        assert (request.full_url, request.method) == (REQUEST["ResponseURL"], "PUT")
        self.answers.append(json.loads(request.data))
        return nullcontext()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> CloudFormation:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    fake = CloudFormation()
    monkeypatch.setattr("urllib.request.urlopen", fake.urlopen)
    return fake


def _wired(failure: Exception | None = None) -> tuple[ModuleType, list[Any]]:
    module = load("bootstrap")
    calls: list[Any] = []

    def set_up(settings: Any) -> list[str]:
        calls.append(settings)
        if failure:
            raise failure
        return ["raw"]

    vars(module)["set_up"] = set_up
    vars(module)["rotate"] = lambda event, settings: calls.append(event)
    return module, calls


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_cloudformation_is_told_that_the_databases_are_set_up(cloud: CloudFormation, kind: str) -> None:
    module, calls = _wired()
    module.handler({**REQUEST, "RequestType": kind}, Context())
    assert calls[0].login_secrets == ("owner", "pipeline", "reader", "mlflow")
    assert calls[0].administrator.host == "db.example"
    (answer,) = cloud.answers
    assert answer == {
        "StackId": "stack",
        "RequestId": "request",
        "LogicalResourceId": "Databases",
        "Status": "SUCCESS",
        "PhysicalResourceId": "databases",
    }


def test_a_failure_is_told_too_so_that_the_deployment_does_not_wait_for_an_hour(cloud: CloudFormation) -> None:
    module, _ = _wired(DatabaseUnavailable("database 'postgres': timed out"))
    module.handler(REQUEST, Context())
    (answer,) = cloud.answers
    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "DatabaseUnavailable: database 'postgres': timed out"


def test_a_missing_setting_is_told_too(cloud: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOGIN_SECRETS")
    module, _ = _wired()
    module.handler(REQUEST, Context())
    assert "LOGIN_SECRETS is not set" in cloud.answers[0]["Reason"]


def test_a_deletion_deletes_nothing(cloud: CloudFormation) -> None:
    module, calls = _wired()
    module.handler({**REQUEST, "RequestType": "Delete"}, Context())
    assert calls == [] and cloud.answers[0]["Status"] == "SUCCESS"


def test_a_rotation_is_passed_on(cloud: CloudFormation) -> None:
    module, calls = _wired()
    event = {"Step": "setSecret", "SecretId": "owner", "ClientRequestToken": "token"}
    assert module.handler(event, Context()) == {}
    assert calls == [event] and cloud.answers == []


def test_an_operator_sets_everything_up_again(cloud: CloudFormation) -> None:
    module, _ = _wired()
    assert module.handler({}, Context()) == {"created": ["raw"]}
    assert cloud.answers == []
