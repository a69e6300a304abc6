"""The pages in a session without a browser, with fakes for the gateway, MLflow and AWS."""

import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import streamlit as st
from botocore.exceptions import EndpointConnectionError
from PIL import Image
from readmission.domain.contract import NAMES
from readmission.errors import DatabaseUnavailable, InvalidRequest, RollbackRefused, TrackingUnavailable
from readmission.pipeline import data_report, synthetic
from readmission.pipeline.profile import compare, profile_of
from readmission.registry import credentials
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.unit.readmission.reporting.documents import document
from tests.unit.ui import monitored
from tests.unit.ui.fakes import (
    EXECUTION,
    CloudFormation,
    CloudWatch,
    Gateway,
    Lambda,
    Mlflow,
    StepFunctions,
    decision,
    entered,
    event,
    serving,
    succeeded,
)
from ui.services import aws
from ui.texts import Texts
from ui.views import monitoring, roll_back

LANGUAGES = ("en", "es")


class Fakes(dict[str, Any]):
    """AWS clients by service name; an error in place of a client is raised."""

    def client(self, service: str) -> Any:
        found = self[service]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(scope="module", autouse=True)
def components() -> Iterator[None]:
    """Streamlit looks for components in the metadata of all installed packages whenever a session starts.

    They stay the same, and reading them takes longer than the page.
    """
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    gateway = Gateway()
    with serving(gateway.answer) as url:
        for name in ("STACK_NAME", "PROMETHEUS_URL", "API_CA", "MLFLOW_TRACKING_URI"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("API_URL", url)
        monkeypatch.setenv("API_KEY", "key")
        yield gateway
        st.cache_resource.clear()
        st.cache_data.clear()


@pytest.fixture
def mlflow(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mlflow]:
    content = json.dumps(document()).encode()
    mlflow = Mlflow(
        {"run1": {"evaluation.json": content}, "run2": {"evaluation.json": content, "plots/roc.png": pixel()}}
    )
    with serving(mlflow.answer) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        yield mlflow


def pixel() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    return picture.getvalue()


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fakes = Fakes(
        cloudformation=CloudFormation(),
        stepfunctions=StepFunctions(),
        cloudwatch=CloudWatch({}),
    )
    fakes["lambda"] = Lambda({"version": "1", "previous_version": "2", "reason": "because"})
    monkeypatch.setattr(aws, "client", fakes.client)
    return fakes


def page_of(name: str, language: str = "en", **state: Any) -> AppTest:
    def script(name: str) -> None:
        import importlib

        importlib.import_module(f"ui.views.{name}").show()

    app = AppTest.from_function(script, kwargs={"name": name}, default_timeout=30)
    app.session_state["lang"] = language
    for key, value in state.items():
        app.session_state[key] = value
    return app.run()


def said(app: AppTest) -> str:
    return " ".join(
        str(element.value)
        for kind in ("title", "header", "markdown", "caption", "error", "warning", "info", "success")
        for element in app.get(kind)
    )


def risk(app: AppTest) -> str:
    """The risk card's HTML."""
    (card,) = [one.proto.body for one in app.get("html") if "risk-figure" in one.proto.body]
    return card


def button(app: AppTest, label: str) -> Any:
    return next(one for one in app.button if one.label == label)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["patient", "patients", "worklist", "model", "over_time", "pipeline", "monitoring"])
@pytest.mark.usefixtures("gateway", "fakes")
def test_every_page_opens_in_both_languages(name: str, language: str) -> None:
    app = page_of(name, language)
    assert not app.exception and not app.error
    assert len(app.title) == 1


@pytest.mark.usefixtures("gateway", "fakes")
def test_the_address_chooses_the_language_and_the_switch_changes_it() -> None:
    app = AppTest.from_file("../../../../ui/app.py", default_timeout=30)
    app.query_params["lang"] = "es"
    app.run()
    assert app.title[0].value == "Un paciente"
    app.segmented_control(key="lang").set_value("en").run()
    assert app.title[0].value == "One patient" and not app.exception


# ---------------------------------------------------------------- one patient
@pytest.mark.usefixtures("fakes")
def test_an_example_is_forecast_at_once(gateway: Gateway) -> None:
    app = page_of("patient")
    assert gateway.predicted == []
    app.button(key="example_frequent_stays").click().run()
    assert "30.0%" in risk(app) and "High" in risk(app) and "84 in 100" in risk(app)
    assert gateway.predicted[-1]["number_inpatient"] == 4
    assert "version 2" in said(app) and not app.warning


@pytest.mark.usefixtures("fakes")
def test_the_request_holds_the_forms_values(gateway: Gateway) -> None:
    app = page_of("patient")
    app.number_input(key="patient_number_inpatient").set_value(2)
    app.selectbox(key="patient_insulin").set_value("Up")
    app.selectbox(key="patient_diag_1").set_value("250.83")
    button(app, "Forecast").click().run()
    asked = gateway.predicted[-1]
    assert (asked["number_inpatient"], asked["insulin"], asked["num_doses_up"]) == (2, "Up", 1)
    assert asked["diag_1"] == "250.83" and "20.0%" in risk(app)


@pytest.mark.usefixtures("fakes")
def test_what_if_changes_the_forecast_and_shows_the_change(gateway: Gateway) -> None:
    app = page_of("patient")
    app.button(key="example_frequent_stays").click().run()
    slider = next(one for one in app.slider if one.label == "Inpatient stays")
    slider.set_value(0).run()
    assert "10.0%" in risk(app) and "Entered: 30.0%" in risk(app) and "20.0 points" in risk(app)
    assert app.number_input(key="patient_number_inpatient").value == 4


@pytest.mark.usefixtures("fakes")
def test_the_explanation_uses_the_forms_words(gateway: Gateway) -> None:
    app = page_of("patient")
    app.button(key="example_frequent_stays").click().run()
    table = app.dataframe[0].value
    assert table.values.tolist() == [
        ["Inpatient stays", "4", "raises", 0.4],
        ["Primary diagnosis", "428 · Heart failure", "lowers", -0.1],
    ]


@pytest.mark.usefixtures("fakes")
def test_a_model_that_cannot_be_explained_still_forecasts(gateway: Gateway) -> None:
    gateway.explains = False
    app = page_of("patient")
    app.button(key="example_planned_surgery").click().run()
    assert "10.0%" in risk(app) and "does not support explanations" in said(app)


@pytest.mark.usefixtures("fakes")
def test_a_model_from_synthetic_data_is_labelled(gateway: Gateway) -> None:
    gateway.model = {**gateway.model, "data_kind": "synthetic"}
    app = page_of("patient")
    app.button(key="example_planned_surgery").click().run()
    assert "Synthetic data" in app.warning[0].value
    assert "Synthetic data" in page_of("model").warning[0].value


def named(**values: int) -> AppTest:
    """The page after a forecast for patient 7."""
    app = page_of("patient")
    app.number_input(key="patient_patient_nbr").set_value(7)
    for name, value in values.items():
        app.number_input(key=f"patient_{name}").set_value(value)
    button(app, "Forecast").click().run()
    assert not app.exception
    return app


