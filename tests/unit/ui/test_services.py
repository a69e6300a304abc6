"""The form's values, the diagnoses' names, and the settings."""

import pytest
from readmission.http.problems import Refused
from readmission.serving.encounters import fields_of_encounter

from ui.services import configuration, diagnoses, patients
from ui.services.configuration import NotConfigured


@pytest.mark.parametrize("values", [patients.DEFAULTS, *patients.EXAMPLES.values()])
def test_the_api_accepts_the_forms_defaults_and_the_examples(values: dict) -> None:
    fields = patients.encounter(values)
    assert {name: value for name, value in fields_of_encounter(fields).items() if value is not None} == fields


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("age_numeric", patients.AGES),
        ("admission_type_id", patients.ADMISSION_TYPES),
        ("admission_source_id", patients.ADMISSION_SOURCES),
        ("discharge_disposition_id", patients.DISCHARGES),
        ("medical_specialty", patients.SPECIALTIES),
        ("metformin", patients.DOSES),
        ("diag_1", list(diagnoses.names("en"))),
    ],
)
def test_the_api_accepts_every_choice(field: str, values: list) -> None:
    for value in values:
        fields_of_encounter(patients.encounter({**patients.DEFAULTS, field: value}))


def test_drugs_are_counted() -> None:
    values = {**patients.DEFAULTS, "insulin": "Up", "glipizide": "Down", "other_drugs": 2, "medication_changed": True}
    fields = patients.encounter(values)
    assert (fields["num_diabetes_meds"], fields["diabetesmed_encoded"], fields["change_encoded"]) == (5, 1, 1)
    assert (fields["num_doses_up"], fields["num_doses_down"]) == (1, 1)
    none = patients.encounter({**patients.DEFAULTS, "metformin": "No"})
    assert (none["num_diabetes_meds"], none["diabetesmed_encoded"]) == (0, 0)


def test_unknown_values_are_left_out() -> None:
    fields = patients.encounter({**patients.DEFAULTS, "diag_2": None, "admission_type_id": None})
    assert not {"diag_2", "admission_type_id", "prior_encounters", "other_drugs"} & fields.keys()


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


def test_settings_come_from_the_environment() -> None:
    found = configuration.load({"API_URL": "https://api", "API_KEY": "", "PROMETHEUS_URL": "http://p:9090/"})
    assert found.mlflow_url is None
    assert (found.api_key, found.stack_name, found.prometheus_url) == (None, "readmission", "http://p:9090")


def test_a_missing_url_is_reported_by_its_variable() -> None:
    with pytest.raises(NotConfigured) as raised:
        configuration.load({})
    assert raised.value.name == "API_URL"
