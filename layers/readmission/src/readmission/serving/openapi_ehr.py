"""Bodies and answers of the routes for EHRs and for feedback, in the OpenAPI document."""

from collections.abc import Sequence
from typing import Any, Final

from readmission.domain.predictions import FEEDBACK_OUTCOMES
from readmission.http.bodies import JSON
from readmission.serving.openapi import refusals

FHIR_JSON: Final = "application/fhir+json"
_STRING: Final = {"type": "string"}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": properties}


def _body(*kinds: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    content = {"schema": schema} | ({} if example is None else {"example": example})
    return {"requestBody": {"required": True, "content": {kind: content for kind in kinds}}}


def _answer(*kinds: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    content = {kind: {"schema": schema} for kind in kinds}
    return {"responses": {"200": {"description": description, "content": content}}}


_SERVICE: Final = _object(
    ("hook", "id", "description"),
    hook=_STRING,
    id=_STRING,
    title=_STRING,
    description=_STRING,
    prefetch={"type": "object", "additionalProperties": _STRING},
)
_CARD: Final = _object(
    ("summary", "indicator", "source"),
    uuid=_STRING,
    summary={"type": "string", "maxLength": 139},
    indicator={"type": "string", "enum": ["info", "warning", "critical"]},
    detail={"type": "string", "description": "GitHub Flavored Markdown."},
    source=_object(("label",), label=_STRING, url=_STRING),
    suggestions={"type": "array", "items": _object(("label",), label=_STRING, uuid=_STRING)},
    selectionBehavior=_STRING,
    overrideReasons={"type": "array", "items": _object(("code",), code=_STRING, system=_STRING, display=_STRING)},
    links={"type": "array", "items": _object(("label", "url", "type"), label=_STRING, url=_STRING, type=_STRING)},
)
RESOURCE: Final = _object(("resourceType",), resourceType=_STRING) | {"title": "FhirResource"}
"""To be among the schemas of the document, because it stands under two media types."""
_RESOURCE: Final = {"$ref": "#/components/schemas/FhirResource"}
_CONTEXT: Final = {"userId": "Practitioner/123", "patientId": "1288992", "encounterId": "456"}
CDS_SERVICES: Final = _answer(
    JSON,
    schema=_object(("services",), services={"type": "array", "items": _SERVICE}),
    description="The services, as CDS Hooks 2.0 describes them.",
)
CDS_REQUEST: Final = _body(
    JSON,
    schema=_object(
        ("hook", "hookInstance", "context"),
        hook=_STRING,
        hookInstance={"type": "string", "format": "uuid"},
        context=_object(tuple(_CONTEXT), **dict.fromkeys(_CONTEXT, _STRING)),
        prefetch={
            "type": ["object", "null"],
            "description": "FHIR R4 resources by the keys that GET /cds-services names.",
        },
    ),
    example={
        "hook": "encounter-discharge",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": _CONTEXT,
        "prefetch": {"patient": {"resourceType": "Patient", "id": "1288992", "birthDate": "1950-03-01"}},
    },
) | _answer(JSON, schema=_object(("cards",), cards={"type": "array", "items": _CARD}), description="One card, always.")
FHIR_REQUEST: Final = _body(JSON, FHIR_JSON, schema=_RESOURCE) | _answer(
    JSON, FHIR_JSON, schema=_RESOURCE, description="A RiskAssessment of FHIR R4."
)
_OUTCOMES: Final = list(FEEDBACK_OUTCOMES)
FEEDBACK: Final = _body(
    JSON,
    schema=_object(
        ("feedback",),
        feedback={
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": _object(
                ("request_id", "outcome", "outcome_at"),
                request_id={"type": "string", "description": "Of the forecast."},
                position={"type": "integer", "minimum": 0, "description": "Of the encounter in a batch."},
                outcome={"type": "string", "enum": _OUTCOMES},
                outcome_at={"type": "string", "format": "date-time"},
                reason_code=_STRING,
                reason={"type": "string", "maxLength": 500},
                by={"type": "string", "description": "Who did it."},
            ),
        },
    ),
    example={
        "feedback": [
            {
                "request_id": "c6af9ac6-7b61",
                "outcome": "contacted",
                "outcome_at": "2026-01-31T12:00:00Z",
                "reason": "called, appointment on Monday",
            }
        ]
    },
)
CDS_FEEDBACK: Final = _body(
    JSON,
    schema=_object(
        ("feedback",),
        feedback={
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": _object(
                ("card", "outcome", "outcomeTimestamp"),
                card={"type": "string", "format": "uuid"},
                outcome={"type": "string", "enum": _OUTCOMES[:2]},
                outcomeTimestamp={"type": "string", "format": "date-time"},
                acceptedSuggestions={"type": "array", "items": _object(("id",), id=_STRING)},
                overrideReason=_object(
                    (), reason=_object(("code",), code=_STRING, system=_STRING, display=_STRING), userComment=_STRING
                ),
            ),
        },
    ),
)
PRECONDITION: Final = refusals(_412="The request has no prefetch, and nothing is fetched from the EHR.")
FEEDBACK_OFF: Final = refusals(
    _404="Feedback is kept only where the prediction log is on.", _503="The queue does not answer; send it again."
)