@pytest.mark.usefixtures("fakes")
def test_a_patients_number_looks_up_the_history_and_the_page_says_what_was_found(gateway: Gateway) -> None:
    gateway.history = {"status": "found", "earlier_stays": 2, "stays": "before the encounter"}
    app = named(encounter_id=55)
    asked = gateway.predicted[-1]
    assert (asked["patient_nbr"], asked["encounter_id"]) == (7, 55) and "site" not in asked
    assert "Previous stays found in the system: 2." in said(app) and "count as previous" not in said(app)
    assert app.dataframe[0].value.values.tolist()[0] == ["Previous stays", "looked up", "raises", 0.2]


@pytest.mark.parametrize(
    ("history", "text"),
    [
        ({"status": "found", "earlier_stays": 3, "stays": "all known"}, "count as previous ones"),
        ({"status": "not found", "earlier_stays": 0, "stays": "all known"}, "no previous stay of this patient"),
        ({"status": "unavailable", "earlier_stays": None, "stays": "all known"}, "could not be looked up"),
        (None, "does not look up previous stays"),
    ],
)
@pytest.mark.usefixtures("fakes")
def test_the_page_says_how_far_the_history_is_known(gateway: Gateway, history: dict[str, Any], text: str) -> None:
    gateway.history = history
    assert text in said(named())


@pytest.mark.usefixtures("fakes")
def test_a_history_in_the_form_is_not_said_to_be_looked_up(gateway: Gateway) -> None:
    assert "look up previous stays" not in said(named(prior_encounters=1))


def diagnosis(app: AppTest) -> str:
    return str(app.session_state["patient_diag_1"])


# AppTest cannot type a value that is not in a list, so these tests begin with it.
@pytest.mark.parametrize(
    ("typed", "code"), [("asthma", "493"), ("008.45", "8.45"), ("e885", "E885"), ("428.21", "428.21")]
)
@pytest.mark.usefixtures("fakes")
def test_a_typed_diagnosis_becomes_its_code_with_a_name(gateway: Gateway, typed: str, code: str) -> None:
    app = page_of("patient", patient_diag_1=typed)
    assert diagnosis(app) == code and not app.error and gateway.predicted == []
    shown = [option for option in app.selectbox(key="patient_diag_1").options if option.startswith(f"{code} · ")]
    assert len(shown) == 1
    button(app, "Forecast").click().run()
    assert gateway.predicted[-1]["diag_1"] == code


@pytest.mark.parametrize("typed", ["e11621", "type 2 diabetes foot ulcer", "icd10:E11.621"])
@pytest.mark.usefixtures("fakes")
def test_a_code_or_name_of_icd_10_is_sent_with_its_version(gateway: Gateway, typed: str) -> None:
    app = page_of("patient", patient_diag_1=typed, patient_diag_2=None, patient_diag_3="I10")
    assert diagnosis(app) == "icd10:E11.621" and not app.error and not app.get("pills")
    assert "E11.621 (ICD-10-CM) · Type 2 diabetes mellitus with foot ulcer is read as 250.8 · " in said(app)
    button(app, "Forecast").click().run()
    asked = gateway.predicted[-1]
    assert (asked["diag_1"], asked["diag_3"], asked["diag_version"]) == ("E11.621", "I10", "icd10")


@pytest.mark.usefixtures("fakes")
def test_codes_of_both_versions_are_sent_as_those_that_the_models_read(gateway: Gateway) -> None:
    app = page_of("patient", patient_diag_1="I50.9")
    assert "A request has codes of one version" in said(app)
    button(app, "Forecast").click().run()
    assert gateway.predicted[-1]["diag_1"] == "428" and "diag_version" not in gateway.predicted[-1]


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_code_that_fits_both_versions_is_shown_with_its_other_meaning() -> None:
    app = page_of("patient", patient_diag_1="E880")
    (other,) = app.get("pills")
    assert "read as ICD-9-CM" in other.label and other.options[0].startswith("E88.0 → 273 · ")
    other.set_value("icd10:E88.0").run()
    assert diagnosis(app) == "icd10:E88.0" and not app.get("pills")


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_name_taken_as_icd_9_offers_the_codes_of_icd_10_with_that_name() -> None:
    app = page_of("patient", patient_diag_1="asthma")
    (other,) = app.get("pills")
    assert diagnosis(app) == "493" and other.label.startswith("`asthma` in ICD-10-CM, 4 of ")
    other.set_value("icd10:J45.909").run()
    assert diagnosis(app) == "icd10:J45.909" and not app.get("pills")


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_name_of_a_code_without_an_equivalent_says_that_it_cannot_be_used() -> None:
    app = page_of("patient", "es", patient_diag_1="hypertensive urgency")
    assert len(app.error) == 1 and "I16.0 · Hypertensive urgency" in app.error[0].value
    assert "no tienen un único equivalente" in app.error[0].value and not app.get("pills")


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_name_of_several_codes_is_not_guessed() -> None:
    app = page_of("patient", patient_diag_1="heart attack")
    (suggested,) = app.get("pills")
    assert suggested.options == [
        "410 · Acute myocardial infarction (heart attack)",
        "412 · Old myocardial infarction (past heart attack)",
    ]
    assert diagnosis(app) == "heart attack" and not app.error


@pytest.mark.parametrize(
    ("typed", "language", "reason"),
    [
        ("E11", "en", "looks like an ICD-10-CM code"),
        ("U071", "es", "parece un código CIE-10-MC"),
        ("abc", "en", "No ICD-9-CM or ICD-10-CM code has the number or name"),
        ("V9", "en", "No ICD-9-CM or ICD-10-CM code has the number or name"),
    ],
)
@pytest.mark.usefixtures("gateway", "fakes")
def test_a_text_that_is_no_diagnosis_is_refused_at_once(typed: str, language: str, reason: str) -> None:
    app = page_of("patient", language, patient_diag_1=typed)
    assert len(app.error) == 1 and reason in app.error[0].value and f"`{typed}`" in app.error[0].value


@pytest.mark.parametrize("typed", ["abc", "heart attack", "E11"])
@pytest.mark.usefixtures("fakes")
def test_an_unclear_diagnosis_is_not_sent(gateway: Gateway, typed: str) -> None:
    app = page_of("patient", asked={"diag_1": typed, "diag_2": None, "diag_3": None}, asked_number=1)
    assert "Primary diagnosis" in app.error[0].value and gateway.predicted == []


# ---------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("problem", "way_out"),
    [
        ((403, "Forbidden"), "make ui"),
        ((503, "no version is in Production yet"), "make pipeline"),
        ((429, "quota"), "ThrottleRate"),
        ((500, "a bug"), "r-9"),
    ],
)
@pytest.mark.usefixtures("fakes")
def test_errors_of_the_gateway_are_explained(gateway: Gateway, problem: tuple[int, str], way_out: str) -> None:
    gateway.problem = problem
    app = page_of("model")
    assert way_out in app.error[0].value and problem[1] in app.error[0].value
    assert not app.exception


