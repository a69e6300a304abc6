import re
from pathlib import Path
from string import Formatter

import pytest
from readmission.domain.contract import CLASSES
from readmission.domain.features import FEATURES, OPTIONAL
from readmission.domain.icd9 import GROUPS
from readmission.domain.payloads import FAMILIES
from readmission.pipeline import executions

from ui.services import patients
from ui.texts import LANGUAGES, Texts, table

UI = Path(__file__).parents[3] / "ui"
SOURCES = [path.read_text() for path in UI.rglob("*.py")]
# Keys as they are written in the code, and the beginnings of those that are put together there.
WRITTEN = {key for text in SOURCES for key in re.findall(r"""\bt\(\s*f?["']([a-z_.]+[^"'{}]*)["']""", text)}
BEGUN = {key for text in SOURCES for key in re.findall(r"""\b(?:t|self)\(\s*f["']([a-z_]+\.[^"'{]*)\{""", text)}
PAGES = {"patient", "patients", "model", "pipeline", "monitoring"}


def test_both_languages_have_the_same_texts() -> None:
    assert list(table("en")) == list(table("es"))


@pytest.mark.parametrize("key", list(table("en")))
def test_a_text_takes_the_same_values_in_both_languages(key: str) -> None:
    taken = [{name for _, name, _, _ in Formatter().parse(table(language)[key]) if name} for language in LANGUAGES]
    assert taken[0] == taken[1]


def test_every_text_that_the_pages_ask_for_exists() -> None:
    assert len(WRITTEN) > 100
    assert {key for key in WRITTEN if "." in key} <= set(table("en"))


def test_no_text_is_without_use() -> None:
    problems = {key for text in SOURCES for key in re.findall(r"""(?:page\.)?problem\(\s*t,\s*f?["']([a-z_]+)""", text)}
    begun = (*BEGUN, *(f"problem.{name}" for name in problems), "problem.", "choice.")
    titles = {f"{name}.{part}" for name in PAGES for part in ("nav", "title", "lead")}
    assert [key for key in table("en") if key not in WRITTEN | titles and not key.startswith(begun)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_that_has_a_name_in_the_data_has_one_here(language: str) -> None:
    t = Texts(language)
    for name in (*FEATURES, *OPTIONAL, *patients.HISTORY, "other_drugs"):
        assert t(f"field.{name}")
    for group, names in {"class": CLASSES, "chapter": GROUPS, "family": FAMILIES, "state": executions.STATES}.items():
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


def test_numbers_are_written_as_the_language_does() -> None:
    english, spanish = Texts("en"), Texts("es")
    assert (english.number(12345.678, 1), english.percent(0.1234)) == ("12,345.7", "12.3%")
    assert spanish.number(12345.678, 1) == "12\N{NARROW NO-BREAK SPACE}345,7"
    assert spanish.percent(0.1234) == "12,3\N{NO-BREAK SPACE}%"
    assert [english.signed(value, 1) for value in (1.25, -3, 0)] == ["+1.2", "\N{MINUS SIGN}3.0", "+0.0"]


def test_times_are_told_in_seconds_and_in_minutes() -> None:
    assert [Texts("en").seconds(value) for value in (0.25, 59.4, 60, 119.7, 173)] == [
        "0.2 s",
        "59.4 s",
        "1 min",
        "2 min",
        "2 min 53 s",
    ]


def test_values_are_told_in_words() -> None:
    t = Texts("es")
    assert t.value("diag_1", "428") == "428 · Insuficiencia cardíaca"
    assert t.value("diag_2", "999.9") == "999.9 · Complicación de la atención médica"
    assert t.value("diag_3", "V99") == "V99 · otro motivo de contacto"
    assert t.value("insulin", "Up") == "se da, dosis aumentada"
    assert t.value("change_encoded", 1) == "sí"
    assert t.value("num_medications", 12) == "12"


def test_a_language_that_is_unknown_is_english() -> None:
    assert Texts("xx").language == "en"
