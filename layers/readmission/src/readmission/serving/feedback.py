"""What somebody did about a forecast: `POST /feedback`, and the feedback of CDS Hooks on a card.

It goes the way of the prediction log, to the table `feedback`. After a 503, the sender has to send it again: the same
feedback twice is kept once.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from readmission.domain.predictions import FEEDBACK, FEEDBACK_OUTCOMES, FORMAT_VERSION, Feedback, FeedbackMessage
from readmission.http import bodies
from readmission.http.problems import FieldError, Refused
from readmission.serving import cards, openapi, openapi_ehr
from readmission.serving.answering import Answering
from readmission.serving.ehr import SERVICE
from readmission.serving.schemas import FeedbackReport

PATH: Final = "/feedback"
_OF_CARD: Final = f"{SERVICE}/feedback"
MOST: Final = 50
"""Entries of one request, so that its message fits into the queue."""
LONGEST: Final = 500
"""Characters of a reason."""
_FIELDS: Final = frozenset({"request_id", "position", "outcome", "outcome_at", "reason_code", "reason", "by"})
_CODE: Final = 80
_NAME: Final = 200


def router(answering: Answering) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    responses = openapi.UNREADABLE | openapi_ehr.FEEDBACK_OFF

    @routes.post(PATH, response_model=FeedbackReport, responses=responses, openapi_extra=openapi_ehr.FEEDBACK)
    async def feedback(request: Request) -> Response:
        """Say what was done about forecasts: accepted, overridden, or the patient contacted, and why."""
        return await _keep(answering, request, _of_list)

    @routes.post(_OF_CARD, response_model=FeedbackReport, responses=responses, openapi_extra=openapi_ehr.CDS_FEEDBACK)
    async def feedback_on_cards(request: Request) -> Response:
        """What became of cards, as CDS Hooks says it."""
        return await _keep(answering, request, _of_card)

    return routes


async def _keep(answering: Answering, request: Request, read: Callable[[Mapping[str, Any], str], Feedback]) -> Response:
    bodies.media_type(request, bodies.JSON)
    entries = _entries(bodies.json_of(await bodies.text_of(request)))
    kept: list[Feedback] = []
    errors: list[FieldError] = []
    for index, entry in enumerate(entries):
        try:
            kept.append(read(entry, f"feedback[{index}]"))
        except Refused as refused:
            errors += refused.errors
    if errors:
        raise Refused(422, "The feedback is invalid, and none of it was kept", errors)
    if answering.log is None:
        raise Refused(HTTPStatus.NOT_FOUND, "Feedback is kept only where the prediction log is on (PredictionLog)")
    await answering.log.keep(
        FeedbackMessage(
            format=FEEDBACK,
            format_version=FORMAT_VERSION,
            received_at=datetime.now(UTC).isoformat(timespec="microseconds"),
            route=request.scope["path"],
            feedback=kept,
        )
    )
    return Response(to_json({"kept": len(kept)}), media_type=bodies.JSON)


def _entries(document: Any) -> Sequence[Mapping[str, Any]]:
    found = document.get("feedback") if isinstance(document, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise _refused("feedback", "must be a list of at least one JSON object")
    if len(found) > MOST:
        raise _refused("feedback", f"has {len(found)} entries, more than {MOST}")
    return found


def _of_list(entry: Mapping[str, Any], where: str) -> Feedback:
    if unknown := sorted(set(entry) - _FIELDS):
        raise _refused(
            where, f"has unknown fields; known are {', '.join(sorted(_FIELDS))}, and not {unknown[0][:40]!r}"
        )
    position = entry.get("position", 0)
    if type(position) is not int or not 0 <= position < bodies.MAX_ROWS:
        raise _refused(f"{where}.position", f"must be a whole number from 0 to {bodies.MAX_ROWS - 1}")
    return Feedback(
        request_id=_text(entry, "request_id", where, 128),
        position=position,
        outcome=_one_of(entry, where, FEEDBACK_OUTCOMES),
        outcome_at=_time(entry, "outcome_at", where),
        reason_code=_optional(entry, "reason_code", where, _CODE),
        reason=_optional(entry, "reason", where, LONGEST),
        by=_optional(entry, "by", where, _NAME),
    )


def _of_card(entry: Mapping[str, Any], where: str) -> Feedback:
    card = _text(entry, "card", where, 36)
    try:
        suggestion = cards.suggestion_of(str(UUID(card)))
    except ValueError:
        raise _refused(f"{where}.card", "must be the uuid of a card") from None
    outcome = _one_of(entry, where, FEEDBACK_OUTCOMES[:2])
    accepted = entry.get("acceptedSuggestions")
    if outcome == "accepted" and accepted != [{"id": suggestion}]:
        raise _refused(f"{where}.acceptedSuggestions", "must name the suggestion of the card by its uuid")
    override = entry.get("overrideReason") or {}
    reason = override.get("reason") if isinstance(override, dict) else None
    if not isinstance(override, dict) or not isinstance(reason, dict | None):
        raise _refused(f"{where}.overrideReason", "must be a JSON object with reason or userComment")
    return Feedback(
        request_id=card,
        position=0,
        outcome=outcome,
        outcome_at=_time(entry, "outcomeTimestamp", where),
        reason_code=_optional(reason or {}, "code", f"{where}.overrideReason.reason", _CODE),
        reason=_optional(override, "userComment", f"{where}.overrideReason", LONGEST),
        by=None,
    )


def _text(entry: Mapping[str, Any], name: str, where: str, longest: int) -> str:
    found = _optional(entry, name, where, longest)
    if found is None:
        raise _refused(f"{where}.{name}", "is required")
    return found


def _optional(entry: Mapping[str, Any], name: str, where: str, longest: int) -> str | None:
    found = entry.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not found.strip() or len(found) > longest or not _is_storable(found):
        raise _refused(f"{where}.{name}", f"must be a text of 1 to {longest} characters")
    return found.strip()


def _is_storable(text: str) -> bool:
    """Whether Postgres takes it: neither a NUL, nor half a surrogate pair, which JSON can express."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _one_of(entry: Mapping[str, Any], where: str, outcomes: Sequence[str]) -> str:
    found = entry.get("outcome")
    if found not in outcomes:
        raise _refused(f"{where}.outcome", f"must be one of {', '.join(outcomes)}")
    return str(found)


def _time(entry: Mapping[str, Any], name: str, where: str) -> str:
    try:
        found = datetime.fromisoformat(_text(entry, name, where, 40))
        if found.tzinfo is not None:
            return found.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):  # the latter at the beginning and the end of the calendar
        pass
    raise _refused(f"{where}.{name}", "must be a time of ISO 8601 with its time zone, such as 2026-01-31T12:00:00Z")


def _refused(name: str, message: str) -> Refused:
    return Refused(422, "The feedback is invalid", [FieldError(name, message, "feedback")])
