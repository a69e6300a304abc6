"""Additions to the OpenAPI document: bodies that routes parse themselves, problems, and what others behind the gateway
answer: the functions *history*, *outcomes*, *jobs* and *metrics*, and the gateway itself."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from readmission.http import request_id
from readmission.http.bodies import CSV, JSON, MAX_ROWS
from readmission.http.problems import MEDIA_TYPE
from readmission.promotion.limit import DEFAULT, LARGEST
from readmission.serving.schemas import (
    Batch,
    BatchPrediction,
    Encounter,
    Job,
    JobOrder,
    Outcome,
    OutcomeReport,
    Problem,
    PromotionDecision,
    RawEncounter,
)

_REFERENCES: Final = "#/components/schemas/{model}"
_STRING: Final = {"type": "string"}
_TEXT: Final = {"schema": _STRING}
# As bytes, because generators of clients skip a text body that is not JSON, or encode it as JSON.
_FILE: Final = {"schema": {"type": "string", "format": "binary"}}
_METRICS_TOKEN: Final = "MetricsToken"
_ISSUERS_TOKEN: Final = "BearerToken"
# Every deployment has the same document, so it also describes what only those with an issuer accept.
_SCHEMES: Final = {
    _METRICS_TOKEN: {"type": "http", "scheme": "bearer"},
    _ISSUERS_TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the OpenID Connect issuer, if this deployment has one.",
    },
}


_FIGURES: Final = ("auc_early", "log_loss", "calibration_error_early", "top_decile_precision")
_FIGURE: Final = {
    "type": "object",
    "description": "A figure with its interval; null where it is undefined.",
    "properties": {name: {"type": ["number", "null"]} for name in ("value", "low", "high")},
    "required": ["value", "low", "high"],
}
_QUALITY: Final = {
    "type": ["object", "null"],
    "description": "Null for too few rows, or too few labels.",
    "properties": dict.fromkeys(_FIGURES, _FIGURE),
}
_ALERT: Final = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "examples": ["input_drift"]},
        "subject": {"type": "string", "examples": ["payer_code"]},
        "value": {"type": "number"},
        "limit": {"type": "number"},
        "what_to_do": _STRING,
    },
    "required": ["code", "subject", "value", "limit", "what_to_do"],
}
_GROUP: Final = {
    "type": "object",
    "properties": {
        "by": {"type": "string", "enum": ["race", "gender", "age"]},
        "value": _STRING,
        "rows": {"type": "integer"},
        "labels": {"type": "integer"},
        "realised": _QUALITY,
        "estimated": _QUALITY,
    },
}
_WINDOW: Final = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": ["delivery", "days"]},
        "name": _STRING,
        "site": {"type": ["string", "null"]},
        "version": {"type": "string", "description": "The version that the rows are judged by."},
        "from": _STRING,
        "to": _STRING,
        "newest": {"type": "boolean", "description": "Whether its alerts are about how things are now."},
        "only_test_rows": {"type": "boolean", "description": "Whether the version has learned from the other rows."},
        "forecasts": {"type": "integer"},
        "labels": {"type": "integer", "description": "Rows whose label counts as the truth."},
        "realised": _QUALITY,
        "estimated": _QUALITY,
        "drift": {"type": ["object", "null"], "description": "Of each input, and of the forecasts."},
        "why_no_drift": {"type": ["string", "null"]},
        "groups": {"type": "array", "items": _GROUP},
        "alerts": {"type": "array", "items": _ALERT},
    },
    "required": [
        "kind",
        "name",
        "version",
        "forecasts",
        "labels",
        "realised",
        "estimated",
        "drift",
        "groups",
        "alerts",
    ],
}
_MONITOR_DOCUMENT: Final = {
    "title": "MonitorDocument",
    "type": "object",
    "description": "How good the forecasts are on what has arrived since the training.",
    "properties": {
        "format": {"type": "string", "const": "readmission-monitor"},
        "format_version": {"type": "integer", "const": 1},
        "made_at": {"type": "string", "description": "ISO 8601, UTC."},
        "model_name": _STRING,
        "data_kind": {"type": "string", "enum": ["real", "synthetic"]},
        "version": {"type": ["string", "null"], "description": "The version in Production."},
        "started_by": _STRING,
        "limits": {"type": "object", "additionalProperties": {"type": "number"}},
        "windows": {"type": "array", "items": _WINDOW},
        "deliveries": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["format", "format_version", "made_at", "model_name", "data_kind", "limits", "windows", "deliveries"],
}


class PromotionHistory(BaseModel):
    """The newest decisions on which version is served, newest first."""

    decisions: Annotated[list[PromotionDecision], Field(max_length=LARGEST)]


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCES.format(model=name)}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


ENCOUNTER: Final = _body({JSON: {"schema": {"anyOf": [_reference("Encounter"), _reference("RawEncounter")]}}})
BATCH: Final = _body({JSON: {"schema": _reference("Batch")}, CSV: _FILE})
BATCH_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "An answer for each encounter.", "content": {CSV: _TEXT}}
}


def refusals(**descriptions: str) -> dict[int | str, dict[str, Any]]:
    """The problems that a path answers with, for example `refusals(_413="…")`."""
    content = {MEDIA_TYPE: {"schema": _reference("Problem")}}
    return {int(name[1:]): {"description": text, "content": content} for name, text in descriptions.items()}


def operation_id(route: APIRoute) -> str:
    """The name of a route's operation, from which generators make the names of functions."""
    return f"get_{route.name}" if route.methods == {"GET"} else route.name


