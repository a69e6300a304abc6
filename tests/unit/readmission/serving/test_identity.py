"""The API where there is an issuer: who is answered, and what the audit log records."""

import asyncio
import json
import logging
from typing import Any

import pytest
from readmission.errors import AuditUnavailable, IdentityUnavailable, TokenInvalid
from readmission.http.authentication import by_gateway, by_key, by_token
from readmission.identity.actor import Actor
from readmission.identity.api_keys import ApiKeys
from readmission.identity.audit import AuditLog
from readmission.serving import history
from readmission.serving.schemas import EXAMPLE, RAW_EXAMPLE

from tests.unit.readmission.documents import constant
from tests.unit.readmission.serving.fakes import Api
from tests.unit.templates import TEMPLATE

PREDICT = Actor("u-17", "Ana Ruiz", scopes=frozenset({"predict"}))
OPERATE = Actor("u-18", "Bo Lund", scopes=frozenset({"operate"}))
SERVICE = "/cds-services/readmission-at-discharge"
EHR = Actor.of_ehr("https://ehr.example", "https://ehr.example, tenant 7", [SERVICE])
HEADERS = {"Bearer viewer": PREDICT, "Bearer operator": OPERATE, "Bearer ehr": EHR}
KEY = b"the key of the patients' hashes, and long"


def actor_of(header: str | None) -> Actor:
    if header == "Bearer away":
        raise IdentityUnavailable("cannot read the keys of https://login.example: refused")
    try:
        return HEADERS[header or ""]
    except KeyError:
        raise TokenInvalid("the bearer token has expired") from None


@pytest.fixture
def written() -> list[Any]:
    return []


@pytest.fixture
def api(written: list[Any]) -> Api:
    log = AuditLog(KEY, lambda line: written.append(json.loads(line)))
    api = Api("https://ward.example", identify=by_token(actor_of), audit=log)
    api.registry.promote("1", constant(0.1, 0.2, 0.7))
    return api


def ask(api: Api, method: str, path: str, header: str | None = None, document: Any = None) -> Any:
    headers = {"Authorization": header} if header else {}
    return api.request(method, path, headers=headers, json=document)


@pytest.mark.parametrize("header", [None, "Bearer expired", "Basic dXNlcg=="])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("POST", "/predict/batch"), ("GET", "/model"), ("POST", "/reload-model"), ("GET", "/none")],
)
def test_a_request_without_a_valid_token_is_401(api: Api, method: str, path: str, header: str | None) -> None:
    answer = ask(api, method, path, header)
    assert (answer.status_code, answer.json()["detail"]) == (401, "The bearer token has expired")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers["Content-Type"] == "application/problem+json" and answer.json()["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "header", "scope"),
    [
        ("POST", "/predict", "Bearer operator", "predict"),
        ("GET", "/model", "Bearer operator", "predict"),
        ("POST", "/reload-model", "Bearer viewer", "operate"),
    ],
)
def test_a_token_without_the_scope_is_403(api: Api, method: str, path: str, header: str, scope: str) -> None:
    answer = ask(api, method, path, header, EXAMPLE)
    assert answer.status_code == 403 and repr(scope) in answer.json()["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'


def test_a_token_with_the_scope_is_answered(api: Api) -> None:
    assert ask(api, "POST", "/predict", "Bearer viewer", EXAMPLE).status_code == 200
    assert ask(api, "POST", "/reload-model", "Bearer operator").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("POST", "/predict/batch"), ("GET", "/model"), ("POST", "/reload-model"), ("GET", "/none")],
)
def test_the_token_of_an_ehr_opens_no_other_path(api: Api, method: str, path: str) -> None:
    answer = ask(api, method, path, "Bearer ehr", EXAMPLE)
    assert answer.status_code == 403 and "CDS Hooks alone" in answer.json()["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'


@pytest.mark.parametrize(("method", "path"), [("GET", "/cds-services"), ("POST", f"{SERVICE}/feedback")])
def test_the_token_of_an_ehr_for_another_endpoint_is_401(api: Api, method: str, path: str) -> None:
    answer = ask(api, method, path, "Bearer ehr", {})
    assert answer.status_code == 401 and "(aud)" in answer.json()["detail"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize("header", ["Bearer ehr", "Bearer viewer"])
def test_an_ehr_and_others_who_may_forecast_get_through_to_the_service(api: Api, header: str) -> None:
    assert ask(api, "POST", SERVICE, header, {}).status_code not in (401, 403, 503)
    assert ask(api, "POST", SERVICE, None, {}).status_code == 401
    assert ask(api, "POST", SERVICE, "Bearer operator", {}).status_code == 403


def test_while_the_issuer_is_away_the_answer_is_503_and_not_open(api: Api) -> None:
    answer = ask(api, "POST", "/predict", "Bearer away", EXAMPLE)
    assert answer.status_code == 503 and "identity provider" in answer.json()["detail"]
    assert "refused" not in answer.text


def test_of_two_authorization_headers_none_is_believed(api: Api) -> None:
    headers = [("Authorization", "Bearer viewer"), ("Authorization", "Bearer viewer")]
    assert api.request("POST", "/predict", headers=headers, json=EXAMPLE).status_code == 401


def test_documentation_and_probes_need_no_token(api: Api) -> None:
    assert [api.get(path).status_code for path in ("/docs", "/openapi.json", "/health")] == [200, 200, 200]


@pytest.mark.parametrize("path", ["/docsx", "//docs", "/Health", "/docs/../model", "/openapi.json/", "/health/"])
def test_a_path_that_looks_open_is_not(api: Api, path: str) -> None:
    answer = ask(api, "GET", path)
    assert answer.status_code in (401, 404) and "version" not in answer.text


def test_a_preflight_needs_no_token_and_allows_one(api: Api) -> None:
    asked = {
        "Origin": "https://ward.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = api.request("OPTIONS", "/predict", headers=asked)
    assert answer.status_code == 200 and "Authorization" in answer.headers["Access-Control-Allow-Headers"]


# ---------------------------------------------------------------- API keys, without a gateway
API_KEY = "0123456789-0123456789"


@pytest.fixture
def by_keys() -> Api:
    """Keys or tokens let in."""
    return with_keys(by_token(actor_of))


def with_keys(tokens: Any = None) -> Api:
    keys = ApiKeys(lambda: API_KEY, logging.getLogger("keys"), seconds=300, unknown=10)
    api = Api("https://ward.example", identify=by_key(keys, tokens))
    api.registry.promote("1", constant(0.1, 0.2, 0.7))
    return api


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"Authorization": "Bearer viewer"}])
def test_without_a_valid_key_the_answer_is_the_gateways(headers: dict[str, str]) -> None:
    answer = with_keys().request("GET", "/model", headers=headers)
    response = TEMPLATE["Resources"]["Api"]["Properties"]["GatewayResponses"]["INVALID_API_KEY"]
    gateway = json.loads(response["ResponseTemplates"]["application/json"])
    assert answer.status_code == response["StatusCode"] == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    known = {"instance": "/model", "request_id": answer.headers["x-request-id"]}
    assert answer.json() == gateway | known


