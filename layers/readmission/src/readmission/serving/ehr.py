"""The routes for EHRs: a CDS Hooks 2.0 service at discharge, and a forecast of a FHIR R4 Bundle."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json

from readmission.domain.features import FEATURES
from readmission.ehr import reading
from readmission.ehr.found import Found
from readmission.ehr.reading import QUERIES, Identifiers, Stay
from readmission.ehr.resources import listed, text
from readmission.errors import ExplanationUnavailable
from readmission.http import bodies
from readmission.http.problems import FieldError, Refused
from readmission.serving import cards, openapi, openapi_ehr, risk_assessment
from readmission.serving.answering import Answering
from readmission.serving.encounters import encounter_of
from readmission.settings import EhrSettings

FHIR: Final = "/predict/fhir"
DISCOVERY: Final = "/cds-services"
ID: Final = "readmission-at-discharge"
SERVICE: Final = f"{DISCOVERY}/{ID}"
HOOK: Final = "encounter-discharge"
_CONTEXT: Final = ("userId", "patientId", "encounterId")
_KINDS: Final = frozenset(kind for kind, _ in QUERIES.values()) - {"Patient", "Encounter"}
_SERVICES: Final = {
    "services": [
        {
            "hook": HOOK,
            "id": ID,
            "title": "Readmission forecast",
            "description": "Forecasts at discharge whether a diabetic patient will be readmitted within 30 days.",
            "prefetch": {key: query for key, (_, query) in QUERIES.items()},
        }
    ]
}

type _Encounter = Annotated[
    str | None, Query(description="The id of the stay's Encounter, if the Bundle has several.", max_length=64)
]
type _None = Annotated[
    str,
    Query(
        alias="none",
        description=f"Kinds of resources of which the stay has none, separated by commas: {', '.join(sorted(_KINDS))}.",
        max_length=200,
    ),
]


def router(answering: Answering) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.get(DISCOVERY, openapi_extra=openapi_ehr.CDS_SERVICES)
    async def cds_services() -> Response:
        """The CDS Hooks services: one for the discharge from a stay."""
        return Response(to_json(_SERVICES), media_type=bodies.JSON)

    @routes.post(
        SERVICE, responses=openapi.UNREADABLE | openapi_ehr.PRECONDITION, openapi_extra=openapi_ehr.CDS_REQUEST
    )
    async def readmission_at_discharge(request: Request) -> Response:
        """A card with the forecast for the stay that is ending, or with what is missing for one.

        Nothing is fetched from the EHR's FHIR server: the forecast is made of what the request brings.
        """
        bodies.media_type(request, bodies.JSON)
        hook = _hook_of(bodies.json_of(await bodies.text_of(request)))
        prefetch, context = hook["prefetch"], hook["context"]
        if not prefetch:
            # As CDS Hooks demands. If a part is there, a card names the rest.
            detail = "The request has no prefetch, and nothing is fetched from the EHR; see GET /cds-services"
            raise Refused(HTTPStatus.PRECONDITION_FAILED, detail)
        stay = Stay.of_prefetch(prefetch, context["patientId"], context["encounterId"])
        card = await _card(answering, request, _read(answering, stay))
        return Response(to_json({"cards": [card]}), media_type=bodies.JSON)

    @routes.post(FHIR, responses=openapi.UNREADABLE, openapi_extra=openapi_ehr.FHIR_REQUEST)
    async def predict_fhir(request: Request, encounter: _Encounter = None, without: _None = "") -> Response:
        """Forecast the readmission of the stay in a FHIR R4 Bundle. The answer is a RiskAssessment.

        The Bundle has everything about the stay, and the patient's Encounters of the year before it.
        """
        kind = bodies.media_type(request, bodies.JSON, openapi_ehr.FHIR_JSON)
        bundle = bodies.json_of(await bodies.text_of(request))
        stay, patient, its_encounter = _stay_of(bundle, encounter, _kinds_of(without))
        found = _read(answering, stay)
        if errors := _errors(found):
            raise Refused(422, "The resources do not give what a forecast needs", errors)
        answer = await answering.answer(request, encounter_of(found.fields), found.fields)
        document = risk_assessment.document(answer, found, patient, its_encounter, datetime.now(UTC))
        return Response(to_json(document), media_type=kind)

    return routes


def _settings(answering: Answering) -> EhrSettings:
    found: EhrSettings = answering.app.state.ehr
    return found


def _read(answering: Answering, stay: Stay) -> Found:
    settings = _settings(answering)
    return reading.read(stay, datetime.now(UTC), Identifiers(settings.patient_system, settings.encounter_system))


async def _card(answering: Answering, request: Request, found: Found) -> dict[str, Any]:
    uuid, page = str(uuid4()), _settings(answering).page_url
    if errors := _errors(found):
        return cards.without_forecast(uuid, errors, page)
    try:
        encounter = encounter_of(found.fields)
    except Refused as refused:
        return cards.without_forecast(uuid, refused.errors, page)
    try:
        answer = await answering.answer(request, encounter, found.fields, explains=True, log_id=uuid)
    except ExplanationUnavailable:
        answer = await answering.answer(request, encounter, found.fields, log_id=uuid)
    return cards.with_forecast(uuid, answer, encounter.fields, found, page)


def _errors(found: Found) -> list[FieldError]:
    """Why there is no forecast: conflicts, and required fields that are not known. Empty if there can be one."""
    errors = [FieldError(name, why, "fhir_conflict") for name, why in found.conflicting.items()]
    named = {error.field for error in errors}
    for name in FEATURES:
        if name not in found.fields and name not in named:
            errors.append(FieldError(name, found.missing.get(name, "is not known"), "fhir_missing"))
    return errors


def _hook_of(document: Any) -> dict[str, Any]:
    """The request of a hook, with its prefetch. Raises `Refused` (422) with what is wrong."""
    if not isinstance(document, dict):
        raise Refused(422, "The request must be a JSON object", [_wrong("request", "must be a JSON object")])
    errors = []
    if document.get("hook") != HOOK:
        errors.append(_wrong("hook", f"must be {HOOK}"))
    if not _is_uuid(document.get("hookInstance")):
        errors.append(_wrong("hookInstance", "must be a UUID"))
    context, prefetch = document.get("context"), document.get("prefetch")
    for name in _CONTEXT:
        if not text(context, name):
            errors.append(_wrong(f"context.{name}", "is required"))
    if prefetch is not None and not isinstance(prefetch, dict):
        errors.append(_wrong("prefetch", "must be a JSON object"))
    if errors:
        raise Refused(422, f"The request is not one of the hook {HOOK}", errors)
    return {**document, "prefetch": prefetch or {}}


def _stay_of(bundle: Any, encounter: str | None, none: frozenset[str]) -> tuple[Stay, str, str]:
    """The stay of the Bundle, and the ids of its patient and Encounter. Raises `Refused` (422)."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise Refused(422, "The body must be a FHIR Bundle", [_wrong("resourceType", "must be Bundle")])
    resources = [one.get("resource") for one in listed(bundle, "entry")]
    patients = _ids(resources, "Patient")
    stays = [encounter] if encounter else _ids(resources, "Encounter")
    for name, found in (("Patient", patients), ("Encounter", stays)):
        if len(found) != 1:
            which = f"has {', '.join(found[:5])}" if found else "has none"
            hint = "; say which by the parameter 'encounter'" if name == "Encounter" and found else ""
            raise Refused(422, "The Bundle must be about one stay", [_wrong(name, f"{which}: one is needed{hint}")])
    return Stay.of_bundle(bundle, patients[0], stays[0], none), patients[0], stays[0]


def _ids(resources: list[Any], kind: str) -> list[str]:
    found = (text(one, "id") for one in resources if text(one, "resourceType") == kind)
    return list(dict.fromkeys(one for one in found if one))


def _kinds_of(none: str) -> frozenset[str]:
    kinds = frozenset(filter(None, (one.strip() for one in none.split(","))))
    if unknown := sorted(kinds - _KINDS):
        message = f"is unknown: {', '.join(map(repr, unknown))[:100]}; known are {', '.join(sorted(_KINDS))}"
        raise Refused(422, "A query parameter is invalid", [FieldError("none", message, "invalid_parameter")])
    return kinds


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and UUID(value) is not None
    except ValueError:
        return False


def _wrong(name: str, message: str) -> FieldError:
    return FieldError(name, message, "fhir_request")
