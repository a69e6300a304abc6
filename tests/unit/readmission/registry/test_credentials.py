"""The login that MLflow's clients send: from a secret if one is named, read again once it is refused."""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError
from mlflow import MlflowClient
from readmission.errors import ConfigurationError, ModelUnavailable, TrackingUnavailable
from readmission.registry import credentials
from readmission.registry.credentials import Credentials, Login
from readmission.registry.mlflow_client import reachable
from readmission.registry.production import MlflowRegistry
from readmission.registry.rest import RestClient, UnexpectedAnswer
from readmission.settings import ModelSettings
from readmission.storage import secrets

from tests.unit.readmission.wire import Wire, http

SETTINGS = ModelSettings("http://mlflow.example:5000", "readmission", secret="mlflow-login")
WITHOUT = ModelSettings("http://mlflow.example:5000", "readmission")
RUN = http(200, json.dumps({"run": {"info": {}, "data": {}}}).encode())


class Vault:
    """Secrets Manager with one secret; `problem` is raised instead."""

    def __init__(self) -> None:
        self.document: Any = {"username": "pipeline", "password": "first"}
        self.problem: Exception | None = None
        self.reads = 0

    def get_secret_value(self, SecretId: str) -> dict[str, str]:
        assert SecretId == SETTINGS.secret
        self.reads += 1
        if self.problem:
            raise self.problem
        return {"SecretString": json.dumps(self.document)}


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    fake = Vault()
    monkeypatch.setattr(secrets, "boto3", SimpleNamespace(client=lambda _, config: fake))
    of = credentials.of
    of.cache_clear()
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    yield fake
    of.cache_clear()


def _header(password: str) -> str:
    return "Authorization: Basic " + b64encode(f"pipeline:{password}".encode()).decode()


def test_a_request_carries_the_login_of_the_secret_which_is_read_once(wire: Wire, vault: Vault) -> None:
    wire.answer = RUN
    client = RestClient(SETTINGS, 1)
    client.run("r1")
    client.run("r2")
    assert wire.sent.count(_header("first")) == 2
    assert vault.reads == 1


def test_without_a_secret_no_login_is_sent_and_secrets_manager_is_not_asked(wire: Wire, vault: Vault) -> None:
    wire.answer = RUN
    RestClient(WITHOUT, 1).run("r1")
    assert "Authorization" not in wire.sent
    assert vault.reads == 0


def test_after_a_rotation_the_refused_request_is_sent_again_with_the_new_login(
    wire: Wire, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(credentials, "of", lambda secret: Credentials(secret, clock=lambda: now[0]))
    wire.answer = RUN
    client = RestClient(SETTINGS, 1)
    client.run("r1")
    vault.document["password"], now[0] = "second", 60.0
    wire.answers = [http(401)]
    client.run("r1")
    assert _header("second") in wire.sent.rpartition("GET ")[2]
    assert vault.reads == 2


def test_a_wrong_password_is_named_and_does_not_read_the_secret_each_time(wire: Wire, vault: Vault) -> None:
    wire.answer = http(401)
    client = RestClient(SETTINGS, 1)
    for _ in range(3):
        with pytest.raises(UnexpectedAnswer, match=r"answered 401 .*: the login in its secret is wrong"):
            client.run("r1")
    assert vault.reads == 1
    assert len(wire.asked) == 3


def test_a_server_that_asks_for_a_login_is_named_when_there_is_none(wire: Wire) -> None:
    wire.answer = http(401)
    with pytest.raises(UnexpectedAnswer, match="needs a login, and no secret with one is named"):
        RestClient(WITHOUT, 1).run("r1")


def test_the_login_is_not_sent_on_to_where_the_server_redirects_to(wire: Wire, vault: Vault) -> None:
    there = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"
    wire.answers, wire.answer = [there], RUN
    RestClient(SETTINGS, 1).run("r1")
    _, elsewhere = wire.sent.split("Host: mlflow.example:5000")
    assert "Host: elsewhere.example" in elsewhere
    assert wire.sent.count("Authorization") == 1


def test_mlflows_own_client_sends_the_login_that_the_secret_has_now(wire: Wire, vault: Vault) -> None:
    wire.answer = http(200, b'{"experiment": {"experiment_id": "1"}}')
    for password in ("first", "second"):
        vault.document["password"] = password
        with reachable(SETTINGS):
            MlflowClient(SETTINGS.tracking_uri).get_experiment_by_name("readmission")
        assert _header(password) in wire.sent.rpartition("GET ")[2]


def test_without_a_secret_mlflows_own_variables_stay_as_they_are(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "a person")
    with reachable(WITHOUT):
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "a person"


@pytest.mark.parametrize("document", [{"username": "pipeline"}, ["pipeline", "first"]], ids=["field", "object"])
def test_a_secret_that_is_no_login_is_a_configuration_error(vault: Vault, document: Any) -> None:
    vault.document = document
    with pytest.raises(ConfigurationError, match="mlflow-login"), reachable(SETTINGS):
        raise AssertionError


def test_serving_says_why_it_has_no_login(vault: Vault) -> None:
    vault.document = {}
    with pytest.raises(ModelUnavailable, match="the secret 'mlflow-login' with the MLflow credentials lacks username"):
        MlflowRegistry(SETTINGS).production()


def test_a_secrets_manager_that_does_not_answer_is_a_transient_error(vault: Vault) -> None:
    vault.problem = ConnectTimeoutError(endpoint_url="https://secretsmanager.example")
    with pytest.raises(TrackingUnavailable, match="the secret 'mlflow-login' with the MLflow credentials"):
        RestClient(SETTINGS, 1).run("r1")


def test_a_login_does_not_show_its_password() -> None:
    assert "first" not in repr(Login("pipeline", "first"))
