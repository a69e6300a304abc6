import subprocess
import sys
from pathlib import Path

import pytest
from readmission.domain.contract import Diagnosis
from readmission.domain.diagnoses import versions_of
from readmission.http.problems import Refused
from readmission.serving.encounters import fields_of_encounter

from ui.services import diagnoses, patients

# Every category of ICD-9-CM: 001 to 999 without those never assigned, V01 to V91, E000 to E030 and E800 to E999.
NUMBERED, SUPPLEMENTARY, EXTERNAL = 928, 90, 216


def test_both_languages_name_the_same_codes_and_the_api_accepts_each() -> None:
    english, spanish = diagnoses.names("en"), diagnoses.names("es")
    assert english.keys() == spanish.keys()
    for named in (english, spanish):
        assert all(named.values()) and len(set(named.values())) == len(named)
    assert all(diagnoses.as_code(code) == code and Diagnosis().allows(code) for code in english)


def test_all_categories_of_icd_9_cm_have_a_name() -> None:
    categories = [code for code in diagnoses.names("en") if "." not in code]
    begun = {letter: sum(code.startswith(letter) for code in categories) for letter in "VE"}
    assert (len(categories) - sum(begun.values()), begun) == (NUMBERED, {"V": SUPPLEMENTARY, "E": EXTERNAL})
    assert {str(code) for code in range(390, 399)} <= set(categories)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("428.21", "Heart failure"),
        ("250.83", "Diabetes type 1 with other complication, uncontrolled"),
        ("250.10", "Diabetes with ketoacidosis"),  # not "without complication", as its category is called
        ("250.00", "Diabetes without complication"),
        ("V57.89", "Rehabilitation"),
        ("19", None),
        ("E119", None),
    ],
)
def test_a_code_has_its_own_name_or_that_of_the_next_wider_code(code: str, name: str | None) -> None:
    assert diagnoses.name(code, "en") == name


@pytest.mark.parametrize(
    ("text", "code"),
    [("428", "428"), (" 428.21 ", "428.21"), ("008.45", "8.45"), ("038", "38"), ("v57", "V57"), ("e885", "E885")],
)
def test_a_typed_code_is_taken_in_the_notation_of_the_data(text: str, code: str) -> None:
    assert diagnoses.as_code(text) == code
    fields_of_encounter(patients.encounter({**patients.DEFAULTS, "diag_1": code}))


@pytest.mark.parametrize(
    ("text", "language", "codes"),
    [
        ("asthma", "en", ["493"]),
        (" Heart Fail", "en", ["428"]),
        ("heart attack", "en", ["410", "412"]),
        ("MI", "en", ["410", "412"]),
        ("flu", "en", ["487"]),  # not the words that only begin with it, such as fluid
        ("infarto", "es", ["410", "434", "412"]),
        ("insuficiencia CARDIACA", "es", ["428"]),
        ("ataque al corazón", "es", ["410"]),
        ("pneumonia", "en", ["486"]),  # its name, although others contain the word
        ("nothing like it", "en", []),
        ("the", "en", []),
        ("  ", "en", []),
    ],
)
def test_a_code_is_found_by_its_names(text: str, language: str, codes: list[str]) -> None:
    assert diagnoses.find(text, language) == codes


@pytest.mark.parametrize(
    "text",
    [
        "heart attack",
        "high blood pressure",
        "stroke",
        "blood clot",
        "kidney failure",
        "COPD",
        "UTI",
        "lung cancer",
        "broken hip",
        "flu",
        "dialysis",
        "depression",
        "hypoglycemia",
        "type 2 diabetes",
        "type 1 diabetes",
        "sepsis",
        "reflux",
        "kidney stone",
        "back pain",
        "chest pain",
    ],
)
def test_common_names_find_something(text: str) -> None:
    assert diagnoses.find(text, "en")


@pytest.mark.parametrize(
    "text",
    [
        "infarto",
        "tensión alta",
        "ictus",
        "trombosis",
        "insuficiencia renal",
        "EPOC",
        "infección de orina",
        "cáncer de pulmón",
        "fractura de cadera",
        "gripe",
        "diálisis",
        "depresión",
        "hipoglucemia",
        "diabetes tipo 2",
        "sepsis",
        "reflujo",
        "cólico nefrítico",
        "dolor de espalda",
        "dolor torácico",
        "pulmonía",
    ],
)
def test_common_spanish_names_find_something(text: str) -> None:
    assert diagnoses.find(text, "es")