def _with_headers(answers: dict[int | str, dict[str, Any]], **headers: str) -> dict[int | str, dict[str, Any]]:
    described = {name.replace("_", "-"): {"description": text, "schema": _STRING} for name, text in headers.items()}
    return {status: answer | {"headers": described} for status, answer in answers.items()}


# Any request may get these. Most are the gateway's, which the template describes under GatewayResponses.
_EVERYWHERE: Final = refusals(
    _400="The gateway cannot read the request.",
    _500="An unexpected error. Look up the request id in the log.",
    _502="The function failed.",
    _504="The function took too long.",
) | _with_headers(
    refusals(_429="The API key or the stage exceeds its rate, or the key its daily quota."),
    Retry_After="Seconds until the next try.",
)
_REQUEST_ID: Final = {
    "name": request_id.HEADER,
    "in": "header",
    "required": False,
    "description": "The id of the request: 1 to 64 letters, digits, dots, underscores or hyphens; others are ignored.",
    "schema": _STRING,
}
_WITHOUT_KEY: Final = refusals(
    _401="The deployment has an issuer, and the bearer token is missing or not valid.",
    _403="The API key is missing or wrong, or the bearer token lacks the scope.",
)


UNREADABLE: Final = refusals(
    _413="The body is too large.",
    _415="The media type, character set or compression of the body is not supported.",
    _422="The body is not valid JSON or CSV, or fails validation. `errors` names the fields, without their values.",
)
_AWAY: Final = refusals(_503="The database is unavailable.")