@pytest.mark.usefixtures("fakes")
def test_fields_with_the_same_message_share_a_line(gateway: Gateway) -> None:
    gateway.problem = (422, "the header cannot be used")
    missing = [{"field": name, "message": "is a column that is missing"} for name in ("diag_1", "A1Cresult")]
    gateway.errors = [{"field": "color", "message": "is not a column of this form"}, *missing]
    told = page_of("model").error[0].value
    assert "- `color`: is not a column of this form" in told
    assert "- **Primary diagnosis** (`diag_1`), `A1Cresult`: is a column that is missing" in told


@pytest.mark.usefixtures("fakes")
def test_the_apis_messages_are_translated(gateway: Gateway) -> None:
    gateway.problem = (422, "the encounter cannot be used: time_in_hospital")
    params = {"low": 0, "high": 365}
    gateway.errors = [{"field": "time_in_hospital", "message": "must be …", "code": "integer_range", "params": params}]
    shown = page_of("model", "es").error[0].value
    assert "- **Días de ingreso** (`time_in_hospital`): " in shown
    assert "un número entero de 0 a 365" in shown


@pytest.mark.usefixtures("fakes")
def test_in_spanish_the_status_explains_an_error_without_the_apis_english_detail(gateway: Gateway) -> None:
    gateway.problem = (503, "no version is in Production yet")
    shown = page_of("model", "es").error[0].value
    assert "make pipeline" in shown and "no version" not in shown


@pytest.mark.parametrize("name", ["patient", "model"])
@pytest.mark.usefixtures("fakes")
def test_an_unreachable_gateway_is_explained(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with serving(gateway.answer) as url:
        pass
    monkeypatch.setenv("API_URL", url)
    app = page_of(name)
    if name == "patient":
        app.button(key="example_planned_surgery").click().run()
    assert "make up" in app.error[0].value and not app.exception


@pytest.mark.usefixtures("gateway", "fakes")
def test_without_settings_the_page_says_how_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_URL")
    assert "make deploy" in page_of("model").error[0].value


@pytest.mark.parametrize("name", ["pipeline", "monitoring"])
@pytest.mark.usefixtures("gateway")
def test_an_unreachable_aws_is_explained(fakes: Fakes, name: str) -> None:
    away = EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")
    fakes |= dict.fromkeys(fakes, away)
    app = page_of(name)
    assert "make status" in app.error[0].value and not app.exception


@pytest.mark.usefixtures("gateway")
def test_a_stack_that_is_not_deployed_is_explained(fakes: Fakes) -> None:
    fakes["cloudformation"] = CloudFormation(deployed=False)
    assert "STACK_NAME" in page_of("pipeline").error[0].value


@pytest.mark.usefixtures("gateway")
def test_an_unexpected_error_is_shown_without_its_message_or_traceback(fakes: Fakes) -> None:
    fakes["cloudwatch"] = ValueError("with a patient in it")
    app = page_of("monitoring")
    assert "ValueError" in app.error[0].value and "patient" not in app.error[0].value and not app.exception


# ---------------------------------------------------------------- many patients
def upload(app: AppTest, content: bytes) -> AppTest:
    app.file_uploader[0].set_value(("patients.csv", content, "text/csv"))
    return app.run()


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_file_is_scored_and_shown_by_risk() -> None:
    app = upload(page_of("patients"), b"risk,patient_nbr\n0.1,a\n0.3,b\n,c\n0.2,d\n")
    assert [one.value for one in app.metric] == ["3", "1", "0", "1"]
    shown = app.dataframe[0].value
    assert shown["patient_nbr"].tolist() == ["b", "d", "a"] and shown["row"].tolist() == [2, 4, 1]
    assert app.dataframe[1].value.values.tolist() == [["risk: is required", 1, "3"]]
    assert app.dataframe[2].value["patient_nbr"].tolist() == ["c"]
    assert not app.exception and not app.error


@pytest.mark.usefixtures("gateway", "fakes")
def test_the_reasons_of_rejected_rows_are_translated() -> None:
    app = upload(page_of("patients", "es"), b"risk,patient_nbr\n0.1,a\n,c\n")
    assert app.dataframe[1].value.values.tolist() == [["risk: es obligatorio", 1, "2"]]


@pytest.mark.usefixtures("gateway", "fakes")
def test_rejected_rows_have_one_line_for_each_fault_with_the_first_row_numbers() -> None:
    app = upload(page_of("patients"), b"risk,patient_nbr\n" + b",c\n" * 1_012)
    assert app.dataframe[0].value.values.tolist() == [["risk: is required", 1_012, "1; 2; 3; 4; 5; 6; 7; 8; 9; 10; …"]]


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_formula_in_the_file_is_shown_and_downloaded_as_text() -> None:
    app = upload(page_of("patients"), b"risk,patient_nbr\n0.1,=cmd|'/C calc'!A0\n")
    assert app.dataframe[0].value["patient_nbr"].tolist() == ["'=cmd|'/C calc'!A0"]


@pytest.mark.parametrize(
    ("content", "way_out"),
    [
        (b"", "column names"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "looks like Excel"),
        ("risk,race\n1,ñ\n".encode("cp850"), "mean different letters in Windows-1252"),
        (b"no table", "separated by commas"),
        (b"risk,a\n", "Each row"),
    ],
)
@pytest.mark.usefixtures("gateway", "fakes")
def test_a_file_that_cannot_be_read_is_explained(content: bytes, way_out: str) -> None:
    app = upload(page_of("patients"), content)
    assert way_out in app.error[0].value and not app.exception


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_spreadsheets_file_is_scored_as_it_is_and_the_page_says_how_it_was_read() -> None:
    content = "encounter_id;num_medications;race;risk\r\n7;5,0;Peña;0.1\r\n".encode("cp1252")
    app = upload(page_of("patients"), content)
    assert "Columns separated by “;”; encoding: Windows-1252." in said(app)
    assert "written with decimals (5,0 for 5): 1." in said(app)
    assert app.dataframe[0].value["encounter_id"].tolist() == ["7"] and not app.error


# ---------------------------------------------------------------- the worklist
STAYS = b"risk,encounter_id\n0.1,11\n0.3,12\n,13\n0.2,14\n"


def mark(app: AppTest, row: int, reason: str, outcome: str = "contacted") -> AppTest:
    app.selectbox(key="worklist_row").set_value(row)
    app.segmented_control(key="worklist_outcome").set_value(outcome)
    app.text_input(key="worklist_reason").set_value(reason)
    return button(app, "Mark").click().run()


@pytest.mark.usefixtures("gateway", "fakes")
def test_the_worklist_has_the_stays_by_risk_and_bands_can_be_left_out() -> None:
    app = upload(page_of("worklist"), STAYS)
    assert app.dataframe[0].value["encounter_id"].tolist() == ["12", "14", "11"]
    assert "not listed: 1." in said(app) and not app.exception
    app.pills(key="worklist_bands").set_value(["low"]).run()
    assert app.dataframe[0].value["encounter_id"].tolist() == ["14", "11"]
    app.pills(key="worklist_bands").set_value([]).run()
    assert "No stay is in the chosen bands" in said(app) and not app.exception


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_file_that_was_scored_on_the_other_page_is_the_worklist() -> None:
    known = upload(page_of("patients"), STAYS).session_state["kept"]
    app = page_of("worklist", kept=known)
    assert app.dataframe[0].value["encounter_id"].tolist() == ["12", "14", "11"]


@pytest.mark.usefixtures("fakes")
def test_a_stay_is_marked_with_the_reason_by_the_forecast_it_is_about(gateway: Gateway) -> None:
    app = mark(upload(page_of("worklist"), STAYS), 4, " calls on Friday ")
    assert gateway.feedback is not None
    (entry,) = gateway.feedback
    assert datetime.fromisoformat(entry.pop("outcome_at")).tzinfo
    assert entry == {"request_id": "r-1", "position": 3, "outcome": "contacted", "reason": "calls on Friday"}
    shown = app.dataframe[0].value
    assert shown["done"].tolist() == ["", "Contacted", ""] and shown["reason"].tolist() == ["", "calls on Friday", ""]
    assert "Stays: 3, of which contacted: 1." in said(app) and "Marked: Encounter 14 · 20.0% · Low" in said(app)


@pytest.mark.usefixtures("fakes")
def test_no_stay_is_marked_without_a_reason(gateway: Gateway) -> None:
    app = mark(upload(page_of("worklist"), STAYS), 4, "  ")
    assert gateway.feedback == [] and "Say why" in said(app)


@pytest.mark.parametrize(("problem", "says"), [(None, "does not take feedback"), ((500, "broken"), "500")])
@pytest.mark.usefixtures("fakes")
def test_a_mark_that_was_not_stored_is_not_shown(gateway: Gateway, problem: tuple[int, str] | None, says: str) -> None:
    app = upload(page_of("worklist"), STAYS)
    gateway.feedback, gateway.problem = None, problem
    app = mark(app, 4, "calls")
    assert len(app.error) == 1 and says in app.error[0].value
    assert app.dataframe[0].value["done"].tolist() == ["", "", ""]


# ---------------------------------------------------------------- the model
@pytest.mark.usefixtures("gateway", "fakes")
def test_the_model_page_shows_the_figures_the_card_and_the_decisions() -> None:
    app = page_of("model")
    assert (app.metric[0].label, app.metric[0].value) == ("AUC, within 30 days", "0.680")
    assert "0.660 to 0.700" in said(app)
    assert "### Model card" in said(app)
    assert app.dataframe[0].value["Version"].tolist() == ["2", "1"]


@pytest.mark.usefixtures("gateway", "fakes", "mlflow")
def test_plots_and_evaluations_come_from_mlflow() -> None:
    app = page_of("model")
    assert len(app.get("image")) == 1 and not app.exception and not app.error and not app.info
    (compared,) = [one.value for one in app.dataframe if "Version 2" in one.value]
    assert "0.684 (0.674\N{EN DASH}0.694)" in compared["Version 2"].tolist()


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("language", "warning", "reason"),
    [
        ("en", "Recalibrated for the site **main**", "reason of 2"),
        ("es", "Recalibrada para el centro **main**", "evaluada solo con las filas de prueba del centro main"),
    ],
)
def test_the_page_says_for_which_site_a_version_was_recalibrated(
    gateway: Gateway, language: str, warning: str, reason: str
) -> None:
    gateway.model = gateway.model | {"recalibrated_for": "main"}
    gateway.decisions = [decision("2", "1", site="main") | {"reason_code": "other_sites"}, decision("1", None)]
    app = page_of("model", language)
    assert any(warning in one.value for one in app.warning) and not app.exception
    assert reason in app.dataframe[0].value.to_string()


