"""Secrets that are texts."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from readmission.errors import ConfigurationError, IdentityUnavailable
from readmission.storage import secrets


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Secrets Manager answers, or the error, by the name of the secret."""
    found: dict[str, Any] = {}

    class Client:
        def get_secret_value(self, SecretId: str) -> Any:
            answer = found[SecretId]
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(boto3, "client", lambda service, config: Client())
    return found


def read() -> str:
    return secrets.text("keys", "the API keys", IdentityUnavailable)


def test_a_text_is_returned_as_it_is(answers: dict[str, Any]) -> None:
    answers["keys"] = {"SecretString": "one\ntwo\n"}
    assert read() == "one\ntwo\n"


def test_a_binary_secret_is_refused(answers: dict[str, Any]) -> None:
    answers["keys"] = {"SecretBinary": b"one"}
    with pytest.raises(ConfigurationError, match="'keys' with the API keys must be a text"):
        read()


def test_a_secret_that_does_not_exist_is_named(answers: dict[str, Any]) -> None:
    answers["keys"] = ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
    with pytest.raises(ConfigurationError, match="'keys' with the API keys cannot be read: ResourceNotFoundException"):
        read()


def test_secrets_manager_that_does_not_answer_is_the_callers_error(answers: dict[str, Any]) -> None:
    answers["keys"] = EndpointConnectionError(endpoint_url="https://secretsmanager.example")
    with pytest.raises(IdentityUnavailable, match=r"cannot be read: .*secretsmanager\.example"):
        read()