def test_with_a_key_everything_but_the_metrics_is_answered() -> None:
    api, headers = with_keys(), {"x-api-key": API_KEY}
    assert api.request("POST", "/predict", headers=headers, json=EXAMPLE).status_code == 200
    assert api.request("POST", "/reload-model", headers=headers).status_code == 200
    assert api.request("GET", "/metrics", headers=headers).status_code == 403


def test_of_two_keys_none_is_believed() -> None:
    headers = [("x-api-key", API_KEY), ("x-api-key", API_KEY)]
    assert with_keys().request("GET", "/model", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": API_KEY}, 200),
        ({"x-api-key": "wrong"}, 403),
        ({"Authorization": "Bearer viewer"}, 200),
        ({"Authorization": "Bearer viewer", "x-api-key": "wrong"}, 200),
        ({"Authorization": "Bearer expired", "x-api-key": API_KEY}, 401),
    ],
)
def test_with_an_issuer_a_key_will_do_and_the_token_decides(by_keys: Api, headers: dict[str, str], status: int) -> None:
    assert by_keys.request("GET", "/model", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ([("Authorization", "Basic dXNlcg=="), ("x-api-key", API_KEY)], "/model", 200),
        ([("Authorization", "Bearer of somebody"), ("x-api-key", API_KEY)], "/model", 200),
        ([("Authorization", "Bearer of somebody"), ("x-api-key", "wrong")], "/model", 403),
        ([("Authorization", "Bearer of somebody")], "/model", 401),
        ([("Authorization", "Bearer ehr"), ("x-api-key", API_KEY)], "/model", 403),
        ([("Authorization", "Bearer ehr"), ("Authorization", "Basic dXNlcg=="), ("x-api-key", API_KEY)], "/model", 401),
        ([("Authorization", "Bearer ehr"), ("x-api-key", API_KEY)], "/cds-services", 401),
    ],
)
def test_with_ehrs_alone_a_key_does_what_it_did_without_them(headers: Any, path: str, status: int) -> None:
    keys = ApiKeys(lambda: API_KEY, logging.getLogger("keys"), seconds=300, unknown=10)
    api = Api(identify=by_key(keys, by_token(actor_of), lambda header: header == "Bearer ehr"))
    api.registry.promote("1", constant(0.1, 0.2, 0.7))
    assert api.request("GET", path, headers=headers).status_code == status


# ---------------------------------------------------------------- behind the gateway
def run(scope: Any) -> Actor:
    return asyncio.run(by_gateway(scope))


def through_the_gateway(authorizer: Any, path: str = "/reload-model") -> Any:
    """The scope of a request that Mangum passes on."""
    event = {"requestContext": {"authorizer": authorizer, "identity": {"apiKeyId": "key1"}}}
    return {"type": "http", "path": path, "aws.event": event}