@pytest.mark.usefixtures("gateway", "fakes", "mlflow")
@pytest.mark.parametrize(
    ("language", "rule", "figures"),
    [
        (
            "en",
            "early risk of at least **15.0%**: about 20.0 a day",
            {"Reached": "5.5", "Missed": "5.5", "Right calls": "27.5%", "Calls per readmission": "3.6"},
        ),
        (
            "es",
            "riesgo en 30 días de al menos **15,0\xa0%**: unos 20,0 al día",
            {
                "Detectados": "5,5",
                "No detectados": "5,5",
                "Llamadas acertadas": "27,5\xa0%",
                "Llamadas por reingreso": "3,6",
            },
        ),
    ],
)
def test_calls_a_day_become_a_threshold_and_what_it_finds(language: str, rule: str, figures: dict[str, str]) -> None:
    app = page_of("model", language)
    assert rule in said(app)
    assert figures.items() <= {one.label: one.value for one in app.metric}.items()
    assert not app.exception and not app.error


@pytest.mark.usefixtures("gateway", "fakes", "mlflow")
def test_other_numbers_of_calls_and_discharges_have_another_threshold() -> None:
    app = page_of("model")
    app.number_input[0].set_value(10)
    app.number_input[1].set_value(50).run()
    assert "at least **1.0%**: about 10.0 a day" in said(app)
    app.number_input[0].set_value(100_000)
    app.number_input[1].set_value(1).run()
    assert "too small a share of the discharges" in said(app) and not app.exception


@pytest.mark.usefixtures("gateway", "fakes")
def test_a_model_of_an_earlier_release_is_shown_without_thresholds(mlflow: Mlflow) -> None:
    earlier = document()
    del earlier["test"]["thresholds"]
    mlflow.add("run2", "evaluation.json", json.dumps(earlier).encode())
    app = page_of("model")
    assert "did not measure this" in said(app) and not app.exception and not app.error


@pytest.mark.usefixtures("gateway", "mlflow")
def test_plots_evaluations_and_deliveries_are_asked_for_with_the_login_of_the_named_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(credentials, "of", asked.append)
    monkeypatch.setenv("MLFLOW_SECRET", "mlflow-login")
    assert len(page_of("model").get("image")) == 1
    assert len(asked) >= 3 and set(asked) == {"mlflow-login"}


@pytest.mark.usefixtures("gateway", "fakes")
@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("en", r"payer_code: share of “MC” 34\.0% → 100\.0%; num_medications: mean 17\.3 → 34\.5"),
        ("es", r"payer_code: proporción de «MC» 34,0\xa0% → 100,0\xa0%; num_medications: media 17,3 → 34,5"),
    ],
)
def test_a_delivery_that_differs_from_those_before_it_is_shown(mlflow: Mlflow, language: str, shown: str) -> None:
    mlflow.add("run2", "data_report.json", json.dumps(data_report.document({}, deliveries())).encode())
    app = page_of("model", language)
    table = next(one.value for one in app.dataframe if "second" in one.value.to_string())
    assert table.iloc[:, 1].tolist() == ["second", "first"]
    assert re.fullmatch(shown, table.iloc[0, 3])
    assert any("payer_code, num_medications" in one.value for one in app.warning)
    assert not app.exception and not app.error


def deliveries() -> list[dict[str, Any]]:
    """Two, as a data report has them: the second has twice the medications, and one payer."""
    columns = dict(zip(NAMES, map(list, zip(*synthetic.rows(400, 1), strict=True)), strict=True))
    changed = {"num_medications": [str(2 * int(one)) for one in columns["num_medications"]], "payer_code": ["MC"] * 400}
    comparison = compare(profile_of(columns), profile_of(columns | changed))
    common = {"site": "main", "delivered_at": "2026-11-26T10:00:00+00:00", "taken_on": None}
    return [
        {"delivery": "first", **common, "comparison": None},
        {"delivery": "second", **common, "comparison": comparison},
    ]


