"""An EHR at the gateway: it finds the service, gets a card, and what is done about the card is in the database."""

from typing import Any
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator

from tests import cds_hooks
from tests.chaos.system import wait_until
from tests.e2e.conftest import Application
from tests.fhir_stays import bundle, rows, stay_of

SERVICE = "/cds-services/readmission-at-discharge"
AT = "2026-01-31T12:00:00Z"
pytestmark = pytest.mark.usefixtures("trained")


def _card(application: Application, hook: dict[str, Any]) -> dict[str, Any]:
    answer = application.call(SERVICE, hook)
    assert answer.status == 200, answer.text
    Draft202012Validator(cds_hooks.RESPONSE).validate(answer.json)
    (card,) = answer.json["cards"]
    found: dict[str, Any] = card
    return found


def _feedback(application: Application, request_id: str) -> list[list[Any]]:
    return application.platform.query(
        "clean", f"SELECT outcome, reason_code, reason FROM feedback WHERE request_id = '{request_id}' ORDER BY 1"
    )


def test_the_service_is_found_with_a_key_and_not_without(application: Application) -> None:
    answer = application.call("/cds-services")
    Draft202012Validator(cds_hooks.DISCOVERY).validate(answer.json)
    assert [one["id"] for one in answer.json["services"]] == [SERVICE.rpartition("/")[2]]
    assert application.call("/cds-services", key=None).status == 403


def test_stays_get_cards_and_what_became_of_one_is_kept_once(application: Application) -> None:
    cards = [_card(application, stay_of(row).hook()) for row in rows(10, seed=9)]
    assert all(card["summary"].startswith("Readmission within 30 days: ") for card in cards)
    name = str(UUID(cards[0]["uuid"]))
    entry = {
        "card": name,
        "outcome": "overridden",
        "outcomeTimestamp": AT,
        "overrideReason": {"reason": {"code": "arranged", "system": "urn:readmission:override-reasons"}},
    }
    for _ in range(2):
        assert application.call(f"{SERVICE}/feedback", {"feedback": [entry]}).status == 200
    other = {"request_id": name, "outcome": "contacted", "outcome_at": AT, "reason": "called"}
    assert application.call("/feedback", {"feedback": [other]}).status == 200
    expected = [["contacted", None, "called"], ["overridden", "arranged", None]]
    assert wait_until(lambda: _feedback(application, name) == expected, 90)
    assert wait_until(lambda: application.count("clean", f"prediction WHERE request_id = '{name}'") == 1, 90)


def test_a_card_says_what_is_missing_and_without_any_prefetch_the_precondition_fails(application: Application) -> None:
    stay = stay_of(rows(1)[0])
    assert application.call(SERVICE, stay.hook(prefetch={})).status == 412
    card = _card(application, stay.hook(prefetch={"patient": stay.patient}))
    assert card["summary"].startswith("No readmission forecast") and "has no prefetch" in card["detail"]


def test_a_bundle_is_answered_by_a_risk_assessment(application: Application) -> None:
    stay = stay_of(rows(1)[0])
    none = "Condition,MedicationRequest,Observation,Procedure"
    path = f"/predict/fhir?encounter={stay.encounter['id']}&none={none}"
    answer = application.call(
        path, bundle(list(stay.resources()), "collection"), **{"Content-Type": "application/fhir+json"}
    )
    assert (answer.status, answer.json["resourceType"]) == (200, "RiskAssessment")
    assert sum(one["probabilityDecimal"] for one in answer.json["prediction"]) == pytest.approx(1)