def describe(app: FastAPI, schemas: Mapping[str, Any]) -> None:
    """Complete the OpenAPI document of `app`, with more `schemas` by their names."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            models = (
                Encounter,
                RawEncounter,
                Batch,
                BatchPrediction,
                Outcome,
                OutcomeReport,
                JobOrder,
                Job,
                Problem,
                PromotionHistory,
            )
            _, made = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCES)
            document["components"]["schemas"] |= made["$defs"] | schemas
            document["components"]["securitySchemes"] |= _SCHEMES
            document["components"]["schemas"]["MonitorDocument"] = _MONITOR_DOCUMENT
            document["paths"] |= {
                "/model/history": {"get": _history()},
                "/outcomes": {"post": _outcomes()},
                "/monitor": {"get": _monitor()},
                "/jobs": {"post": _start_job()},
                "/jobs/{id}": {"get": _job()},
                "/metrics": {"get": _metrics()},
            }
            for item in document["paths"].values():
                for operation in item.values():
                    _add_what_all_have(operation)
        return generate()

    # FastAPI's documented way to extend its document; mypy does not accept assigning to a method.
    app.openapi = openapi  # type: ignore[method-assign]


def _add_what_all_have(operation: dict[str, Any]) -> None:
    needs_key = {_METRICS_TOKEN: []} not in operation["security"]
    common = {str(status): answer for status, answer in (_EVERYWHERE | (_WITHOUT_KEY if needs_key else {})).items()}
    operation["security"] = [*operation["security"], {_ISSUERS_TOKEN: []}]
    operation["parameters"] = [*operation.get("parameters", []), _REQUEST_ID]
    operation["responses"] = dict(sorted((common | operation["responses"]).items()))


def _metrics() -> dict[str, Any]:
    """The operation of the function *metrics*."""
    problems = _with_headers(
        refusals(_401="The bearer token is missing or wrong."), WWW_Authenticate="The scheme: Bearer."
    ) | refusals(_403="The token lacks the scope for the metrics.", _503="The bearer token cannot be checked now.")
    return {
        "summary": "Get Metrics",
        "description": "CloudWatch's metrics of the stack in the format of Prometheus.\n\n"
        "A Lambda function of its own answers this path, so it exists behind the gateway only.",
        "operationId": "get_metrics",
        "security": [{_METRICS_TOKEN: []}],
        "responses": {
            "200": {
                "description": "The metrics, in the format that the Accept header asks for.",
                "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT},
            },
            **{str(status): answer for status, answer in problems.items()},
        },
    }


def _history() -> dict[str, Any]:
    """The operation of the function *history*, which shares the gateway with this application but not its code."""
    limit = {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": DEFAULT}
    problems = refusals(_422="`limit` is out of range.", _503="The database is unavailable.")
    return {
        "summary": "Get Model History",
        "description": "The newest decisions on which version is served: promotions, refusals and rollbacks.\n\n"
        "A Lambda function of its own answers this path, so it exists behind the gateway only.",
        "operationId": "get_model_history",
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


def _outcomes() -> dict[str, Any]:
    """The operation of the function *outcomes*."""
    outcome = _reference("Outcome")
    many = {"type": "array", "items": outcome, "maxItems": MAX_ROWS}
    return {
        "summary": "Report Outcomes",
        "description": "Report what became of patients: one outcome, or up to 1,000 as a list or as CSV.\n\n"
        "Each outcome has its own answer, in the order of the request: an invalid one does not affect the others. Only"
        " a single invalid outcome, sent as an object, makes the answer a problem. A request may be sent again with the"
        " same x-request-id.\n\n"
        "A Lambda function of its own answers this path, so it exists behind the gateway only.",
        "operationId": "report_outcomes",
        "security": [{"APIKeyHeader": []}],
        **_body({JSON: {"schema": {"anyOf": [outcome, many]}}, CSV: _FILE}),
        "responses": {
            "200": {
                "description": "An answer for each outcome.",
                "content": {JSON: {"schema": _reference("OutcomeReport")}, CSV: _TEXT},
            },
            **{str(status): answer for status, answer in (UNREADABLE | _AWAY).items()},
        },
    }


def _monitor() -> dict[str, Any]:
    """The other operation of the function *history*."""
    problems = refusals(_404="The monitor has not run yet.", _503="The storage is unavailable.")
    return {
        "summary": "Get Monitor",
        "description": "What the monitor found when it last ran: quality, drift and alerts.\n\n"
        "A Lambda function of its own answers this path, so it exists behind the gateway only.",
        "operationId": "get_monitor",
        "security": [{"APIKeyHeader": []}],
        "responses": {
            "200": {
                "description": "The newest document.",
                "content": {JSON: {"schema": _reference("MonitorDocument")}},
            },
            **{str(status): answer for status, answer in problems.items()},
        },
    }


_JOBS_AWAY: Final = refusals(_503="Jobs cannot be started or followed now.")
_JOB: Final = {JSON: {"schema": _reference("Job")}}


def _start_job() -> dict[str, Any]:
    """The operation of the function *jobs* that starts a job."""
    problems = UNREADABLE | refusals(_409="Another job has this id.") | _JOBS_AWAY
    return {
        "summary": "Start Job",
        "description": "Start a job that scores all encounters of a file or a delivery.\n\n"
        "The same order with the same id is one job, so it may be sent again. A Lambda function of its own answers this"
        " path, so it exists behind the gateway only.",
        "operationId": "start_job",
        "security": [{"APIKeyHeader": []}],
        **_body({JSON: {"schema": _reference("JobOrder")}}),
        "responses": {
            "200": {"description": "The job of this id had been started before.", "content": _JOB},
            "202": {"description": "The job is started.", "content": _JOB},
            **{str(status): answer for status, answer in problems.items()},
        },
    }


def _job() -> dict[str, Any]:
    """The operation of the function *jobs* that follows a job."""
    problems = refusals(_404="There is no job of this id.") | _JOBS_AWAY
    return {
        "summary": "Get Job",
        "description": "What became of a job: its progress, and at the end where the results are.\n\n"
        "A Lambda function of its own answers this path, so it exists behind the gateway only.",
        "operationId": "get_job",
        "security": [{"APIKeyHeader": []}],
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": _STRING, "description": "The id of the job."}
        ],
        "responses": {
            "200": {"description": "The job.", "content": _JOB},
            **{str(status): answer for status, answer in problems.items()},
        },
    }