@pytest.mark.usefixtures("gateway", "fakes")
def test_without_mlflow_the_page_says_why_there_are_no_plots() -> None:
    app = page_of("model")
    assert "MLFLOW_TRACKING_URI" in app.info[0].value and "“ROC curves” is not available" in said(app)
    assert not app.exception and not app.error


@pytest.mark.usefixtures("gateway", "fakes")
def test_an_mlflow_that_does_not_respond_is_explained(mlflow: Mlflow) -> None:
    mlflow.down = True
    app = page_of("model", "es")
    assert {one.value for one in app.info} == {Texts("es")("model.mlflow_away")} and not app.error
    assert "en inglés" in said(app) and "### Model card" in said(app)


@pytest.mark.usefixtures("fakes", "mlflow")
def test_the_spanish_page_has_a_spanish_card_and_spanish_reasons(gateway: Gateway) -> None:
    figures = {"log_loss": 0.9, "early_calibration_slope": 1.0, "early_ece": 0.01}
    better = {"log_loss": {"value": -0.02, "low": -0.03, "high": -0.01}}
    gateway.decisions = [decision("2", "1", challenger=figures, difference=better), decision("1", None)]
    app = page_of("model", "es")
    assert "### Ficha del modelo: readmission, versión 2" in said(app)
    assert "0,684 (de 0,674 a 0,694)" in said(app) and "Gradient boosting" in said(app)
    assert "Motivo: Mejor que la versión 1 en las mismas filas de prueba" in said(app)
    (decisions,) = [one.value for one in app.dataframe if "Motivo" in one.value]
    reason = decisions["Motivo"].tolist()[0].replace("\N{MINUS SIGN}", "-")
    assert reason.startswith(
        "Mejor que la versión 1 en las mismas filas de prueba: diferencia de pérdida logarítmica -0,0200"
        " (intervalo del 95 %: de -0,0300 a -0,0100)"
    )
    assert "it is better" not in said(app) and "The end" not in said(app)


def test_the_spanish_reason_names_the_families_that_were_not_trained(gateway: Gateway) -> None:
    gateway.decisions = [decision("1", None, failed_families={"random_forest": "StepTimedOut"})]
    (reason,) = page_of("model", "es").dataframe[0].value["Motivo"]
    assert reason.endswith("; sin entrenar: Random forest (StepTimedOut)")


def ask_to_roll_back(app: AppTest) -> AppTest:
    app.text_input(key="rollback_by").set_value("Ada")
    app.text_input(key="rollback_reason").set_value("a complaint").run()
    return button(app, Texts(app.session_state["lang"])("model.roll_back_button")).click().run()  # type: ignore[no-any-return]


@pytest.mark.usefixtures("gateway")
def test_a_rollback_needs_a_confirmation(fakes: Fakes) -> None:
    app = ask_to_roll_back(page_of("model"))
    assert fakes["lambda"].asked == []
    app.button(key="confirm_yes").click().run()
    assert "Rolled back from version 2 to version 1" in said(app)
    request = {"version": "1", "reason": "a complaint", "by": "Ada", "force": False}
    assert fakes["lambda"].asked == [{"function": "readmission-promote", "rollback": request}]


@pytest.mark.usefixtures("gateway")
def test_the_safe_answer_to_a_rollback_is_the_button_that_stands_out(fakes: Fakes) -> None:
    app = ask_to_roll_back(page_of("model"))
    kinds = {key: app.button(key=key).proto.type for key in ("confirm_no", "confirm_yes")}
    assert kinds == {"confirm_no": "primary", "confirm_yes": "secondary"}
    app.button(key="confirm_no").click().run()
    assert fakes["lambda"].asked == [] and not [one for one in app.button if one.key == "confirm_yes"]


@pytest.mark.parametrize("missing", ["rollback_by", "rollback_reason"])
@pytest.mark.usefixtures("gateway", "fakes")
def test_a_rollback_without_a_name_or_a_reason_is_not_asked_for(missing: str) -> None:
    app = page_of("model")
    for key in {"rollback_by", "rollback_reason"} - {missing}:
        app.text_input(key=key).set_value("text").run()
    button(app, "Roll back…").click().run()
    assert "no reason or no name" in app.error[0].value
    assert not [one for one in app.button if one.key == "confirm_yes"]


@pytest.mark.usefixtures("fakes")
def test_the_confirmation_names_what_differs(gateway: Gateway) -> None:
    compared: dict[str, Any] = {
        "challenger": {"log_loss": 0.874, "auc_early": 0.68},
        "incumbent": {"log_loss": 0.879, "auc_early": 0.68},
        "difference": {"log_loss": {"value": -0.005, "low": -0.007, "high": -0.003}},
        "test": {"rows": 14617, "patients": 10727, "early": 1600},
    }
    gateway.decisions = [
        decision("2", "1", **compared),
        {**decision("1", None), "family": "random_forest", "decided_at": "2026-11-20T10:00:00+00:00"},
    ]
    app = ask_to_roll_back(page_of("model"))
    rows = next(one.value for one in app.dataframe if "What differs" in one.value).values.tolist()
    assert rows == [
        ["Model", "Gradient boosting", "Random forest"],
        ["First decision", "2026-11-24 10:00 UTC", "2026-11-20 10:00 UTC"],
        ["Log loss", "0.8740 on 14,617 test rows", "0.8790 on 14,617 test rows"],
    ]
    assert "version 1 minus version 2: Log loss **+0.0050**" in said(app)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_synthetic_version_replaces_a_real_one_only_after_a_second_decision(
    gateway: Gateway, fakes: Fakes, language: str
) -> None:
    gateway.decisions = [decision("2", "1"), {**decision("1", None), "data_kind": "synthetic"}]
    app = ask_to_roll_back(page_of("model", language))
    t = Texts(language)
    assert t("model.synthetic_over_real", version="1", serving="2") in [one.value for one in app.warning]
    assert app.button(key="confirm_yes").disabled
    app.checkbox(key="confirm_force").check().run()
    app.button(key="confirm_yes").click().run()
    assert fakes["lambda"].asked[0]["rollback"]["force"] is True


def test_versions_that_never_served_are_listed_only_on_request_and_need_a_second_decision(
    gateway: Gateway, fakes: Fakes
) -> None:
    gateway.decisions = [decision("3", "2", "refused"), decision("2", "1"), decision("1", None)]
    app = page_of("model")
    assert next(one for one in app.selectbox if one.label == "To version").options == ["1"]
    app.checkbox(key="never_served_too").check().run()
    versions = next(one for one in app.selectbox if one.label == "To version")
    assert versions.options == ["3", "1"]
    versions.set_value("3").run()
    ask_to_roll_back(app)
    assert "Version 3 has never been in production" in app.warning[0].value
    assert app.button(key="confirm_yes").disabled


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("error", roll_back.REFUSALS)
@pytest.mark.usefixtures("gateway")
def test_every_refusal_of_a_rollback_is_explained_in_the_pages_language(
    fakes: Fakes, error: str, language: str
) -> None:
    fakes["lambda"] = Lambda({"errorType": error, "errorMessage": "the function's English"}, "Unhandled")
    app = ask_to_roll_back(page_of("model", language))
    app.button(key="confirm_yes").click().run()
    problem = Texts(language)(f"problem.{roll_back.REFUSALS[error]}.what", version="1")
    assert problem in app.error[0].value and "English" not in app.error[0].value