@pytest.mark.parametrize("text", ["?", "", "abc", "4280", "428.", "E88", "428.123", "E11", "J44", "U07.1"])
def test_the_page_and_the_api_reject_the_same_codes(text: str) -> None:
    assert diagnoses.taken(text) is None
    if text != "?":  # which means unknown in the API
        with pytest.raises(Refused):
            fields_of_encounter(patients.encounter({**patients.DEFAULTS, "diag_1": text}))


@pytest.mark.parametrize(
    ("text", "looks"), [("E11.9", True), ("e119", True), ("I50", True), ("E885", True), ("428", False), ("flu", False)]
)
def test_a_code_of_icd_10_is_recognized(text: str, looks: bool) -> None:
    assert diagnoses.is_icd10(text) is looks


@pytest.mark.parametrize(
    ("text", "choice", "read", "name"),
    [
        ("I50.9", "icd10:I50.9", "428", "Heart failure, unspecified"),
        (" e119 ", "icd10:E11.9", "250.0", "Type 2 diabetes mellitus without complications"),
        ("I50", "icd10:I50", "428", None),
        ("S72001D", "icd10:S72.001D", "V54", None),  # a later treatment: read, but not among the names
        ("icd10:e880", "icd10:E88.0", "273", None),
        ("428", None, None, None),
        ("flu", None, None, None),
    ],
)
def test_a_code_of_icd_10_is_taken_with_its_version(
    text: str, choice: str | None, read: str | None, name: str | None
) -> None:
    assert diagnoses.as_icd10(text) == choice
    if choice:
        assert diagnoses.taken(text) == choice and diagnoses.version(choice) == "icd10"
        assert (diagnoses.read_as(choice), diagnoses.name(choice, "es")) == (read, name)


def test_a_code_that_fits_both_versions_is_icd_9_unless_it_was_chosen_as_icd_10() -> None:
    assert [diagnoses.taken(text) for text in ("E880", "icd10:E880")] == ["E880", "icd10:E88.0"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("type 2 diabetes foot ulcer", ["E11.621"]),
        ("Heart failure, unspecified", ["I50.9"]),  # its name, although others contain the words
        ("Heart failure", ["I50.9"]),  # begins with it
        ("fract RIGHT femur neck", ["S72.001A"]),  # beginnings of words, the shortest name first
        ("COVID-19", []),
        ("of the", []),
        ("nothing like it", []),
    ],
)
def test_a_code_of_icd_10_is_found_by_its_name(text: str, first: list[str]) -> None:
    found = [diagnoses.code_of(choice) for choice in diagnoses.find_icd10(text)]
    assert found[: len(first)] == first and bool(found) == bool(first)


def test_a_code_without_a_single_equivalent_is_named_but_not_found() -> None:
    assert diagnoses.unusable("Hypertensive urgency") == ["I16.0 · Hypertensive urgency"]
    assert not diagnoses.find_icd10("Hypertensive urgency") and not diagnoses.unusable("asthma")


def test_every_name_of_icd_10_is_of_a_code_that_is_read_or_said_to_be_unusable() -> None:
    named = diagnoses._icd10_names()
    assert len(named) > 32_000 and all(named.values()) and all(versions_of(code) for code in named)
    usable = [code for code in named if diagnoses.as_icd10(f"icd10:{code}")]
    assert 0.97 < len(usable) / len(named) < 1
    for code in usable[::500]:
        fields_of_encounter(patients.encounter({**patients.DEFAULTS, "diag_1": diagnoses.as_icd10(f"icd10:{code}")}))


@pytest.mark.parametrize(
    ("choices", "fields"),
    [
        (["icd10:E11.9", "icd10:E88.0"], {"diag_1": "E11.9", "diag_2": "E88.0", "diag_version": "icd10"}),
        (["icd10:E11.9", "428"], {"diag_1": "250.0", "diag_2": "428"}),
        (["icd10:I50.9", "V57"], {"diag_1": "428", "diag_2": "V57", "diag_version": "icd9"}),
        (["428", "401"], {"diag_1": "428", "diag_2": "401"}),
        ([], {}),
    ],
)
def test_a_request_has_the_codes_of_one_version(choices: list[str], fields: dict[str, str]) -> None:
    assert diagnoses.sent(dict(zip(("diag_1", "diag_2"), choices, strict=False))) == fields


def test_the_table_of_names_is_the_generated_one() -> None:
    # Its own process: the script is in no package.
    script = "import generate_icd10 as g; assert g.NAMED.read_text() == g.names(), 'make icd-codes'"
    folder = Path(__file__).parents[4] / "layers" / "readmission"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=folder)