@pytest.mark.parametrize(
    "authorizer", [None, {}, {"principalId": "u-17"}, {"kind": "token"}, {"kind": "ehr"}, {"kind": "other"}]
)
def test_a_gateway_that_checks_nothing_lets_nobody_in(authorizer: Any) -> None:
    with pytest.raises(TokenInvalid, match="gateway"):
        run(through_the_gateway(authorizer))


def test_what_the_authorizer_says_is_what_the_function_learns() -> None:
    assert run(through_the_gateway(PREDICT.as_context())) == PREDICT
    with_key = run(through_the_gateway(Actor.with_key().as_context()))
    assert (with_key.kind, with_key.subject, with_key.scopes) == ("api_key", "key1", {"predict", "outcomes", "operate"})


def test_the_ledger_is_shown_to_those_who_may_see_it() -> None:
    def ask(**context: Any) -> int:
        event = {"path": "/model/history", "httpMethod": "GET", "requestContext": context}
        answer = history.respond(event, lambda limit: [], logging.getLogger("history"), identified=True)
        return int(answer["statusCode"])

    assert (ask(), ask(authorizer=OPERATE.as_context()), ask(authorizer=PREDICT.as_context())) == (401, 403, 200)
    assert ask(authorizer=EHR.as_context()) == 403


# ---------------------------------------------------------------- audit log
def test_who_read_whose_forecast_is_recorded(api: Api, written: list[Any]) -> None:
    answer = ask(api, "POST", "/predict", "Bearer viewer", {**RAW_EXAMPLE, "patient_nbr": "8222157"})
    (entry,) = written
    assert entry["actor"] == {"subject": "u-17", "name": "Ana Ruiz", "kind": "token"}
    assert (entry["action"], entry["rows"], entry["model_version"]) == ("forecast", 1, "1")
    assert entry["patients"] == [AuditLog(KEY, print).hash_of(8222157)] and "8222157" not in json.dumps(entry)
    assert entry["request_id"] == answer.headers["x-request-id"]


def test_an_encounter_without_a_patient_is_recorded_as_such(api: Api, written: list[Any]) -> None:
    ask(api, "POST", "/predict", "Bearer viewer", EXAMPLE)
    assert [(entry["rows"], entry["patients"]) for entry in written] == [(1, [])]


def test_a_batch_is_one_entry_with_the_patients_whose_forecasts_were_read(api: Api, written: list[Any]) -> None:
    rows = [{**RAW_EXAMPLE, "patient_nbr": number} for number in ("1", "2", "2")]
    broken = {**RAW_EXAMPLE, "patient_nbr": "3", "age": "young"}
    answer = ask(api, "POST", "/predict/batch", "Bearer viewer", {"encounters": [*rows, broken, 5]})
    assert answer.json()["answered"] == 3
    (entry,) = written
    assert (entry["action"], entry["rows"], len(entry["patients"])) == ("batch of forecasts", 3, 2)


def test_what_was_not_answered_is_not_recorded(api: Api, written: list[Any]) -> None:
    assert ask(api, "POST", "/predict", "Bearer viewer", {}).status_code == 422
    assert ask(api, "POST", "/predict", "Bearer expired", EXAMPLE).status_code == 401
    assert ask(api, "POST", "/predict/batch", "Bearer viewer", {"encounters": [{}]}).status_code == 200
    assert written == []


def test_each_version_that_answers_a_batch_has_an_entry_with_its_patients(written: list[Any]) -> None:
    log = AuditLog(KEY, lambda line: written.append(json.loads(line)))
    api = Api(identify=by_token(actor_of), audit=log, challenger_seconds=0.05)
    api.registry.promote("1", constant(0.1, 0.2, 0.7))
    api.registry.challenge("2", constant(0.2, 0.2, 0.6), 0.5)
    api.model_cache.refresh()
    rows = [{**RAW_EXAMPLE, "patient_nbr": str(number)} for number in range(1, 40)]
    answer = ask(api, "POST", "/predict/batch", "Bearer viewer", {"encounters": rows}).json()
    patients: dict[str, list[str]] = {"1": [], "2": []}
    for row, forecast in zip(rows, answer["predictions"], strict=True):
        patients[forecast["prediction"].get("model_version", "1")].append(log.hash_of(row["patient_nbr"]))
    assert min(map(len, patients.values())) > 0
    assert {entry["model_version"]: entry["patients"] for entry in written} == {
        version: sorted(found) for version, found in patients.items()
    }
    assert sum(entry["rows"] for entry in written) == 39


def test_what_cannot_be_recorded_is_not_answered() -> None:
    def full(line: str) -> None:
        raise AuditUnavailable("the audit log cannot be written; try again later")

    api = Api(identify=by_token(actor_of), audit=AuditLog(KEY, full))
    api.registry.promote("1", constant(0.1, 0.2, 0.7))
    answer = ask(api, "POST", "/predict", "Bearer viewer", EXAMPLE)
    assert answer.status_code == 503 and "audit log" in answer.json()["detail"] and "readmitted" not in answer.json()
