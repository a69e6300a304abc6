"""JSON schemas of CDS Hooks 2.0, made of the tables in its text: what is required, of which type, never null or empty.

The text: repository cds-hooks/docs, `docs/specification/current.md` at 0036280 and `docs/hooks/encounter-discharge.md`.
"""

from collections.abc import Sequence
from typing import Any, Final

_TEXT: Final = {"type": "string", "minLength": 1}
_UUID: Final = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_URL: Final = {"type": "string", "pattern": "^https?://"}


def _object(required: Sequence[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": items}


_CODING: Final = _object(("code", "system"), code=_TEXT, system=_TEXT, display=_TEXT)
# "REQUIRED for Override Reasons provided by the CDS Service."
_OVERRIDE_REASON: Final = _object(("code", "system", "display"), code=_TEXT, system=_TEXT, display=_TEXT)
_AUTHORIZATION: Final = _object(
    ("access_token", "token_type", "expires_in", "scope", "subject"),
    **{"access_token": _TEXT, "token_type": {"const": "Bearer"}, "expires_in": {"type": "integer"}},
    **{"scope": _TEXT, "subject": _TEXT, "patient": _TEXT},
)
_SUGGESTION: Final = _object(
    ("label",), label=_TEXT, uuid=_TEXT, isRecommended={"type": "boolean"}, actions=_list({"type": "object"})
)
_LINK: Final = _object(
    ("label", "url", "type"), label=_TEXT, url=_URL, type={"enum": ["absolute", "smart"]}, appContext=_TEXT
)
CARD: Final = {
    **_object(
        ("summary", "indicator", "source"),
        uuid=_TEXT,
        summary={"type": "string", "minLength": 1, "maxLength": 139},
        detail=_TEXT,
        indicator={"enum": ["info", "warning", "critical"]},
        source=_object(("label",), label=_TEXT, url=_URL, icon=_URL, topic=_CODING),
        suggestions=_list(_SUGGESTION),
        selectionBehavior={"enum": ["at-most-one", "any"]},
        overrideReasons=_list(_OVERRIDE_REASON),
        links=_list(_LINK),
    ),
    # "If suggestions are present, selectionBehavior MUST also be provided."
    "dependentRequired": {"suggestions": ["selectionBehavior"]},
}
DISCOVERY: Final = _object(
    ("services",),
    services={
        "type": "array",
        "items": _object(
            ("hook", "description", "id"),
            hook=_TEXT,
            title=_TEXT,
            description=_TEXT,
            id=_TEXT,
            prefetch={"type": "object", "minProperties": 1, "additionalProperties": _TEXT},
        ),
    },
)
REQUEST: Final = _object(
    ("hook", "hookInstance", "context"),
    hook={"const": "encounter-discharge"},
    hookInstance=_UUID,
    fhirServer=_URL,
    fhirAuthorization=_AUTHORIZATION,
    context=_object(("userId", "patientId", "encounterId"), userId=_TEXT, patientId=_TEXT, encounterId=_TEXT),
    prefetch={"type": "object"},
)
RESPONSE: Final = _object(("cards",), cards={"type": "array", "items": CARD})
FEEDBACK: Final = _object(
    ("feedback",),
    feedback=_list(
        {
            **_object(
                ("card", "outcome", "outcomeTimestamp"),
                card=_UUID,
                outcome={"enum": ["accepted", "overridden"]},
                outcomeTimestamp=_TEXT,
                acceptedSuggestions=_list(_object(("id",), id=_TEXT)),
                overrideReason=_object((), reason=_CODING, userComment=_TEXT),
            ),
            "if": {"properties": {"outcome": {"const": "accepted"}}},
            "then": {"required": ["acceptedSuggestions"]},
        }
    ),
)
