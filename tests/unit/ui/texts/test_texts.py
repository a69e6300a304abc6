import inspect
import json
import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from readmission import errors
from readmission.domain.contract import CLASSES
from readmission.domain.features import FEATURES, INPUTS, OPTIONAL, PATIENT_HISTORY
from readmission.domain.payloads import FAMILIES
from readmission.http.problems import Code
from readmission.pipeline import executions
from readmission.reporting.wording import TEXTS

from tests.unit.readmission.reporting.documents import document
from ui.services import patients, reasons, training_runs
from ui.texts import LANGUAGES, Texts, table
from ui.views import card_plots

UI = Path(__file__).parents[4] / "ui"
SOURCES = [path.read_text() for path in UI.rglob("*.py")]
# Keys that are written out in the code, and prefixes of those composed there.
WRITTEN = {key for text in SOURCES for key in re.findall(r"""\bt\(\s*f?["']([a-z_.]+[^"'{}]*)["']""", text)}
BEGUN = {key for text in SOURCES for key in re.findall(r"""\b(?:t|self)\(\s*f["']([a-z_]+\.[^"'{]*)\{""", text)}
PAGES = {"patient", "patients", "worklist", "model", "over_time", "pipeline", "monitoring"}


def _stops_an_execution(error: type) -> bool:
    """Refusals of a rollback do not; the page's dialog explains them. Those about challengers are on no page."""
    bases = (errors.ReadmissionError, errors.Transient)
    refusals = (errors.RollbackRefused, errors.ChallengeRefused)
    return issubclass(error, bases) and error not in bases and not issubclass(error, refusals)


def test_both_languages_have_the_same_texts() -> None:
    assert list(table("en")) == list(table("es"))


@pytest.mark.parametrize("key", list(table("en")))
def test_a_text_takes_the_same_values_in_both_languages(key: str) -> None:
    taken = [{name for _, name, _, _ in Formatter().parse(table(language)[key]) if name} for language in LANGUAGES]
    assert taken[0] == taken[1]


def test_every_text_used_by_the_pages_exists() -> None:
    assert len(WRITTEN) > 100
    assert {key for key in WRITTEN if "." in key} <= set(table("en"))


def test_every_text_is_used() -> None:
    begun = (*BEGUN, "problem.", "choice.")
    titles = {f"{name}.{part}" for name in PAGES for part in ("nav", "title", "lead")}
    assert [key for key in table("en") if key not in WRITTEN | titles and not key.startswith(begun)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_named_in_the_data_has_a_name_on_the_pages(language: str) -> None:
    t = Texts(language)
    for name in (*FEATURES, *OPTIONAL, *PATIENT_HISTORY, *patients.WHOSE, "other_drugs"):
        assert t(f"field.{name}")
    for group, names in {"class": CLASSES, "family": FAMILIES, "state": executions.STATES}.items():
        assert [t(f"{group}.{name}") for name in names]
    choices = {
        "age_numeric": patients.AGES,
        "admission_type_id": patients.ADMISSION_TYPES,
        "admission_source_id": patients.ADMISSION_SOURCES,
        "discharge_disposition_id": patients.DISCHARGES,
        "medical_specialty": patients.SPECIALTIES,
        "dose": patients.DOSES,
        "a1cresult_encoded": range(4),
        "max_glu_serum_encoded": range(4),
    }
    for field, values in choices.items():
        named = [t.choice(field, value) for value in values]
        assert len(set(named)) == len(named), field


@pytest.mark.parametrize("code", get_args(Code.__value__))
def test_every_message_of_the_api_has_a_translation(code: str) -> None:
    assert table("api.es")[f"message.{code}"]


def test_the_apis_messages_are_translated_with_their_numbers() -> None:
    error = {"message": "must be …", "code": "integer_range", "params": {"low": 0, "high": 12345}}
    assert Texts("en").message(error) == "must be …"
    assert Texts("es").message(error).endswith(" un número entero de 0 a 12\N{NARROW NO-BREAK SPACE}345")
    values = {"message": "…", "code": "one_of", "params": {"values": ["No", "Up"]}}
    assert Texts("es").message(values).endswith(": No, Up")


@pytest.mark.parametrize("error", [{"message": "is odd"}, {"message": "is odd", "code": "of_a_newer_release"}])
def test_a_message_with_an_unknown_code_stays_as_it_is(error: dict[str, str]) -> None:
    assert Texts("es").message(error) == "is odd"


@pytest.mark.parametrize("key", TEXTS)
def test_every_text_of_the_model_card_has_a_translation_with_the_same_values(key: str) -> None:
    values = {name for _, name, _, _ in Formatter().parse(TEXTS[key]) if name}
    translated = {name for _, name, _, _ in Formatter().parse(table("api.es")[f"card.{key}"]) if name}
    # A broken rule is an English sentence; its column has a name in every language.
    assert translated == (values - {"rule"} | {"column"} if key == "rule" else values)


@pytest.mark.parametrize("reason", get_args(reasons.Code.__value__))
def test_every_reason_of_a_decision_has_a_translation(reason: str) -> None:
    assert reason == "by_hand" or table("api.es")[f"reason.{reason}"]


@pytest.mark.parametrize(
    "name", [name for name, one in inspect.getmembers(errors, inspect.isclass) if _stops_an_execution(one)]
)
def test_every_error_of_an_execution_is_explained(name: str) -> None:
    assert table("api.es")[f"error.{name}"]


@pytest.mark.parametrize("feature", INPUTS)
def test_every_input_of_a_model_has_a_spanish_name(feature: str) -> None:
    assert card_plots.input_name(Texts("es"), feature) != feature


def test_every_plot_of_a_card_can_be_drawn_in_spanish() -> None:
    drawn = card_plots.draw(Texts("es"), document())
    assert set(drawn) == set(training_runs.PLOTS)
    legends = json.dumps([chart.to_dict() for chart in drawn["roc"]], ensure_ascii=False)
    assert "en 30 días: AUC 0,684 (de 0,674 a 0,694)" in legends and "azar" in legends
    assert [len(charts) for charts in drawn.values()] == [1, 1, 1, 2, 1]


def test_numbers_are_written_as_the_language_does() -> None:
    english, spanish = Texts("en"), Texts("es")
    assert (english.number(12345.678, 1), english.percent(0.1234)) == ("12,345.7", "12.3%")
    assert spanish.number(12345.678, 1) == "12\N{NARROW NO-BREAK SPACE}345,7"
    assert (spanish.number(1234.5, 1), spanish.number(9999.7)) == ("1234,5", "10\N{NARROW NO-BREAK SPACE}000")
    assert spanish.percent(0.1234) == "12,3\N{NO-BREAK SPACE}%"
    assert [english.signed(value, 1) for value in (1.25, -3, 0)] == ["+1.2", "\N{MINUS SIGN}3.0", "+0.0"]


def test_durations_are_written_in_seconds_or_minutes() -> None:
    assert [Texts("en").seconds(value) for value in (0.25, 59.4, 60, 119.7, 173)] == [
        "0.2 s",
        "59.4 s",
        "1 min",
        "2 min",
        "2 min 53 s",
    ]


def test_values_are_written_in_words() -> None:
    t = Texts("es")
    assert t.value("diag_1", "428") == "428 · Insuficiencia cardíaca"
    assert t.value("diag_2", "999.9") == "999.9 · Complicación de la atención médica"
    assert t.value("diag_3", "V99") == "V99"
    assert t.value("insulin", "Up") == "dosis aumentada"
    assert t.value("change_encoded", 1) == "sí"
    assert t.value("num_medications", 12) == "12"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert Texts("xx").language == "en"
