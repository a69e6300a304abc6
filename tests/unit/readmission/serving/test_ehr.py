"""The CDS Hooks service, and the forecast of a Bundle."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from fhir.resources.R4B import get_fhir_model_class
from fhir.resources.R4B.riskassessment import RiskAssessment
from jsonschema import Draft202012Validator
from readmission.serving.ehr import DISCOVERY, FHIR, SERVICE
from readmission.serving.prediction_log import Answered
from readmission.settings import EhrSettings

from tests import cds_hooks
from tests.documents import DOCS
from tests.fhir_stays import bundle, rows, stay_of
from tests.unit.readmission.documents import CONTEXT, constant
from tests.unit.readmission.serving.fakes import Api

ROWS = rows(100)


class Log:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, str, list[Answered]]] = []

    async def record(self, request_id: str, route: str, answered: list[Answered]) -> None:
        self.logged.append((request_id, route, answered))


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def api(log: Log) -> Api:
    made = Api(prediction_log=log)
    made.registry.promote("1", constant(0.25, 0.25, 0.5, context=CONTEXT))
    assert made.model_cache.refresh() is None
    return made


def valid(schema: Mapping[str, Any], document: Any) -> Any:
    Draft202012Validator(schema).validate(document)
    return document


def card_of(api: Api, hook: dict[str, Any]) -> dict[str, Any]:
    valid(cds_hooks.REQUEST, hook)
    answer = api.post(SERVICE, json.dumps(hook))
    assert answer.status_code == 200, answer.text
    (card,) = valid(cds_hooks.RESPONSE, answer.json())["cards"]
    found: dict[str, Any] = card
    return found


def test_the_services_are_discovered(api: Api) -> None:
    answer = api.get(DISCOVERY)
    (service,) = valid(cds_hooks.DISCOVERY, answer.json())["services"]
    assert (answer.status_code, service["hook"]) == (200, "encounter-discharge")
    assert f"{DISCOVERY}/{service['id']}" == SERVICE
    assert service["prefetch"]["conditions"] == "Condition?encounter={{context.encounterId}}"


@pytest.mark.parametrize("row", ROWS, ids=[row["encounter_id"] for row in ROWS])
def test_a_patient_gets_a_card(api: Api, row: dict[str, str]) -> None:
    card = card_of(api, stay_of(row).hook())
    # Nothing of the patient but the risk.
    assert card["summary"] == "Readmission within 30 days: 25%, low risk"


def test_a_card_has_the_risk_what_it_was_read_from_and_what_to_answer(api: Api, log: Log) -> None:
    api.app.state.ehr = EhrSettings(page_url="https://forecast.example/patient")
    card = card_of(api, stay_of(ROWS[0]).hook())
    assert card["summary"] == "Readmission within 30 days: 25%, low risk"
    assert card["indicator"] == "info"
    for words in (
        "**25.0%**",
        "Read from:",
        "synthetic data. Do not act",
        "Model readmission, version 1",
        "diabetes alone",
    ):
        assert words in card["detail"]
    assert card["links"] == [
        {"label": "Open the forecast", "url": "https://forecast.example/patient", "type": "absolute"}
    ]
    assert len(card["overrideReasons"]) == 4 and UUID(card["suggestions"][0]["uuid"])
    ((name, route, (answered,)),) = log.logged
    assert (name, route) == (card["uuid"], SERVICE)
    assert answered.probabilities["<30"] == 0.25


def test_the_example_of_the_documentation_is_valid_fhir_and_gets_a_card_with_a_risk(api: Api) -> None:
    hook = json.loads((DOCS / "examples" / "hook.json").read_text())
    for resource in hook["prefetch"].values():
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert hook["prefetch"].keys() == api.get(DISCOVERY).json()["services"][0]["prefetch"].keys()
    assert card_of(api, hook)["summary"] == "Readmission within 30 days: 25%, low risk"


def test_what_is_missing_is_named_on_a_card_without_a_risk(api: Api, log: Log) -> None:
    hook = stay_of(ROWS[0]).hook()
    hook["prefetch"]["laboratory"] = None
    card = card_of(api, hook)
    assert card["summary"].startswith("No readmission forecast") and "suggestions" not in card
    assert card["detail"].count("the prefetch 'laboratory' is null") == 3 and "HbA1c test" in card["detail"]
    assert log.logged == []


def test_a_patient_who_went_to_a_hospice_gets_a_card_without_a_risk(api: Api) -> None:
    made = stay_of(ROWS[0])
    made.encounter["hospitalization"] = {"dischargeDisposition": {"coding": [{"code": "exp"}]}}
    card = card_of(api, made.hook())
    assert "means that the patient died" in card["detail"]


def test_a_stay_whose_data_can_mean_two_things_gets_a_card_that_says_so(api: Api) -> None:
    made = stay_of(ROWS[0])
    made.patient["birthDate"] = "1950"
    assert "leaves two ages" in card_of(api, made.hook())["detail"]


def test_half_a_surrogate_pair_does_not_break_a_card(api: Api) -> None:
    made = stay_of(ROWS[0])
    made.medications[0]["medicationCodeableConcept"] = {"text": "drug \ud800"}
    assert "drug ?" in card_of(api, made.hook())["detail"].replace("\\", "")


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_stay_at_an_end_of_the_calendar_is_answered(api: Api, day: str) -> None:
    made = stay_of(ROWS[0])
    made.encounter["period"] = {"start": f"{day}T00:00:00+14:00", "end": f"{day}T23:00:00-12:00"}
    card_of(api, made.hook())


def test_text_of_an_ehr_is_not_markdown(api: Api) -> None:
    made = stay_of(ROWS[0])
    made.medications[0]["medicationCodeableConcept"] = {"text": "drug [x](https://bad.example) *y*"}
    assert "\\[x\\](https://bad.example" in card_of(api, made.hook())["detail"]


@pytest.mark.parametrize("key", ["patient", "encounter"])
@pytest.mark.parametrize(("value", "why"), [(None, "is null"), (..., "has no prefetch"), (bundle([]), "")])
def test_without_patient_or_stay_a_card_says_so(api: Api, log: Log, key: str, value: Any, why: str) -> None:
    hook = stay_of(ROWS[0]).hook()
    hook["prefetch"] = {name: one for name, one in (hook["prefetch"] | {key: value}).items() if one is not ...}
    card = card_of(api, hook)
    assert card["summary"].startswith("No readmission forecast") and why in card["detail"]
    assert log.logged == []


@pytest.mark.parametrize("prefetch", [..., None, {}], ids=["missing", "null", "empty"])
def test_without_any_prefetch_the_precondition_fails(api: Api, prefetch: Any) -> None:
    hook = stay_of(ROWS[0]).hook()
    del hook["prefetch"]
    answer = api.post(SERVICE, json.dumps(hook if prefetch is ... else hook | {"prefetch": prefetch}))
    assert answer.status_code == 412 and "no prefetch" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hook": "patient-view"}, "hook"),
        ({"hookInstance": "1"}, "hookInstance"),
        ({"context": {"userId": "Practitioner/1", "patientId": "1"}}, "context.encounterId"),
        ({"prefetch": []}, "prefetch"),
    ],
)
def test_a_request_that_is_not_of_the_hook_is_refused_by_field(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = api.post(SERVICE, json.dumps(stay_of(ROWS[0]).hook() | changes))
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize("kind", ["application/json", "application/fhir+json"])
def test_a_bundle_is_answered_by_a_risk_assessment(api: Api, log: Log, kind: str) -> None:
    made = stay_of(ROWS[0])
    made.encounters = [made.encounter]
    none = "Procedure,Observation,MedicationRequest,Condition"
    whole = json.dumps(bundle(list(made.resources()), "collection"))
    answer = api.post(f"{FHIR}?encounter={made.encounter['id']}&none={none}", whole, kind)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
    found = RiskAssessment.model_validate(answer.json())
    assert [float(one.probabilityDecimal) for one in found.prediction] == [0.25, 0.25, 0.5]
    assert found.prediction[0].qualitativeRisk.text == "low"
    assert found.subject.reference == f"Patient/{made.patient['id']}"
    assert any(note.text.startswith("age_numeric from Patient/") for note in found.note)
    assert log.logged[0][1] == FHIR


def test_of_a_bundle_with_several_stays_one_is_named(api: Api) -> None:
    made = stay_of(ROWS[0])
    other = {"resourceType": "Encounter", "id": "other", "status": "finished", "class": {"code": "IMP"}}
    whole = json.dumps(bundle([made.patient, made.encounter, other], "collection"))
    answer = api.post(FHIR, whole)
    (error,) = answer.json()["errors"]
    assert answer.status_code == 422 and made.encounter["id"] in error["message"] and "other" in error["message"]


def test_what_a_bundle_lacks_is_refused_by_field_without_a_value(api: Api) -> None:
    made = stay_of(ROWS[0])
    answer = api.post(FHIR, json.dumps(bundle([made.patient, made.encounter], "collection")))
    assert answer.status_code == 422
    errors = {one["field"]: one["code"] for one in answer.json()["errors"]}
    assert errors["num_procedures"] == "fhir_missing"
    assert ROWS[0]["patient_nbr"] not in json.dumps([one["message"] for one in answer.json()["errors"]])


@pytest.mark.parametrize(
    ("path", "content", "field"),
    [
        (FHIR, "[]", "resourceType"),
        (FHIR, '{"resourceType": "Patient"}', "resourceType"),
        (FHIR, '{"resourceType": "Bundle"}', "Patient"),
        (f"{FHIR}?none=Everything", '{"resourceType": "Bundle", "entry": []}', "Patient"),
    ],
)
def test_what_is_no_bundle_of_a_stay_is_refused(api: Api, path: str, content: str, field: str) -> None:
    answer = api.post(path, content)
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] in (field, "none")


def test_without_a_model_there_is_no_card() -> None:
    answer = Api().post(SERVICE, json.dumps(stay_of(ROWS[0]).hook()))
    assert answer.status_code == 503
