"""The OpenAPI document."""

import json
import logging
import re
from typing import Any

import pytest
from pydantic import TypeAdapter
from readmission.domain.contract import COLUMNS
from readmission.domain.features import FEATURES, OPTIONAL, PATIENT_HISTORY
from readmission.serving import history
from readmission.serving.openapi import PromotionHistory
from readmission.serving.schemas import IDENTITY, RAW_REQUIRED

from tests.unit.readmission.serving.fakes import Api, serving
from tests.unit.templates import RESOURCES


@pytest.fixture(scope="module")
def api() -> Api:
    return serving(0.1, 0.2, 0.7)


@pytest.fixture(scope="module")
def openapi(api: Api) -> Any:
    answer = api.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture(scope="module")
def encounter(openapi: Any) -> Any:
    return openapi["components"]["schemas"]["Encounter"]


@pytest.fixture(scope="module")
def raw(openapi: Any) -> Any:
    return openapi["components"]["schemas"]["RawEncounter"]


def test_the_docs_page_loads_the_document_from_its_own_folder(api: Api) -> None:
    answer = api.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert re.findall(r"url: '([^']*)'", answer.text) == ["openapi.json"]


def test_requests_from_the_docs_are_relative_to_the_docs(openapi: Any) -> None:
    assert openapi["servers"] == [{"url": "."}]


def test_every_path_of_the_api_is_documented(openapi: Any) -> None:
    assert {path: set(item) for path, item in openapi["paths"].items()} == {
        "/predict": {"post"},
        "/predict/batch": {"post"},
        "/predict/fhir": {"post"},
        "/cds-services": {"get"},
        "/cds-services/readmission-at-discharge": {"post"},
        "/cds-services/readmission-at-discharge/feedback": {"post"},
        "/feedback": {"post"},
        "/model": {"get"},
        "/model/history": {"get"},
        "/outcomes": {"post"},
        "/monitor": {"get"},
        "/jobs": {"post"},
        "/jobs/{id}": {"get"},
        "/metrics": {"get"},
        "/health": {"get"},
        "/reload-model": {"post"},
    }


def test_every_path_requires_the_api_key_and_the_metrics_their_token_or_a_token_of_the_issuer(openapi: Any) -> None:
    schemes = dict(openapi["components"]["securitySchemes"])
    bearer = schemes.pop("BearerToken")
    assert (bearer["type"], bearer["scheme"], bearer["bearerFormat"]) == ("http", "bearer", "JWT")
    assert schemes == {
        "APIKeyHeader": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "MetricsToken": {"type": "http", "scheme": "bearer"},
    }
    for path, item in openapi["paths"].items():
        for operation in item.values():
            own = "MetricsToken" if path == "/metrics" else "APIKeyHeader"
            assert operation["security"] == [{own: []}, {"BearerToken": []}]


def test_every_request_may_have_an_id(openapi: Any) -> None:
    for item in openapi["paths"].values():
        for operation in item.values():
            assert [one["name"] for one in operation["parameters"] if one["in"] == "header"] == ["x-request-id"]


def test_operations_have_names_that_read_as_functions(openapi: Any) -> None:
    assert [operation["operationId"] for item in openapi["paths"].values() for operation in item.values()] == [
        "predict",
        "predict_batch",
        "get_cds_services",
        "readmission_at_discharge",
        "predict_fhir",
        "feedback",
        "feedback_on_cards",
        "get_model",
        "get_health",
        "reload_model",
        "get_model_history",
        "report_outcomes",
        "get_monitor",
        "start_job",
        "get_job",
        "get_metrics",
    ]


def test_every_path_is_described(openapi: Any) -> None:
    for item in openapi["paths"].values():
        for operation in item.values():
            assert operation["description"]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/health", "/reload-model"])
def test_the_answer_without_a_model_is_described(openapi: Any, path: str) -> None:
    (operation,) = openapi["paths"][path].values()
    assert {"200", "503"} <= operation["responses"].keys()


def test_a_prediction_accepts_both_formats(openapi: Any) -> None:
    body = openapi["paths"]["/predict"]["post"]["requestBody"]
    forms = [form["$ref"].rpartition("/")[2] for form in body["content"]["application/json"]["schema"]["anyOf"]]
    assert body["required"] and forms == ["Encounter", "RawEncounter"]


