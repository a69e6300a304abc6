import pytest
from readmission.domain.contract import DRUGS
from readmission.domain.features import (
    CATEGORIES,
    FEATURES,
    INPUTS,
    NUMBERS,
    OPTIONAL,
    PATIENT_HISTORY,
    features_of,
    fields_of,
    inputs_of,
)

from tests.unit.readmission.builders import encounter


def test_the_features_are_the_14_of_the_original_project_in_its_order() -> None:
    assert list(FEATURES) == [
        "age_numeric",
        "time_in_hospital",
        "num_lab_procedures",
        "num_procedures",
        "num_medications",
        "number_outpatient",
        "number_emergency",
        "number_inpatient",
        "number_diagnoses",
        "max_glu_serum_encoded",
        "a1cresult_encoded",
        "change_encoded",
        "diabetesmed_encoded",
        "num_diabetes_meds",
    ]


def test_an_encounters_features_are_in_that_order() -> None:
    assert list(features_of(encounter())) == list(FEATURES)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("[0-10)", 5),
        ("[10-20)", 15),
        ("[20-30)", 25),
        ("[30-40)", 35),
        ("[40-50)", 45),
        ("[50-60)", 55),
        ("[60-70)", 65),
        ("[70-80)", 75),
        ("[80-90)", 85),
        ("[90-100)", 95),
    ],
)
def test_an_age_range_becomes_its_middle(age: str, years: int) -> None:
    assert features_of(encounter(age=age))["age_numeric"] == years


@pytest.mark.parametrize(
    ("column", "value", "feature", "code"),
    [
        ("max_glu_serum", "None", "max_glu_serum_encoded", 0),
        ("max_glu_serum", "Norm", "max_glu_serum_encoded", 1),
        ("max_glu_serum", ">200", "max_glu_serum_encoded", 2),
        ("max_glu_serum", ">300", "max_glu_serum_encoded", 3),
        ("A1Cresult", "None", "a1cresult_encoded", 0),
        ("A1Cresult", "Norm", "a1cresult_encoded", 1),
        ("A1Cresult", ">7", "a1cresult_encoded", 2),
        ("A1Cresult", ">8", "a1cresult_encoded", 3),
        ("change", "No", "change_encoded", 0),
        ("change", "Ch", "change_encoded", 1),
        ("diabetesMed", "No", "diabetesmed_encoded", 0),
        ("diabetesMed", "Yes", "diabetesmed_encoded", 1),
    ],
)
def test_a_category_becomes_the_original_projects_code(column: str, value: str, feature: str, code: int) -> None:
    assert features_of(encounter(**{column: value}))[feature] == code


@pytest.mark.parametrize(
    "name",
    [
        "time_in_hospital",
        "num_lab_procedures",
        "num_procedures",
        "num_medications",
        "number_outpatient",
        "number_emergency",
        "number_inpatient",
        "number_diagnoses",
    ],
)
def test_a_count_is_used_unchanged(name: str) -> None:
    assert features_of(encounter(**{name: "37"}))[name] == 37


@pytest.mark.parametrize("drug", DRUGS)
@pytest.mark.parametrize("dose", ["Steady", "Up", "Down"])
def test_a_drug_counts_at_any_dose(drug: str, dose: str) -> None:
    assert features_of(encounter(**{drug: dose}))["num_diabetes_meds"] == 1


@pytest.mark.parametrize(("given", "count"), [((), 0), (DRUGS[:2], 2), (DRUGS, 23)], ids=["none", "two", "all"])
def test_the_given_drugs_are_counted(given: tuple[str, ...], count: int) -> None:
    assert features_of(encounter(**dict.fromkeys(given, "Steady")))["num_diabetes_meds"] == count


PATIENT = {**features_of(encounter()), "discharge_disposition_id": 3, "diag_1": "428.1", "insulin": "Up"}


def test_with_the_14_features_only_all_other_inputs_are_unknown() -> None:
    inputs = inputs_of(features_of(encounter()))
    assert tuple(inputs) == INPUTS
    assert {name: inputs[name] for name in FEATURES} == features_of(encounter())
    assert {inputs[name] for name in NUMBERS if name not in FEATURES} == {None}
    assert {inputs[name] for name in CATEGORIES} == {"?"}


@pytest.mark.parametrize("unknown", [None, "?"])
def test_an_unknown_field_is_treated_like_a_missing_one(unknown: str | None) -> None:
    left_out = inputs_of(features_of(encounter()))
    assert inputs_of(features_of(encounter()) | dict.fromkeys([*OPTIONAL, *PATIENT_HISTORY], unknown)) == left_out


def test_a_row_has_all_optional_fields_and_unknown_ones_are_none() -> None:
    fields = fields_of(encounter(payer_code="MC", glipizide="Down", insulin="Up", acarbose="Up"))
    assert set(fields) == {*FEATURES, *OPTIONAL}
    assert (fields["payer_code"], fields["medical_specialty"]) == ("MC", "Pediatrics-Endocrinology")
    assert (fields["discharge_disposition_id"], fields["diag_1"], fields["diag_2"]) == (25, "250.83", None)
    assert (fields["insulin"], fields["num_doses_up"], fields["num_doses_down"]) == ("Up", 2, 1)


def test_a_diagnosis_becomes_category_group_and_comorbidities() -> None:
    inputs = inputs_of(PATIENT)
    assert (inputs["diag_1_category"], inputs["diag_1_group"]) == ("428", "circulatory")
    assert (inputs["diag_2_category"], inputs["diag_2_group"]) == ("?", "?")
    assert (inputs["has_heart_failure"], inputs["has_cancer"]) == (1, None)


def test_leading_zeros_of_a_diagnosis_do_not_change_the_inputs() -> None:
    with_zeros, without = (
        inputs_of({**PATIENT, "diag_1": one, "diag_2": two, "last_diag_1": one})
        for one, two in (("038.9", "008"), ("38.9", "8"))
    )
    assert with_zeros == without
    assert (with_zeros["diag_1_category"], with_zeros["diag_2_category"]) == ("38", "8")


def test_a_comorbidity_is_absent_only_when_all_three_diagnoses_are_known() -> None:
    known = {**PATIENT, "diag_2": "V57"}
    assert inputs_of(known)["has_cancer"] is None
    assert inputs_of({**known, "diag_3": "250.83"})["has_cancer"] == 0


def test_without_any_diagnosis_comorbidities_are_unknown_and_not_absent() -> None:
    assert inputs_of(features_of(encounter()))["has_heart_failure"] is None


@pytest.mark.parametrize(("last", "same"), [("428.9", 1), ("427", 0), (None, None)])
def test_whether_the_main_diagnosis_is_that_of_the_last_stay_is_an_input(last: str | None, same: int | None) -> None:
    inputs = inputs_of({**PATIENT, "last_diag_1": last})
    assert inputs["same_diag_1_category"] == same
    assert inputs["last_diag_1_group"] == ("circulatory" if last else "?")


def test_identifiers_become_texts() -> None:
    assert inputs_of(PATIENT)["discharge_disposition_id"] == "3"


def test_neither_identifiers_nor_race_and_gender_are_inputs() -> None:
    assert not {"encounter_id", "patient_nbr", "row_number", "delivered_at", "race", "gender"} & set(INPUTS)


def test_the_fields_of_columns_that_a_row_lacks_are_left_out() -> None:
    without = ("admission_type_id", "diag_1", "payer_code")
    fields = fields_of({name: value for name, value in encounter().items() if name not in without})
    assert fields == {name: value for name, value in fields_of(encounter()).items() if name not in without}
