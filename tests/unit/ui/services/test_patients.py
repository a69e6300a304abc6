import pytest
from readmission.domain.icd9 import comorbidities
from readmission.serving.encounters import Patient, encounter_of, fields_of_encounter

from ui.services import diagnoses, patients


@pytest.mark.parametrize("values", [patients.DEFAULTS, *patients.EXAMPLES.values()])
def test_the_api_accepts_the_forms_defaults_and_the_examples(values: dict) -> None:
    fields = patients.encounter(values)
    assert {name: value for name, value in fields_of_encounter(fields).items() if value is not None} == fields


def test_the_examples_are_what_they_say() -> None:
    surgery, heart, frequent = patients.EXAMPLES.values()
    assert surgery["admission_type_id"] == 3 and surgery["medical_specialty"].startswith("Surgery")  # 3: elective
    assert comorbidities([heart["diag_1"]])["has_heart_failure"]
    assert frequent["number_inpatient"] >= 3
    # What is known of the stays before must agree with it.
    assert frequent["prior_early_readmissions"] <= frequent["prior_encounters"]


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


def test_an_encounter_says_whose_it_is_if_the_form_does() -> None:
    whose = {"patient_nbr": 7, "encounter_id": 55, "site": "north"}
    asked = encounter_of(patients.encounter(patients.DEFAULTS | whose))
    assert asked.patient == Patient("north", 7, 55)
    unnamed = patients.encounter(patients.DEFAULTS | {"site": ""})
    assert not set(patients.WHOSE) & unnamed.keys()


@pytest.mark.parametrize(("code", "stated"), [("428", None), ("V57", "icd9"), ("E880", "icd9"), (None, None)])
def test_an_encounter_states_the_version_of_a_code_that_fits_both(code: str | None, stated: str | None) -> None:
    assert patients.encounter({**patients.DEFAULTS, "diag_2": code}).get("diag_version") == stated


def test_unknown_values_are_left_out() -> None:
    fields = patients.encounter({**patients.DEFAULTS, "diag_2": None, "admission_type_id": None})
    assert not {"diag_2", "admission_type_id", "prior_encounters", "other_drugs"} & fields.keys()