def test_a_batch_accepts_and_answers_json_and_csv(openapi: Any) -> None:
    operation = openapi["paths"]["/predict/batch"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "text/csv"}
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "text/csv"}
    assert openapi["components"]["schemas"]["Batch"]["properties"]["encounters"]["maxItems"] == 1000


PROBLEMS = {
    "/predict": ("401", "403", "409", "413", "415", "422"),
    "/predict/batch": ("401", "403", "413", "415", "422"),
    "/predict/fhir": ("401", "403", "413", "415", "422"),
    "/cds-services/readmission-at-discharge": ("401", "403", "412", "413", "415", "422"),
    "/cds-services/readmission-at-discharge/feedback": ("401", "403", "404", "413", "415", "422"),
    "/feedback": ("401", "403", "404", "413", "415", "422"),
    "/model": ("401", "403", "404", "422"),
    "/model/history": ("401", "403", "422"),
    "/outcomes": ("401", "403", "413", "415", "422"),
    "/monitor": ("401", "403", "404"),
    "/jobs": ("401", "403", "409", "413", "415", "422"),
    "/jobs/{id}": ("401", "403", "404"),
    "/metrics": ("401", "403"),
}


def test_every_problem_is_described_as_a_problem_document(openapi: Any) -> None:
    for path, item in openapi["paths"].items():
        for operation in item.values():
            problems = {status: answer for status, answer in operation["responses"].items() if status[0] != "2"}
            assert problems.keys() == {"400", "429", "500", "502", "503", "504", *PROBLEMS.get(path, ("401", "403"))}
            for answer in problems.values():
                assert list(answer["content"]) == ["application/problem+json"]


def test_the_gateways_own_answers_are_described(openapi: Any) -> None:
    responses = RESOURCES["Api"]["Properties"]["GatewayResponses"].values()
    described = {status for item in openapi["paths"].values() for one in item.values() for status in one["responses"]}
    assert {str(one["StatusCode"]) for one in responses} <= described
    for item in openapi["paths"].values():
        for operation in item.values():
            assert set(operation["responses"]["429"]["headers"]) == {"Retry-After"}


def test_every_referenced_schema_exists(openapi: Any) -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(openapi)))
    assert names and names <= openapi["components"]["schemas"].keys()


def test_a_problem_has_the_fields_that_are_described(api: Api, openapi: Any) -> None:
    described = openapi["components"]["schemas"]["Problem"]["properties"]
    assert api.predict({}).json().keys() == described.keys()


def test_a_raw_encounter_has_the_columns_of_the_file_and_the_history(raw: Any) -> None:
    assert list(raw["properties"]) == [*COLUMNS, *PATIENT_HISTORY, "site", "diag_version"]
    assert raw["required"] == list(RAW_REQUIRED) and raw["additionalProperties"] is False


@pytest.mark.parametrize("name", [*COLUMNS, *PATIENT_HISTORY, "site", "diag_version"])
def test_each_raw_field_is_described_with_an_example(raw: Any, name: str) -> None:
    assert raw["properties"][name]["description"] and raw["properties"][name]["examples"]


@pytest.mark.parametrize("name", [name for name in RAW_REQUIRED if name in FEATURES])
def test_a_number_of_a_raw_encounter_is_described_with_its_range_and_as_text(raw: Any, name: str) -> None:
    number, text = raw["properties"][name]["anyOf"]
    assert (number["type"], number["minimum"], number["maximum"]) == (
        "integer",
        FEATURES[name].low,
        FEATURES[name].high,
    )
    assert text["type"] == "string" and text["pattern"]


def test_the_examples_of_a_raw_encounter_are_answered(api: Api, raw: Any) -> None:
    assert raw["examples"]
    for example in raw["examples"]:
        assert api.predict(example).status_code == 200


def test_an_encounter_has_the_14_features_all_required_optional_fields_whose_it_is_and_no_others(
    encounter: Any,
) -> None:
    assert encounter["required"] == list(FEATURES)
    assert list(encounter["properties"]) == [*FEATURES, *OPTIONAL, *PATIENT_HISTORY, *IDENTITY, "diag_version"]
    assert encounter["additionalProperties"] is False


@pytest.mark.parametrize("name", [*OPTIONAL, *PATIENT_HISTORY])
def test_each_optional_field_is_described_with_an_example_and_may_be_null(encounter: Any, name: str) -> None:
    field = encounter["properties"][name]
    assert field["description"].endswith("Unknown if left out.") and field["examples"] and field.get("default") is None
    assert {"type": "null"} in field["anyOf"]


