import pytest
from readmission.http.problems import Refused
from readmission.serving.encounters import fields_of_encounter

from ui.services import diagnoses, patients


def test_both_languages_name_the_same_codes_and_the_api_accepts_each() -> None:
    english, spanish = diagnoses.names("en"), diagnoses.names("es")
    assert english.keys() == spanish.keys() and len(english) > 250
    assert all(map(diagnoses.is_code, english)) and all(english.values()) and all(spanish.values())


def test_a_code_without_a_name_gets_that_of_its_category_or_chapter() -> None:
    assert diagnoses.name("428.21", "en") == "Heart failure"
    assert diagnoses.name("250.83", "en") == "Diabetes type 1 with other complication, uncontrolled"
    assert diagnoses.name("630", "en") is None and diagnoses.chapter("630") == "pregnancy"


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [("asthma", "en", "493"), (" Heart Fail", "en", "428"), ("CARDIACA", "es", "428"), ("nothing like it", "en", None)],
)
def test_a_typed_name_finds_the_most_frequent_code(text: str, language: str, code: str | None) -> None:
    assert diagnoses.find(text, language) == code


@pytest.mark.parametrize("text", ["?", "", "abc", "4280", "428.", "E88", "v57", "428.123"])
def test_the_page_and_the_api_reject_the_same_codes(text: str) -> None:
    assert not diagnoses.is_code(text)
    if text != "?":  # which means unknown in the API
        with pytest.raises(Refused):
            fields_of_encounter(patients.encounter({**patients.DEFAULTS, "diag_1": text}))
