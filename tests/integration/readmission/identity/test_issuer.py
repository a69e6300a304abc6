"""The API as a process would run it, with tokens of a real OpenID Connect server."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from readmission.errors import IdentityUnavailable, TokenInvalid
from readmission.identity.tokens import Tokens
from readmission.serving import process as serving
from readmission.serving.schemas import RAW_EXAMPLE
from readmission.settings import IdentitySettings

from tests.oidc import Issuer, issuer
from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import FakeRegistry

AUDIENCE = "readmission-api"


@pytest.fixture(scope="module")
def oidc() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


@pytest.fixture
def environment(oidc: Issuer, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    registry = FakeRegistry()
    registry.promote("1", constant(0.1, 0.2, 0.7))
    monkeypatch.setattr(serving, "MlflowRegistry", lambda settings: registry)
    variables = {
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MODEL_NAME": "readmission",
        "OIDC_ISSUER": oidc.url,
        "OIDC_AUDIENCE": AUDIENCE,
        "AUDIT_KEY": "0123456789abcdef0123456789abcdef",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def ask(method: str, path: str, token: str | None = None, document: Any = None) -> httpx.Response:
    transport = httpx.ASGITransport(serving.application())
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.request(method, path, headers=headers, json=document)

    return asyncio.run(send())


@pytest.mark.usefixtures("environment")
def test_a_person_who_has_logged_in_is_answered_and_recorded(oidc: Issuer, capsys: pytest.CaptureFixture[str]) -> None:
    token = oidc.token("u-17", AUDIENCE, name="Ana Ruiz", scope="predict")
    capsys.readouterr()
    answer = ask("POST", "/predict", token, {**RAW_EXAMPLE, "patient_nbr": "8222157"})
    assert answer.status_code == 200
    (entry,) = [json.loads(line)["audit"] for line in capsys.readouterr().out.splitlines() if '"audit"' in line]
    assert entry["actor"] == {"subject": "u-17", "name": "Ana Ruiz", "kind": "token"}
    assert len(entry["patients"]) == 1 and "8222157" not in str(entry)
    assert ask("POST", "/reload-model", token).status_code == 403


@pytest.mark.usefixtures("environment")
def test_others_are_not(oidc: Issuer) -> None:
    assert ask("GET", "/model").status_code == 401
    assert ask("GET", "/model", oidc.token("u-17", "another-service", scope="predict")).status_code == 401
    with issuer() as foreign:
        assert ask("GET", "/model", foreign.token("u-17", AUDIENCE, scope="predict")).status_code == 401
    assert ask("GET", "/health").status_code == 200


def test_a_token_of_the_server_expires() -> None:
    with issuer(lifetime_seconds=-60) as oidc:
        token = oidc.token("u-17", AUDIENCE, scope="predict")
        tokens = Tokens(IdentitySettings(oidc.url, AUDIENCE))
        with pytest.raises(TokenInvalid, match="has expired"):
            tokens.actor(f"Bearer {token}")


def test_an_issuer_that_is_away_is_named() -> None:
    with issuer() as oidc:
        token = oidc.token("u-17", AUDIENCE, scope="predict")
    tokens = Tokens(IdentitySettings(oidc.url, AUDIENCE))
    with pytest.raises(IdentityUnavailable, match=oidc.url):
        tokens.actor(f"Bearer {token}")