def test_the_page_knows_every_refusal_of_a_rollback() -> None:
    expected = {InvalidRequest, *RollbackRefused.__subclasses__(), DatabaseUnavailable, TrackingUnavailable}
    assert {kind.__name__ for kind in expected} == set(roll_back.REFUSALS)


@pytest.mark.usefixtures("gateway")
def test_an_unknown_refusal_is_shown_as_it_is(fakes: Fakes) -> None:
    fakes["lambda"] = Lambda({"errorType": "Runtime.ExitError", "errorMessage": "it was killed"}, "Unhandled")
    app = ask_to_roll_back(page_of("model"))
    app.button(key="confirm_yes").click().run()
    assert "Runtime.ExitError" in app.error[0].value and "it was killed" in app.error[0].value


@pytest.mark.usefixtures("fakes")
def test_the_decision_history_shows_both_log_losses_of_the_same_rows_and_who_forced_a_rollback(
    gateway: Gateway,
) -> None:
    compared = {"challenger": {"log_loss": 0.874}, "incumbent": {"log_loss": 0.879}, "test": {"rows": 14617}}
    gateway.decisions = [
        {**decision("1", "2", "rolled back"), "id": 3, "decided_by": "Ada", "forced": True},
        {**decision("2", "1", **compared), "decided_by": "new object"},
        decision("1", None),
    ]
    app = page_of("model")
    shown = app.dataframe[0].value
    assert shown["Log loss"].tolist() == ["\N{EN DASH}", "0.8740", "\N{EN DASH}"]
    assert shown["Previous, same rows"].tolist() == ["\N{EN DASH}", "0.8790", "\N{EN DASH}"]
    assert shown["Test rows"].tolist() == ["\N{EN DASH}", "14,617", "\N{EN DASH}"]
    assert (shown["By"].tolist()[0], shown["Decision"].tolist()[0]) == ("Ada", "rolled back, forced")
    assert shown["By"].tolist()[1:] == ["new file", ""]
    assert Texts("en")("model.history_note") in said(app)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("fakes")
def test_the_page_tells_which_version_is_tried_and_how_that_was_decided(gateway: Gateway, language: str) -> None:
    since, t = "2026-01-02T12:00:00+00:00", Texts(language)
    tried = {"version": "3", "family": "random_forest", "since": since, "canary_share": 0.1, "mlflow_run_id": "run"}
    gateway.model = {**gateway.model, "challenger": tried}
    live = {
        "forecasts": 2000,
        "agreement": 0.97,
        "correlation": 0.91,
        "errors": {},
        "shifts": {"<30": {"value": 0.001}},
    }
    gateway.decisions = [
        {**decision("3", "2", "canaried", live=live), "id": 4, "decided_by": "guard", "reason_code": "shadow_passed"},
        {**decision("3", "2", "shadowed"), "id": 3, "reason_code": "newer"},
        decision("2", "1"),
        decision("1", None),
    ]
    app = page_of("model", language)
    moment = t.moment(datetime.fromisoformat(since))
    assert t("model.challenger_canary", version="3", since=moment, share=t.percent(0.1, 0)) in said(app)
    shown = app.dataframe[0].value
    assert shown[t("column.decision")].tolist()[:2] == [t("decision.canaried"), t("decision.shadowed")]
    assert shown[t("column.by")].tolist()[0] == t("actor.guard")
    assert not app.exception


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("fakes")
def test_the_trend_shows_only_differences_on_the_same_rows_oldest_first(gateway: Gateway, language: str) -> None:
    losses = [{"value": -0.005, "low": -0.007, "high": -0.003}, {"value": None, "low": None, "high": None}]
    gateway.decisions = [
        decision("4", "2", "refused", difference={"log_loss": {"value": 0.004, "low": 0.001, "high": 0.007}}),
        decision("3", "2", "refused", difference={"log_loss": losses[1]}),
        decision("2", "1", difference={"log_loss": losses[0]}),
        decision("1", None),
    ]
    app = page_of("model", language)
    t = Texts(language)
    shown = next(one.value for one in app.dataframe if t("model.trend_axis") in one.value)
    assert [name.split()[0] for name in shown[t("column.version")]] == ["2", "4"]
    assert shown[t("model.trend_axis")].tolist()[1].startswith(t.signed(0.004, 4))
    assert not app.exception


@pytest.mark.usefixtures("gateway", "fakes")
def test_without_comparisons_there_is_no_trend() -> None:
    assert Texts("en")("model.trend") not in said(page_of("model"))


@pytest.mark.usefixtures("fakes")
def test_decisions_that_put_nothing_into_production_do_not_count_as_served(gateway: Gateway) -> None:
    gateway.decisions = [
        {**decision("3", "2", "withdrawn"), "id": 5, "decided_by": "guard"},
        {**decision("3", "2", "canaried"), "id": 4},
        {**decision("3", "2", "shadowed"), "id": 3},
        decision("2", "1"),
        decision("1", None),
    ]
    app = page_of("model")
    shown = app.dataframe[0].value
    assert shown["Decision"].tolist()[:3] == ["withdrawn", "canary", "shadowing"]
    assert "Reason: reason of 2" in said(app) and not app.exception and not app.error


# ---------------------------------------------------------------- over time
@pytest.mark.usefixtures("gateway", "fakes")
def test_the_newest_period_has_estimates_where_outcomes_are_not_due() -> None:
    app = page_of("over_time")
    figures = {one.label: one.value for one in app.metric}
    assert figures["AUC"] == "0.670" and figures["Readmitted, top 10% of risk"] == "24.0%"
    assert "Estimated, without outcomes. Expected from 0.650 to 0.690" in said(app)
    shown = next(one.value for one in app.dataframe if "Realised" in one.value and "Period" in one.value)
    assert shown["Realised"].tolist()[:3] == ["\N{EN DASH}", "\N{EN DASH}", "0.676 (0.646\N{EN DASH}0.706)"]
    assert shown["Outcomes known"].tolist()[0] == "0" and not app.exception and not app.error


@pytest.mark.parametrize(("language", "what"), [("en", "Ask."), ("es", "corregirse en el origen")])
@pytest.mark.usefixtures("fakes")
def test_alerts_of_the_newest_period_say_what_is_beyond_its_limit_and_what_to_do(
    gateway: Gateway, language: str, what: str
) -> None:
    gateway.monitored = monitored.document(deliveries=5)
    app = page_of("over_time", language)
    drift, new, differs = (one.value for one in app.warning)
    t = Texts(language)
    assert t("over_time.alert.input_drift") in drift and what in drift
    assert f"{t.number(2.31, 3)} (" in drift and t.number(0.25, 3) in drift
    assert t("over_time.alert.new_categories") in new
    assert f"{t('over_time.subject_columns')}: num_medications, payer_code\n" in differs
    assert app.expander[0].label.endswith("(4)") and t("over_time.no_alerts") not in said(app)


