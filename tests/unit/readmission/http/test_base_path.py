"""The path below a custom domain's base path."""

from typing import Any

import pytest
from readmission.http.base_path import strip


def _event(path: str, resource: str, **parameters: str) -> dict[str, Any]:
    return {"path": path, "resource": resource, "pathParameters": parameters or None}


@pytest.mark.parametrize("base", ["", "/readmission", "/forecast/v2"])
@pytest.mark.parametrize(
    ("path", "resource", "parameters"),
    [
        ("/predict", "/{proxy+}", {"proxy": "predict"}),
        ("/predict/batch", "/{proxy+}", {"proxy": "predict/batch"}),
        ("/model", "/model", {}),
        ("/model/history", "/model/history", {}),
        ("/metrics", "/metrics", {}),
        ("/docs/swagger-ui.css", "/docs/{file}", {"file": "swagger-ui.css"}),
        ("/nothing here", "/{proxy+}", {"proxy": "nothing here"}),
    ],
)
def test_the_base_path_is_removed(base: str, path: str, resource: str, parameters: dict[str, str]) -> None:
    assert strip(_event(base + path, resource, **parameters))["path"] == path


def test_a_path_that_repeats_the_base_path_is_kept() -> None:
    assert strip(_event("/model/model", "/{proxy+}", proxy="model"))["path"] == "/model"
    assert strip(_event("/health/health", "/{proxy+}", proxy="health/health"))["path"] == "/health/health"


def test_a_trailing_slash_is_kept() -> None:
    assert strip(_event("/base/predict/", "/{proxy+}", proxy="predict"))["path"] == "/predict/"
    assert strip(_event("/base/predict/", "/{proxy+}", proxy="predict/"))["path"] == "/predict/"


@pytest.mark.parametrize(
    "event",
    [
        {"path": "/health"},
        {"path": "/health", "resource": "/{proxy+}", "pathParameters": None},
        {"path": "/a%20b", "resource": "/{proxy+}", "pathParameters": {"proxy": "a b"}},
        {"path": "/", "resource": "/"},
        {},
    ],
)
def test_what_cannot_be_matched_stays_as_it_is(event: dict[str, Any]) -> None:
    assert strip(event) == event


def test_the_rest_of_the_event_stays() -> None:
    event = _event("/base/model", "/model") | {"httpMethod": "GET", "headers": {"Accept": "*/*"}}
    assert strip(event) == event | {"path": "/model"}
