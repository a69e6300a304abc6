"""The API's own description of itself."""

import re
from typing import Any

import pytest
from readmission.features import FEATURES, HISTORY, OPTIONAL

from tests.unit.readmission.serving.fakes import Api, serving


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


def test_the_docs_are_a_page_that_looks_for_the_document_beside_itself(api: Api) -> None:
    answer = api.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert re.findall(r"url: '([^']*)'", answer.text) == ["openapi.json"]


def test_requests_from_the_docs_go_to_where_the_docs_are(openapi: Any) -> None:
    assert openapi["servers"] == [{"url": "."}]


def test_the_documents_paths_are_the_apis(openapi: Any) -> None:
    assert {path: set(item) for path, item in openapi["paths"].items()} == {
        "/predict": {"post"},
        "/model": {"get"},
        "/health": {"get"},
        "/reload-model": {"post"},
    }


def test_every_path_asks_for_the_api_key(openapi: Any) -> None:
    (name, scheme), *others = openapi["components"]["securitySchemes"].items()
    assert others == []
    assert scheme == {"type": "apiKey", "in": "header", "name": "x-api-key"}
    for item in openapi["paths"].values():
        for operation in item.values():
            assert operation["security"] == [{name: []}]


def test_every_path_is_described(openapi: Any) -> None:
    for item in openapi["paths"].values():
        for operation in item.values():
            assert operation["description"]


@pytest.mark.parametrize("path", ["/predict", "/health", "/reload-model"])
def test_the_answer_without_a_model_is_described(openapi: Any, path: str) -> None:
    (operation,) = openapi["paths"][path].values()
    assert {"200", "503"} <= operation["responses"].keys()


def test_an_encounter_has_the_14_features_all_required_the_optional_fields_and_no_others(encounter: Any) -> None:
    assert encounter["required"] == list(FEATURES)
    assert list(encounter["properties"]) == [*FEATURES, *OPTIONAL, *HISTORY]
    assert encounter["additionalProperties"] is False


@pytest.mark.parametrize("name", [*OPTIONAL, *HISTORY])
def test_each_optional_field_is_described_with_an_example_and_may_be_null(encounter: Any, name: str) -> None:
    field = encounter["properties"][name]
    assert (
        field["description"].endswith("Unknown when left out.") and field["examples"] and field.get("default") is None
    )
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
    [("/predict", "post", "Prediction"), ("/health", "get", "Health"), ("/reload-model", "post", "Reload")],
)
def test_an_answer_has_the_fields_that_are_described(
    api: Api, openapi: Any, encounter: Any, path: str, method: str, schema: str
) -> None:
    document = openapi["components"]["schemas"][schema]
    # The explanation comes only when it is asked for.
    described = {name: document["properties"][name] for name in document["required"]}
    body = encounter["examples"][0] if path == "/predict" else None
    answer = api.request(method.upper(), path, json=body) if body else api.request(method.upper(), path)
    assert answer.json().keys() == described.keys()
    for name, field in described.items():
        assert field["examples"], name