@pytest.mark.parametrize(("language", "rest"), [("en", "and 3 more"), ("es", "y 3 más")])
@pytest.mark.usefixtures("fakes")
def test_of_many_alerts_of_one_kind_the_first_ten_are_named_and_the_others_counted(
    gateway: Gateway, language: str, rest: str
) -> None:
    gateway.monitored = monitored.document(deliveries=5)
    alerts = gateway.monitored["windows"][-1]["alerts"]
    drift = next(one for one in alerts if one["code"] == "input_drift")
    alerts[:] = [drift | {"subject": f"input_{number:02}"} for number in range(13)]
    (shown,) = (one.value for one in page_of("over_time", language).warning)
    assert "input_09" in shown and "input_10" not in shown and rest in shown


@pytest.mark.usefixtures("gateway", "fakes")
def test_alerts_of_earlier_periods_are_kept_in_a_table() -> None:
    app = page_of("over_time")
    assert not app.warning and "Nothing is beyond its limit." in said(app)
    alerts = app.dataframe[0].value
    assert alerts["What"].tolist()[:3] == ["num_medications", "payer_code", "payer_code"]
    assert set(alerts["Period"]) == {"Delivery of 2026-10-28 06:10 UTC, site default, version 3"}


@pytest.mark.usefixtures("gateway", "fakes")
def test_an_earlier_period_can_be_chosen_and_its_inputs_are_listed_worst_first() -> None:
    app = page_of("over_time")
    app.selectbox(key="over_time_window_delivery").set_value(1).run()
    shown = next(one.value for one in app.dataframe if "Input" in one.value)
    assert shown["Input"].tolist()[:3] == ["num_medications", "payer_code", "diag_1_group"]
    assert shown["PSI"].tolist()[0] == "2.310" and shown["New values"].tolist()[1] == "XX, YY"
    assert "PSI of the forecast risks: 0.310." in said(app) and not app.exception


@pytest.mark.usefixtures("gateway", "fakes")
def test_groups_and_deliveries_are_shown() -> None:
    app = page_of("over_time")
    groups = next(one.value for one in app.dataframe if "Group" in one.value)
    assert groups["Group"].tolist()[0] == "Age: under 40" and groups["Group"].tolist()[-1] == "Race: Caucasian"
    deliveries = next(one.value for one in app.dataframe if "Invalid rows" in one.value)
    assert deliveries["Invalid rows"].tolist()[0] == "0.12%"
    assert deliveries["Differs from those before"].tolist()[1] == "num_medications: mean 16.0 → 32.0"


@pytest.mark.usefixtures("fakes")
def test_logged_forecasts_of_two_versions_are_periods_of_their_own(gateway: Gateway) -> None:
    assert gateway.monitored is not None
    gateway.monitored["windows"] += [monitored.days(1, "2"), monitored.days(1, "3")]
    app = page_of("over_time")
    app.segmented_control(key="over_time_kind").set_value("days").run()
    assert app.selectbox(key="over_time_window_days").options == [
        f"Forecasts from 2026-06-07 to 2026-06-13, version {version}" for version in ("3", "2")
    ]
    assert not app.exception and not app.error


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.usefixtures("fakes")
def test_without_a_result_the_page_says_how_to_get_one_and_still_shows_the_decisions(
    gateway: Gateway, language: str
) -> None:
    gateway.monitored = None
    gateway.decisions = [{**decision("1", "2", "rolled back"), "decided_by": "guard"}, decision("2", None)]
    app = page_of("over_time", language)
    assert app.info[0].value == Texts(language)("over_time.nothing") and not app.error
    shown = app.dataframe[0].value
    assert shown[Texts(language)("column.by")].tolist() == [Texts(language)("actor.guard"), "\N{EN DASH}"]
    assert shown[Texts(language)("column.reason")].tolist()[0].endswith("reason of 1")


@pytest.mark.parametrize(("share", "answers"), [(0.0, "answers no patients yet"), (0.1, "answers 10% of the patients")])
@pytest.mark.usefixtures("fakes")
def test_the_version_that_is_tried_is_named_beside_the_decisions(gateway: Gateway, share: float, answers: str) -> None:
    tried = {"version": "3", "family": "random_forest", "since": None, "canary_share": share, "mlflow_run_id": "run3"}
    gateway.model = {**gateway.model, "challenger": tried}
    told = said(page_of("over_time"))
    assert "Version 3 has been on trial" in told and answers in told
    assert "has been on trial" in said(page_of("model"))


@pytest.mark.usefixtures("fakes")
def test_a_period_about_which_nothing_is_known_is_shown_as_such(gateway: Gateway) -> None:
    unknown = {"realised": None, "estimated": None, "drift": None, "why_no_drift": "no reference", "groups": []}
    gateway.monitored = monitored.document() | {"windows": [monitored.window(1) | unknown], "deliveries": []}
    app = page_of("over_time")
    assert [one.value for one in app.metric] == ["\N{EN DASH}"] * 4
    for key in ("no_figures", "no_drift", "no_groups"):
        assert Texts("en")(f"over_time.{key}") in said(app)
    assert "(no reference.)" in said(app) and Texts("en")("over_time.only_test_rows") in said(app)
    gateway.monitored["windows"] = []
    assert Texts("en")("over_time.no_windows") in said(page_of("over_time"))


# ---------------------------------------------------------------- the pipeline
@pytest.mark.usefixtures("gateway")
def test_an_execution_is_started_with_the_forms_values(fakes: Fakes) -> None:
    app = page_of("pipeline")
    app.segmented_control(key="pipeline_source").set_value("synthetic").run()
    next(one for one in app.selectbox if one.label == "Stop after").set_value("ingest")
    button(app, "Start").click().run()
    (request,) = fakes["stepfunctions"].started
    assert (request["source"], request["stop_after"]) == ("synthetic:rows=6000,seed=4", "ingest")
    assert "Succeeded" in said(app) and app.dataframe[0].value["Outcome"].tolist() == ["stopped after Ingest"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda app: app.segmented_control(key="pipeline_source").set_value("address").run(),
        lambda app: app.get("pills")[0].set_value([]),
        lambda app: (
            next(one for one in app.selectbox if one.label == "Start at").set_value("promote")
            and next(one for one in app.selectbox if one.label == "Stop after").set_value("clean")
        ),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_an_invalid_request_is_not_started(fakes: Fakes, wrong: Callable[[AppTest], Any]) -> None:
    app = page_of("pipeline")
    wrong(app)
    button(app, "Start").click().run()
    assert "InvalidRequest" in app.error[0].value and fakes["stepfunctions"].started == []


@pytest.mark.usefixtures("gateway")
def test_a_running_execution_shows_its_finished_batches(fakes: Fakes) -> None:
    events = [
        entered("Plan", 0),
        succeeded(1, rows=6000),
        entered("Ingest batches", 1, "Map"),
        event("MapStateStarted", 1, mapStateStartedEventDetails={"length": 4}),
        event("MapIterationSucceeded", 3),
    ]
    fakes["stepfunctions"].add(EXECUTION, "RUNNING", events)
    app = page_of("pipeline")
    assert "Running" in said(app) and "1 of 4" in said(app) and "Train models" in said(app)


@pytest.mark.usefixtures("gateway")
def test_a_failed_execution_shows_the_error(fakes: Fakes) -> None:
    cause = 'clean failed: {"errorMessage": "row 3 is broken"}'
    fakes["stepfunctions"].add(EXECUTION, "FAILED", [entered("Plan", 0)], error="RowMalformed", cause=cause)
    app = page_of("pipeline")
    assert "RowMalformed in step Clean" in app.error[0].value and "row 3 is broken" in app.error[0].value
    assert app.dataframe[0].value["Outcome"].tolist() == ["RowMalformed"]


NEW_OBJECT = {
    "id": "e-1",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "data"}, "object": {"key": "incoming/north/a.csv"}},
}


