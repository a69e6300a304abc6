"""The API as a process would run it, with tokens of an EHR whose key set is on a real server."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from readmission.serving import process as serving

from tests.ehr import Ehr, ehr
from tests.oidc import Issuer, issuer
from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import FakeRegistry

BASE = "https://api.example/v1"
SERVICE = "/cds-services/readmission-at-discharge"
AUDIENCE = "readmission-api"
API_KEY = "0123456789-0123456789"
# The statuses for a caller who is not let in. What the endpoint makes of an empty request is not tested here.
REFUSED = (401, 403, 503)


@pytest.fixture
def hospital() -> Iterator[Ehr]:
    with ehr() as started:
        yield started


@pytest.fixture(scope="module")
def oidc() -> Iterator[Issuer]:
    with issuer() as started:
        yield started


@pytest.fixture
def environment(hospital: Ehr, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    registry = FakeRegistry()
    registry.promote("1", constant(0.1, 0.2, 0.7))
    monkeypatch.setattr(serving, "MlflowRegistry", lambda settings: registry)
    variables = {
        "MLFLOW_TRACKING_URI": "http://mlflow.example",
        "MODEL_NAME": "readmission",
        "EHR_ISSUERS": f"{hospital.url}={hospital.keys_url}",
        "EHR_BASE_URL": BASE,
        "AUDIT_KEY": "0123456789abcdef0123456789abcdef",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def ask(app: FastAPI, path: str, token: str | None = None, method: str = "POST", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent["Authorization"] = f"Bearer {token}"

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.example") as client:
            return await client.request(method, path, headers=sent, json={} if method == "POST" else None)

    return asyncio.run(send())


@pytest.mark.usefixtures("environment")
def test_an_ehr_reaches_the_endpoint_that_its_token_is_for_once(hospital: Ehr) -> None:
    app = serving.application()
    token = hospital.token(BASE + SERVICE, tenant="ward-7")
    assert ask(app, SERVICE, token).status_code not in REFUSED
    again = ask(app, SERVICE, token)
    assert again.status_code == 401 and "(jti)" in again.json()["detail"]
    assert again.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert again.headers["Content-Type"] == "application/problem+json"
    assert ask(app, "/cds-services", hospital.token([f"{BASE}/cds-services"]), "GET").status_code not in REFUSED
    assert ask(app, f"{SERVICE}/feedback", hospital.token(f"{BASE}{SERVICE}/feedback")).status_code not in REFUSED
    assert hospital.answers == 1


@pytest.mark.usefixtures("environment")
def test_it_reaches_nothing_else(hospital: Ehr) -> None:
    app = serving.application()
    elsewhere = ask(app, f"{SERVICE}/feedback", hospital.token(BASE + SERVICE))
    assert elsewhere.status_code == 401 and "(aud)" in elsewhere.json()["detail"]
    assert ask(app, "/predict", hospital.token(BASE + SERVICE)).status_code == 403
    assert ask(app, "/predict", hospital.token(f"{BASE}/predict")).status_code == 401
    assert ask(app, "/model", hospital.token([f"{BASE}/model", BASE + SERVICE]), "GET").status_code == 403


@pytest.mark.usefixtures("environment")
def test_others_do_not_reach_it(hospital: Ehr) -> None:
    app = serving.application()
    assert ask(app, SERVICE).status_code == 401
    with ehr() as foreign:
        unknown = ask(app, SERVICE, foreign.token(BASE + SERVICE))
        assert unknown.status_code == 401 and "not trusted" in unknown.json()["detail"]
        pretended = ask(app, SERVICE, foreign.token(BASE + SERVICE, iss=hospital.url))
        assert pretended.status_code == 401 and "(jku)" in pretended.json()["detail"]
        assert foreign.answers == 0


@pytest.mark.usefixtures("environment")
def test_a_key_of_the_same_name_that_the_ehr_does_not_have_signs_nothing(hospital: Ehr) -> None:
    app = serving.application()
    assert ask(app, SERVICE, hospital.token(BASE + SERVICE)).status_code not in REFUSED
    hospital.rotate("first")
    forged = ask(app, SERVICE, hospital.token(BASE + SERVICE))
    assert forged.status_code == 401 and "signature" in forged.json()["detail"]


@pytest.mark.usefixtures("environment")
def test_while_the_keys_cannot_be_fetched_nobody_is_let_in_and_the_answer_is_503(hospital: Ehr) -> None:
    hospital.status = 500
    answer = ask(serving.application(), SERVICE, hospital.token(BASE + SERVICE))
    assert answer.status_code == 503 and "cannot be read" in answer.json()["detail"]
    assert hospital.url not in answer.text


def test_where_people_have_tokens_theirs_reach_it_too(
    hospital: Ehr, oidc: Issuer, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("OIDC_ISSUER", oidc.url)
    environment.setenv("OIDC_AUDIENCE", AUDIENCE)
    app = serving.application()
    assert ask(app, SERVICE, oidc.token("u-17", AUDIENCE, scope="predict")).status_code not in REFUSED
    assert ask(app, SERVICE, oidc.token("u-17", AUDIENCE, scope="operate")).status_code == 403
    assert ask(app, "/model", oidc.token("u-17", AUDIENCE, scope="predict"), "GET").status_code == 200
    assert ask(app, SERVICE, hospital.token(BASE + SERVICE)).status_code not in REFUSED
    assert ask(app, "/model", hospital.token(BASE + SERVICE), "GET").status_code == 403


def test_an_api_key_goes_on_to_open_what_it_did(
    hospital: Ehr, environment: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "keys").write_text(API_KEY)
    environment.setenv("API_KEYS_FILE", str(tmp_path / "keys"))
    app = serving.application()
    assert ask(app, "/model", None, "GET", x_api_key=API_KEY).status_code == 200
    assert ask(app, "/model", "of.somebody.else", "GET", x_api_key=API_KEY).status_code == 200
    assert ask(app, SERVICE, x_api_key=API_KEY).status_code not in REFUSED
    assert ask(app, SERVICE, x_api_key="wrong").status_code == 403
    assert ask(app, SERVICE, hospital.token(BASE + SERVICE)).status_code not in REFUSED
    expired = hospital.token(BASE + SERVICE, iat=1, exp=2)
    assert ask(app, SERVICE, expired, x_api_key=API_KEY).status_code == 401
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert expired not in json.dumps(lines)
