"""The API's description of itself: the bodies that it reads by itself, and its problems, for the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from readmission.http.problem_document import MEDIA_TYPE
from readmission.serving.bodies import CSV, JSON
from readmission.serving.schemas import Batch, BatchPrediction, Encounter, Problem, RawEncounter

_REFERENCES: Final = "#/components/schemas/{model}"
_TEXT: Final = {"schema": {"type": "string"}}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCES.format(model=name)}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


ENCOUNTER: Final = _body({JSON: {"schema": {"anyOf": [_reference("Encounter"), _reference("RawEncounter")]}}})
BATCH: Final = _body({JSON: {"schema": _reference("Batch")}, CSV: _TEXT})
BATCH_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "An answer for each encounter.", "content": {CSV: _TEXT}}
}


def refusals(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """The problems that a path answers with, as `refusals(_413="…")`."""
    content = {MEDIA_TYPE: {"schema": _reference("Problem")}}
    return {int(name[1:]): {"description": text, "content": content} for name, text in descriptions.items()}


def describe(app: FastAPI) -> None:
    """Add the schemas of what `app` reads and answers by itself to its OpenAPI document."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            models = (Encounter, RawEncounter, Batch, BatchPrediction, Problem)
            _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCES)
            made()["components"]["schemas"] |= schemas["$defs"]
        return made()

    # FastAPI's documented way of extending its document; mypy knows no assigned methods.
    app.openapi = openapi  # type: ignore[method-assign]
