import pytest
from readmission.contract import DRUGS
from readmission.features import FEATURES, features_of

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


def test_an_encounters_features_come_in_that_order() -> None:
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
def test_a_count_is_taken_as_it_is(name: str) -> None:
    assert features_of(encounter(**{name: "37"}))[name] == 37


@pytest.mark.parametrize("drug", DRUGS)
@pytest.mark.parametrize("dose", ["Steady", "Up", "Down"])
def test_a_drug_counts_whatever_its_dose(drug: str, dose: str) -> None:
    assert features_of(encounter(**{drug: dose}))["num_diabetes_meds"] == 1


@pytest.mark.parametrize(("given", "count"), [((), 0), (DRUGS[:2], 2), (DRUGS, 23)], ids=["none", "two", "all"])
def test_the_drugs_that_are_given_are_counted(given: tuple[str, ...], count: int) -> None:
    assert features_of(encounter(**dict.fromkeys(given, "Steady")))["num_diabetes_meds"] == count
