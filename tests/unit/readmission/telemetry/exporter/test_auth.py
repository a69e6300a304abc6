from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from readmission.errors import TokenUnavailable
from readmission.telemetry.exporter.auth import SecretToken, bears


class Secrets:
    """Secrets Manager with one secret. An exception in its place is raised."""

    def __init__(self, value: Any) -> None:
        self.value, self.reads = value, 0

    def get_secret_value(self, SecretId: str) -> dict[str, Any]:
        assert SecretId == "secret"
        self.reads += 1
        if isinstance(self.value, Exception):
            raise self.value
        return {"SecretString": self.value}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("header", ["Bearer token", "bearer token", "BEARER token", "Bearer  token "])
def test_the_token_is_accepted(header: str) -> None:
    assert bears(header, "token")


@pytest.mark.parametrize(
    "header", [None, "", "token", "Bearer", "Bearer ", "Bearer toke", "Bearer token2", "Basic token", "Bearer tökén"]
)
def test_any_other_header_is_refused(header: str | None) -> None:
    assert not bears(header, "token")


def test_the_secret_is_read_once() -> None:
    secrets = Secrets("token")
    token = SecretToken(secrets, "secret", Clock())
    assert all(token.accepts("Bearer token") for _ in range(3))
    assert secrets.reads == 1


def test_a_rotation_is_picked_up_but_wrong_tokens_do_not_read_the_secret_each_time() -> None:
    secrets, clock = Secrets("old"), Clock()
    token = SecretToken(secrets, "secret", clock)
    assert token.accepts("Bearer old")
    secrets.value = "new"
    assert not token.accepts("Bearer new") and not token.accepts("Bearer guess")
    assert secrets.reads == 1
    clock.now += 10
    assert token.accepts("Bearer new") and not token.accepts("Bearer old")
    assert secrets.reads == 2


@pytest.mark.parametrize(
    "value",
    [
        "",
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"),
        EndpointConnectionError(endpoint_url="http://127.0.0.1"),
    ],
    ids=["empty", "denied", "away"],
)
def test_without_a_secret_every_token_is_refused(value: Any) -> None:
    token = SecretToken(Secrets(value), "secret", Clock())
    for header in ("Bearer ", None, "Bearer token"):
        with pytest.raises(TokenUnavailable, match="secret"):
            token.accepts(header)
