"""The functions where there is an issuer: the authorizer, and what the others make of its answer."""

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from readmission.errors import ConfigurationError
from readmission.identity.actor import Actor
from readmission.identity.issuers import Issuers
from readmission.identity.keys import Keys
from readmission.identity.tokens import Tokens
from readmission.registry import production
from readmission.serving.schemas import EXAMPLE
from readmission.settings import IdentitySettings

from tests.unit.functions.lambdas import Context, load
from tests.unit.readmission.documents import constant
from tests.unit.readmission.identity import ehr
from tests.unit.readmission.identity.issuer import AUDIENCE, URL, Issuer, token
from tests.unit.readmission.serving.fakes import FakeRegistry

ARN = "arn:aws:execute-api:us-east-1:000000000000:abc/v1/POST/predict"
ANA = Actor("u-17", "Ana Ruiz", scopes=frozenset({"predict"}))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    variables = {"OIDC_ISSUER": URL, "OIDC_AUDIENCE": AUDIENCE, "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """Mangum takes the thread's event loop."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def event(**headers: str) -> dict[str, Any]:
    return {"type": "REQUEST", "methodArn": ARN, "headers": headers, "requestContext": {"requestId": "c6af9ac6"}}


def test_the_authorizer_names_who_asks_and_logs_why_it_refuses_without_the_token(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("USAGE_KEY_ID", "k1")
    environment.setenv("OIDC_API_KEY", "on")
    app = load("authorize")
    stream = io.StringIO()
    environment.setattr(app.logger.registered_handler, "stream", stream)
    tokens = Tokens(IdentitySettings(URL, AUDIENCE), Keys(URL, Issuer("first").fetch))
    vars(app).update(issuers=Issuers(tokens, None), usage_key=lambda: "key")
    found = app.handler(event(Authorization=f"Bearer {token()}"), Context())
    assert (found["principalId"], found["usageIdentifierKey"]) == ("u-17", "key")
    expired = token(exp=1)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        app.handler(event(Authorization=f"Bearer {expired}"), Context())
    assert "has expired" in stream.getvalue() and expired[:20] not in stream.getvalue()


@pytest.mark.parametrize("name", ["OIDC_ISSUER", "OIDC_AUDIENCE", "USAGE_KEY_ID"])
def test_the_authorizer_does_not_start_without_its_settings(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv("USAGE_KEY_ID", "k1")
    environment.delenv(name)
    with pytest.raises(ConfigurationError):
        load("authorize")


def test_the_authorizer_names_the_ehr_and_the_endpoint_that_its_token_is_for(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("OIDC_ISSUER")
    environment.delenv("OIDC_AUDIENCE")
    environment.setenv("USAGE_KEY_ID", "k1")
    environment.setenv("EHR_ISSUERS", f"{ehr.ISSUER}={ehr.KEYS_URL}")
    environment.setenv("EHR_BASE_URL", ehr.BASE)
    app = load("authorize")
    stream = io.StringIO()
    environment.setattr(app.logger.registered_handler, "stream", stream)
    issuers = Issuers(None, ehr.verifier(ehr.KeyServer("first").fetch))
    vars(app).update(issuers=issuers, usage_key=lambda: "key")
    once = f"Bearer {ehr.token()}"
    found = app.handler(event(Authorization=once), Context())
    assert (found["context"]["kind"], found["context"]["endpoints"]) == ("ehr", ehr.SERVICE)
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        app.handler(event(Authorization=once), Context())
    assert "used before" in stream.getvalue() and once[7:27] not in stream.getvalue()


def request(authorizer: dict[str, str] | None) -> dict[str, Any]:
    return {
        "resource": "/{proxy+}",
        "path": "/predict",
        "httpMethod": "POST",
        "headers": {"Content-Type": "application/json"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"requestId": "c6af9ac6", "identity": {}, "authorizer": authorizer},
        "body": json.dumps(EXAMPLE),
        "isBase64Encoded": False,
    }


def test_predict_answers_those_whom_the_authorizer_knows_and_records_it(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = FakeRegistry()
    registry.promote("1", constant(0.1, 0.2, 0.7))
    environment.setattr(production, "MlflowRegistry", lambda settings: registry)
    environment.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    environment.setenv("MODEL_NAME", "readmission")
    environment.setenv("AUDIT_KEY", "0123456789abcdef0123456789abcdef")
    app = load("predict")
    statuses = [
        app.handler(request(who), Context())["statusCode"]
        for who in (None, Actor("u-18", "Bo Lund", scopes=frozenset({"operate"})).as_context(), ANA.as_context())
    ]
    assert statuses == [401, 403, 200]
    entries = [json.loads(line)["audit"] for line in capsys.readouterr().out.splitlines() if '"audit"' in line]
    assert [entry["actor"]["subject"] for entry in entries] == ["u-17"]


# ---------------------------------------------------------------- EHRs alone
@pytest.fixture
def ehrs_alone(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As the template configures the functions with EhrIssuers and without OidcIssuer."""
    environment.setenv("OIDC_ISSUER", "")
    environment.setenv("OIDC_AUDIENCE", "")
    environment.setenv("EHR_ISSUERS", f"{ehr.ISSUER}={ehr.KEYS_URL}")
    environment.setenv("AUDIT_KEY", "0123456789abcdef0123456789abcdef")
    environment.setenv("DATABASE_SECRET", "secret")
    environment.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    environment.setenv("MODEL_NAME", "readmission")
    return environment


EHR = Actor.of_ehr(ehr.ISSUER, ehr.ISSUER, [ehr.SERVICE])


def test_an_ehr_gets_no_forecasts_but_those_of_its_endpoint(
    ehrs_alone: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = FakeRegistry()
    registry.promote("1", constant(0.1, 0.2, 0.7))
    ehrs_alone.setattr(production, "MlflowRegistry", lambda settings: registry)
    app = load("predict")

    def status(path: str, who: Actor | None) -> int:
        asked = request(who.as_context() if who else None) | {"path": path}
        return int(app.handler(asked, Context())["statusCode"])

    assert [status("/predict", who) for who in (None, EHR, Actor.with_key())] == [401, 403, 200]
    assert [status("/cds-services/another", who) for who in (None, EHR)] == [401, 401]
    assert status(ehr.SERVICE, EHR) not in (401, 403, 503)
    entries = [json.loads(line)["audit"] for line in capsys.readouterr().out.splitlines() if '"audit"' in line]
    assert [entry["actor"]["kind"] for entry in entries if entry["actor"]["kind"] != "ehr"] == ["api_key"]


@pytest.mark.usefixtures("ehrs_alone")
@pytest.mark.parametrize(
    ("function", "path", "method"),
    [("history", "/model/history", "GET"), ("history", "/monitor", "GET"), ("outcomes", "/outcomes", "POST")],
)
@pytest.mark.parametrize(("who", "status"), [(None, 401), (EHR, 403)])
def test_the_other_functions_are_closed_to_an_ehr(
    function: str, path: str, method: str, who: Actor | None, status: int
) -> None:
    asked = request(who.as_context() if who else None) | {"path": path, "resource": path, "httpMethod": method}
    assert load(function).handler(asked, Context())["statusCode"] == status