@pytest.mark.parametrize("name", FEATURES)
def test_each_field_is_described_with_its_range(encounter: Any, name: str) -> None:
    field = encounter["properties"][name]
    assert field["type"] == "integer"
    assert (field["minimum"], field["maximum"]) == (FEATURES[name].low, FEATURES[name].high)
    assert field["description"]


@pytest.mark.parametrize("name", FEATURES)
def test_each_fields_example_is_in_its_range(encounter: Any, name: str) -> None:
    field = encounter["properties"][name]
    for example in field["examples"]:
        assert type(example) is int
        assert field["minimum"] <= example <= field["maximum"]


def test_the_examples_of_an_encounter_are_answered(api: Api, encounter: Any) -> None:
    assert encounter["examples"]
    for example in encounter["examples"]:
        assert api.predict(example).status_code == 200


@pytest.mark.parametrize(
    ("path", "method", "schema"),
    [
        ("/predict", "post", "Prediction"),
        ("/predict/batch", "post", "BatchPrediction"),
        ("/health", "get", "Health"),
        ("/reload-model", "post", "Reload"),
    ],
)
def test_an_answer_has_the_fields_that_are_described(
    api: Api, openapi: Any, encounter: Any, path: str, method: str, schema: str
) -> None:
    document = openapi["components"]["schemas"][schema]
    # Explanation and history are opt-in.
    opt_in = ("explanation", "history")
    described = {name: field for name, field in document["properties"].items() if name not in opt_in}
    body = {"/predict": encounter["examples"][0], "/predict/batch": {"encounters": []}}.get(path)
    answer = api.request(method.upper(), path, json=body) if body else api.request(method.upper(), path)
    assert answer.json().keys() == described.keys()
    for name, field in described.items():
        assert field["examples"], name


DECISION = {
    "id": 2,
    "decided_at": "2026-01-01T12:00:00.123456+00:00",
    "model_name": "readmission",
    "version": "2",
    "previous_version": "1",
    "decision": "promoted",
    "reason": "better",
    "metrics": {"candidate": {"log_loss": 0.9}},
    "data_kind": "real",
    "data_hash": "0" * 64,
    "code_version": "0.1.0",
    "execution": "run",
    "family": "gradient_boosting",
    "mlflow_run_id": "r2",
    "decided_by": None,
    "forced": False,
    "reason_code": "better",
}
FIRST_ROLLBACK = {**DECISION, "decision": "rolled back", "execution": None, "previous_version": None}


def _history(decisions: list[dict[str, Any]], **query: str) -> dict[str, Any]:
    event = {"path": "/model/history", "httpMethod": "GET", "queryStringParameters": query}
    return history.respond(event, lambda limit: decisions[:limit], logging.getLogger("history"))


def test_the_limit_of_the_history_is_that_of_the_function(openapi: Any) -> None:
    limit, _ = openapi["paths"]["/model/history"]["get"]["parameters"]
    schema = limit["schema"]
    assert (limit["name"], limit["in"], limit["required"]) == ("limit", "query", False)
    assert (schema["type"], schema["minimum"], schema["maximum"], schema["default"]) == ("integer", 1, 1000, 20)
    decisions = [DECISION] * 1200
    assert len(json.loads(_history(decisions)["body"])["decisions"]) == schema["default"]
    assert len(json.loads(_history(decisions, limit=str(schema["maximum"]))["body"])["decisions"]) == schema["maximum"]
    assert _history(decisions, limit=str(schema["maximum"] + 1))["statusCode"] == 422


def test_the_answer_of_the_history_function_is_the_documented_one(openapi: Any) -> None:
    answer = _history([DECISION, FIRST_ROLLBACK])
    content = openapi["paths"]["/model/history"]["get"]["responses"]["200"]["content"]
    assert content == {answer["headers"]["Content-Type"]: {"schema": {"$ref": "#/components/schemas/PromotionHistory"}}}
    TypeAdapter(PromotionHistory).validate_json(answer["body"], strict=True, extra="forbid")
    schema = openapi["components"]["schemas"]["PromotionDecision"]
    assert set(schema["required"]) == schema["properties"].keys() == DECISION.keys()