@pytest.mark.parametrize(
    ("given", "starter", "source", "reason"),
    [
        ({"by": "[Ada](http://x)", "reason": "*why*"}, "[Ada](http://x)", "Default", "*why*"),
        ({}, "a person", "Default", None),
        ({"started_by": "schedule"}, "schedule", "Default", None),
        (NEW_OBJECT, "new file", "s3://data/incoming/north/a.csv", "the new object s3://data/incoming/north/a.csv"),
    ],
    ids=["person", "nameless", "schedule", "object"],
)
@pytest.mark.usefixtures("gateway")
def test_the_page_shows_what_started_an_execution_and_why(
    fakes: Fakes, given: dict[str, Any], starter: str, source: str, reason: str | None
) -> None:
    fakes["stepfunctions"].add(EXECUTION, "SUCCEEDED", [], input=json.dumps(given), output="{}")
    app = page_of("pipeline")
    assert app.dataframe[0].value[["Started by", "Source"]].iloc[0].tolist() == [starter, source]
    texts = [one.value for one in app.text]
    assert texts == [f"Started by: {starter}", *([f"Reason: {reason}"] if reason else [])]


@pytest.mark.parametrize(
    ("lang", "outcome"),
    [
        ("en", "rejected (earlier decision; nothing new to learn)"),
        ("es", "rechazada (decisión anterior; nada nuevo que aprender)"),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_an_execution_with_nothing_new_to_learn_says_so(fakes: Fakes, lang: str, outcome: str) -> None:
    output = {"promotion": {"decision": "refused"}, "earlier": {"outcome": "decided", "execution": "before"}}
    fakes["stepfunctions"].add(EXECUTION, "SUCCEEDED", [], input="{}", output=json.dumps(output))
    app = page_of("pipeline", lang)
    assert "`before`" in app.info[0].value
    assert app.dataframe[0].value.iloc[0].tolist().count(outcome) == 1


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.usefixtures("gateway")
def test_an_execution_that_was_skipped_says_why(fakes: Fakes, lang: str) -> None:
    output = {"skipped": "the event e-1 has started the execution a already"}
    fakes["stepfunctions"].add(EXECUTION, "SUCCEEDED", [], input=json.dumps(NEW_OBJECT), output=json.dumps(output))
    app = page_of("pipeline", lang)
    t = Texts(lang)
    assert app.info[0].value == t("pipeline.skipped_text")
    assert any(output["skipped"] in one.value for one in app.text)
    assert app.dataframe[0].value[t("column.outcome")].tolist() == [t("pipeline.skipped")]


@pytest.mark.usefixtures("gateway")
def test_a_run_is_forced_by_the_box(fakes: Fakes) -> None:
    app = page_of("pipeline")
    button(app, "Start").click().run()
    app.checkbox[0].check()
    button(app, "Start").click().run()
    assert [one.get("force") for one in fakes["stepfunctions"].started] == [None, True]


OUTPUT = {
    "promotion": {"decision": "promoted"},
    "candidates": [
        {"model": "random_forest", "failure": {"Error": "DatabaseUnavailable", "Cause": '{"errorMessage": "no way"}'}}
    ],
}


@pytest.mark.parametrize(
    ("lang", "outcome", "warning"),
    [
        ("en", "promoted, with failures", "The training of **Random forest** failed with **DatabaseUnavailable**"),
        ("es", "promovida, con fallos", "La base de datos rechazó o cortó la conexión."),
    ],
)
@pytest.mark.usefixtures("gateway")
def test_an_execution_that_went_on_without_a_family_says_so(
    fakes: Fakes, lang: str, outcome: str, warning: str
) -> None:
    fakes["stepfunctions"].add(EXECUTION, "SUCCEEDED", [entered("Plan", 0)], input="{}", output=json.dumps(OUTPUT))
    app = page_of("pipeline", lang)
    assert warning in app.warning[0].value and warning in app.expander[-1].warning[0].value
    assert app.dataframe[0].value.iloc[0].tolist().count(outcome) == 1


@pytest.mark.usefixtures("gateway")
def test_the_spanish_page_explains_the_error_beside_the_english_message(fakes: Fakes) -> None:
    cause = 'check failed: {"errorMessage": "5% of the rows are in quarantine"}'
    fakes["stepfunctions"].add(EXECUTION, "FAILED", [entered("Plan", 0)], error="TooManyInvalidRows", cause=cause)
    app = page_of("pipeline", "es")
    assert "Hay demasiadas filas en cuarentena." in app.error[0].value
    assert "en inglés: 5% of the rows are in quarantine" in app.error[0].value


# ---------------------------------------------------------------- monitoring
@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0008, "0.8 ms"), (0.09994, "99.9 ms"), (0.1, "100 ms"), (0.9994, "999 ms"), (1.26, "1.3 s")],
)
def test_a_latency_has_at_most_as_many_characters_as_there_is_room_for(seconds: float, shown: str) -> None:
    assert monitoring._latency(Texts("en"), seconds) == shown


@pytest.mark.usefixtures("gateway")
def test_metrics_are_shown_with_a_table_for_each_chart(fakes: Fakes) -> None:
    predict = (("service", "predict"), ("route", "/predict"))
    fakes["cloudwatch"] = CloudWatch(
        {
            ("Requests", (*predict, ("status", "200"))): {1: 95},
            ("Requests", (*predict, ("status", "503"))): {1: 5},
            ("RequestDurationBucket", (*predict, ("le", "0.001"))): {1: 100},
            ("RowsCleaned", (("service", "clean"),)): {2: 99},
            ("RowsQuarantined", (("service", "clean"),)): {2: 1},
        }
    )
    app = page_of("monitoring")
    assert [one.value for one in app.metric] == ["100", "5.00%", "0.00%", "0.8 ms", "1.00%"]
    assert len(app.dataframe) == 3 and "No data in this time range" in said(app)


@pytest.mark.usefixtures("gateway", "fakes")
def test_prometheus_is_the_source_if_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda *_: (200, '{"data": {"result": []}}')) as url:
        monkeypatch.setenv("PROMETHEUS_URL", url)
        assert "Source: Prometheus" in said(page_of("monitoring"))
    assert "PROMETHEUS_URL" in page_of("monitoring").error[0].value
