"""Additions to the OpenAPI document: bodies that routes parse themselves, problems, and `/model/history`."""

from typing import Annotated, Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from readmission.http.bodies import CSV, JSON
from readmission.http.problems import MEDIA_TYPE
from readmission.promotion.limit import DEFAULT, LARGEST
from readmission.serving.schemas import Batch, BatchPrediction, Encounter, Problem, PromotionDecision, RawEncounter

_REFERENCES: Final = "#/components/schemas/{model}"
_TEXT: Final = {"schema": {"type": "string"}}


class PromotionHistory(BaseModel):
    """The newest decisions on which version is served, newest first."""

    decisions: Annotated[list[PromotionDecision], Field(max_length=LARGEST)]


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
    """The problems that a path answers with, for example `refusals(_413="…")`."""
    content = {MEDIA_TYPE: {"schema": _reference("Problem")}}
    return {int(name[1:]): {"description": text, "content": content} for name, text in descriptions.items()}


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document of `app`."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            models = (Encounter, RawEncounter, Batch, BatchPrediction, Problem, PromotionHistory)
            _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCES)
            document["components"]["schemas"] |= schemas["$defs"]
            document["paths"]["/model/history"] = {"get": _history()}
        return generate()

    # FastAPI's documented way to extend its document; mypy does not accept assigning to a method.
    app.openapi = openapi  # type: ignore[method-assign]


def _history() -> dict[str, Any]:
    """The operation of the function *history*, which shares the gateway with this application but not its code."""
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": DEFAULT}
    problems = refusals(
        _422="`limit` is out of range.", _500="An unexpected error.", _503="The database is unavailable."
    )
    return {
        "summary": "Model History",
        "description": "The newest decisions on which version is served: promotions, refusals and rollbacks.\n\n"
        "A Lambda function of its own answers this path, so it exists behind the gateway only.",
        "operationId": "model_history_model_history_get",
        "security": [{"APIKeyHeader": []}],
        "parameters": [
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "schema": {**limit, "description": "How many decisions to list.", "title": "Limit"},
                "description": "How many decisions to list.",
            }
        ],
        "responses": {
            "200": {
                "description": "The decisions, newest first.",
                "content": {JSON: {"schema": _reference("PromotionHistory")}},
            },
            **{str(status): answer for status, answer in problems.items()},
        },
    }
