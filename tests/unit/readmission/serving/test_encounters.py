"""The two forms of an encounter: 14 fields and more, or a row of the UCI file."""

from typing import Any

import pytest
from readmission.domain.contract import DRUGS, MISSING
from readmission.domain.features import DOSED, FEATURES, PATIENT_HISTORY, inputs_of
from readmission.http.problems import Refused
from readmission.serving.encounters import Patient, encounter_of, fields_of_encounter
from readmission.serving.schemas import COMPLETE_EXAMPLE, EXAMPLE, IGNORED, RAW_EXAMPLE, RAW_REQUIRED

TEXTS = ("payer_code", "medical_specialty", "weight", "diag_1", "diag_2", "diag_3", "last_diag_1")


def _wrong(document: Any) -> dict[str, str]:
    with pytest.raises(Refused) as caught:
        fields_of_encounter(document)
    assert caught.value.status == 422
    return {error.field: error.message for error in caught.value.errors}


def test_the_raw_example_has_the_14_features_of_the_other_example() -> None:
    fields = fields_of_encounter(RAW_EXAMPLE)
    assert {name: fields[name] for name in FEATURES} == EXAMPLE


def test_a_raw_encounter_is_encoded_as_a_training_row_is() -> None:
    row = {"age": "[70-80)", "max_glu_serum": ">300", "A1Cresult": "Norm", "change": "No", "diabetesMed": "No"}
    doses = {"insulin": "Up", "metformin": "Up", "miglitol": "Down"}
    fields = fields_of_encounter({**RAW_EXAMPLE, **dict.fromkeys(DRUGS, "No"), **row, **doses, "diag_1": "250.83"})
    expected = {
        "age_numeric": 75,
        "max_glu_serum_encoded": 3,
        "a1cresult_encoded": 1,
        "change_encoded": 0,
        "diabetesmed_encoded": 0,
        "num_diabetes_meds": 3,
        "num_doses_up": 2,
        "num_doses_down": 1,
        "insulin": "Up",
        "diag_1": "250.83",
    }
    assert {name: fields[name] for name in expected} == expected


def test_the_numbers_of_a_raw_encounter_may_be_their_texts() -> None:
    known = {**RAW_EXAMPLE, "prior_encounters": 2, "last_number_inpatient": 1}
    texts = {name: str(value) for name, value in known.items()}
    assert fields_of_encounter(texts) == fields_of_encounter(known)


@pytest.mark.parametrize("value", ["", " 3", "3.0", "+3", "-1", "1e1", "٣", "9" * 30, "999999", 3.0, True, None, [3]])
def test_no_other_text_or_value_is_a_number_of_a_raw_encounter(value: Any) -> None:
    assert list(_wrong({**RAW_EXAMPLE, "time_in_hospital": value})) == ["time_in_hospital"]


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("value", ["1", True, False, 1.0])
def test_texts_booleans_and_fractions_are_no_whole_numbers_of_the_14(name: str, value: Any) -> None:
    assert list(_wrong({**EXAMPLE, name: value})) == [name]


@pytest.mark.parametrize("name", RAW_REQUIRED)
def test_a_raw_field_from_which_a_feature_is_computed_is_required(name: str) -> None:
    assert _wrong({other: value for other, value in RAW_EXAMPLE.items() if other != name}) == {name: "is required"}


def test_the_other_raw_fields_may_be_left_out_or_null() -> None:
    least = {name: RAW_EXAMPLE[name] for name in RAW_REQUIRED}
    fields = fields_of_encounter(least)
    assert {name: fields[name] for name in FEATURES} == EXAMPLE
    assert all(fields.get(name) is None for name in ("admission_type_id", "diag_1", "weight"))
    assert fields_of_encounter({**least, "admission_type_id": None, "diag_1": None}) == fields


def test_ignored_raw_fields_change_nothing() -> None:
    more = dict.fromkeys(IGNORED, "anything") | {"gender": None}
    assert fields_of_encounter({**RAW_EXAMPLE, **more}) == fields_of_encounter(RAW_EXAMPLE)


def test_a_raw_encounter_may_have_the_history() -> None:
    history = {name: COMPLETE_EXAMPLE[name] for name in PATIENT_HISTORY}
    fields = fields_of_encounter({**RAW_EXAMPLE, **history})
    assert {name: fields[name] for name in PATIENT_HISTORY} == history


@pytest.mark.parametrize("name", ["age", "A1Cresult", "insulin", "miglitol", "change"])
def test_an_invalid_category_is_refused_with_the_valid_ones(name: str) -> None:
    (message,) = _wrong({**RAW_EXAMPLE, name: "x87654321"}).values()
    assert str(RAW_EXAMPLE[name]) in message and "87654321" not in message


@pytest.mark.parametrize("example", [RAW_EXAMPLE, EXAMPLE], ids=["raw", "14"])
def test_a_question_mark_is_an_unknown_text(example: dict[str, Any]) -> None:
    fields = fields_of_encounter({**example, **dict.fromkeys(TEXTS, MISSING)})
    assert all(fields[name] in (None, MISSING) for name in TEXTS)


@pytest.mark.parametrize("example", [RAW_EXAMPLE, EXAMPLE], ids=["raw", "14"])
@pytest.mark.parametrize("name", [*TEXTS, *DOSED])
def test_an_empty_or_long_text_is_refused(example: dict[str, Any], name: str) -> None:
    for value in ("", "x" * 100, 5):
        assert list(_wrong({**example, name: value})) == [name]


def test_errors_name_only_fields_of_the_format_in_use() -> None:
    assert "age" not in _wrong({"age_numeric": 55})
    assert "age_numeric" not in _wrong({"age": "[50-60)"})


def test_mixed_formats_are_refused_by_field() -> None:
    assert set(_wrong({"age": "[50-60)", "age_numeric": 55, "time_in_hospital": 3})) == {"age", "age_numeric"}


BOTH = pytest.mark.parametrize("example", [RAW_EXAMPLE, EXAMPLE], ids=["raw", "14"])
WHOSE = {"patient_nbr": 87654321, "encounter_id": 12345, "site": "north"}


@BOTH
def test_an_encounter_may_say_whose_it_is_and_its_fields_do_not(example: dict[str, Any]) -> None:
    asked = encounter_of({**example, **WHOSE})
    assert (asked.patient, asked.fields) == (Patient("north", 87654321, 12345), fields_of_encounter(example))


@BOTH
def test_without_a_site_the_numbers_are_of_the_default_one(example: dict[str, Any]) -> None:
    assert encounter_of({**example, "patient_nbr": 87654321}).patient == Patient("default", 87654321, None)


@BOTH
@pytest.mark.parametrize("name", PATIENT_HISTORY)
def test_a_history_that_is_given_is_not_looked_up(example: dict[str, Any], name: str) -> None:
    history = {"prior_encounters": 2, name: COMPLETE_EXAMPLE[name]}
    asked = encounter_of({**example, **WHOSE, **history})
    assert asked.patient is None and {name: asked.fields[name] for name in history} == history


@BOTH
@pytest.mark.parametrize("unknown", [{"prior_encounters": None}, {"last_diag_1": "?"}, dict.fromkeys(PATIENT_HISTORY)])
def test_an_unknown_history_is_looked_up(example: dict[str, Any], unknown: dict[str, Any]) -> None:
    assert encounter_of({**example, **WHOSE, **unknown}).patient


@pytest.mark.parametrize("unknown", [None, "", "?"])
@pytest.mark.parametrize("name", WHOSE)
def test_in_a_raw_encounter_an_identifier_may_be_unknown(name: str, unknown: Any) -> None:
    asked = encounter_of({**RAW_EXAMPLE, "patient_nbr": "8", "encounter_id": "9", "site": "10", name: unknown})
    left = {
        "patient_nbr": None,
        "encounter_id": Patient("10", 8, None),
        "site": Patient("default", 8, 9),
    }
    assert asked.patient == left[name]


@BOTH
@pytest.mark.parametrize("name", ["patient_nbr", "encounter_id"])
@pytest.mark.parametrize("value", [0, -1, 2**63, 1.5, True, "x87654321", "87654321 "])
def test_an_invalid_number_is_refused_without_repeating_it(example: dict[str, Any], name: str, value: Any) -> None:
    assert _wrong({**example, name: value}) == {name: f"must be a whole number from 1 to {2**63 - 1}"}


@BOTH
@pytest.mark.parametrize("value", ["North", "-north", "x" * 41, "north ward", 1])
def test_an_invalid_site_is_refused(example: dict[str, Any], value: Any) -> None:
    (message,) = _wrong({**example, "site": value}).values()
    assert message.startswith("must be 1 to 40 lower-case letters")


def test_a_patients_number_is_in_no_text_of_the_patient() -> None:
    assert repr(Patient("north", 87654321, 12345)) == str(Patient("north", 87654321, 12345)) == "Patient(site='north')"


def test_a_long_field_name_is_shortened() -> None:
    assert list(_wrong({**EXAMPLE, "x" * 10_000: 1})) == ["x" * 64]


def test_more_early_readmissions_than_stays_are_refused() -> None:
    history = {"prior_encounters": 2, "prior_early_readmissions": 2}
    assert fields_of_encounter({**EXAMPLE, **history})["prior_encounters"] == 2
    wrong = _wrong({**EXAMPLE, **history, "prior_early_readmissions": 3})
    assert set(wrong) == {"prior_encounters", "prior_early_readmissions"}


@pytest.mark.parametrize(
    "name", [name for name in PATIENT_HISTORY if name.startswith("last_")] + ["prior_days_in_hospital"]
)
@pytest.mark.parametrize("example", [RAW_EXAMPLE, EXAMPLE], ids=["raw", "14"])
def test_a_previous_stay_of_a_patient_without_one_is_refused(example: dict[str, Any], name: str) -> None:
    told = {**example, name: COMPLETE_EXAMPLE[name]}
    assert fields_of_encounter({**told, "prior_encounters": 1})
    assert set(_wrong({**told, "prior_encounters": 0})) == {name, "prior_encounters"}


def test_a_first_stay_is_valid() -> None:
    first = {"prior_encounters": 0, "prior_early_readmissions": 0, "prior_days_in_hospital": 0}
    assert fields_of_encounter({**EXAMPLE, **first, "last_diag_1": None})["prior_encounters"] == 0


def test_more_changed_doses_than_drugs_are_refused() -> None:
    assert fields_of_encounter({**EXAMPLE, "num_doses_up": 1, "num_doses_down": 1, "num_diabetes_meds": 2})
    wrong = _wrong({**EXAMPLE, "num_doses_up": 2, "num_doses_down": 1, "num_diabetes_meds": 2})
    assert set(wrong) == {"num_doses_up", "num_doses_down", "num_diabetes_meds"}


@pytest.mark.parametrize("code", [11, 13, 14, 19, 20, 21])
@pytest.mark.parametrize("example", [EXAMPLE, RAW_EXAMPLE], ids=["prepared", "raw"])
def test_a_stay_that_ends_in_death_or_hospice_is_not_forecast(example: dict[str, Any], code: int) -> None:
    (message,) = _wrong({**example, "discharge_disposition_id": code}).values()
    assert message.endswith(", so readmission is not forecast")


def test_the_complete_example_is_consistent() -> None:
    given = [COMPLETE_EXAMPLE[name] for name in DOSED if COMPLETE_EXAMPLE[name] != "No"]
    assert len(given) == COMPLETE_EXAMPLE["num_diabetes_meds"]
    assert given.count("Up") == COMPLETE_EXAMPLE["num_doses_up"]
    assert COMPLETE_EXAMPLE["change_encoded"] == 1 and fields_of_encounter(COMPLETE_EXAMPLE)


@pytest.mark.parametrize("code", ["4280", "banana", " 428", "", "e119"])
def test_a_text_that_is_no_code_is_refused(code: str) -> None:
    assert _wrong({**EXAMPLE, "diag_2": code}) == {
        "diag_2": "must be an ICD-9-CM code such as 428, 250.83, V57 or E885, an ICD-10-CM code such as I50.9 or E119,"
        " or ?"
    }


@pytest.mark.parametrize(
    ("code", "same"),
    [("E119", "250.0"), ("E785", "272"), ("E11.9", "250.0"), ("I50.9", "428"), ("I10", "401"), ("S72001A", "820")],
)
@pytest.mark.parametrize("example", [EXAMPLE, RAW_EXAMPLE], ids=["prepared", "raw"])
def test_an_icd_10_code_is_read_as_its_equivalent_in_icd_9(example: dict[str, Any], code: str, same: str) -> None:
    others = {"diag_2": "?", "diag_3": "?"}
    in_icd10 = inputs_of(fields_of_encounter({**example, **others, "diag_1": code, "last_diag_1": code}))
    assert in_icd10 == inputs_of(fields_of_encounter({**example, **others, "diag_1": same, "last_diag_1": same}))
    assert in_icd10["diag_1_category"] == same.partition(".")[0] and in_icd10["same_diag_1_category"] == 1


def test_the_version_decides_what_a_code_means_that_fits_both() -> None:
    # A fall on stairs, or a disorder of plasma proteins.
    meant = [fields_of_encounter({**EXAMPLE, "diag_1": "E880", **version})["diag_1"] for version in _VERSIONS]
    assert meant == ["E880", "E880", "273"]


_VERSIONS: list[dict[str, Any]] = [{}, {"diag_version": "icd9"}, {"diag_version": "icd10"}]


@pytest.mark.parametrize(
    ("diagnoses", "wrong"),
    [
        ({"diag_1": "V57", "diag_2": "I50.9"}, {"diag_1": "diagnosis_version_missing"}),
        (
            {"diag_1": "428", "diag_2": "E119", "diag_3": "V57"},
            {"diag_1": "diagnosis_versions_mixed", "diag_2": "diagnosis_versions_mixed"},
        ),
        ({"diag_1": "428", "diag_version": "icd10"}, {"diag_1": "diagnosis_of_other_version"}),
        ({"last_diag_1": "I10", "diag_version": "icd9"}, {"last_diag_1": "diagnosis_of_other_version"}),
        ({"diag_3": "E11"}, {"diag_3": "icd10_ambiguous"}),
        ({"diag_3": "U07.1"}, {"diag_3": "icd10_unmapped"}),
        ({"diag_version": "ICD-10"}, {"diag_version": "one_of"}),
    ],
    ids=["fits both", "mixed", "not icd10", "not icd9", "too short", "unmapped", "unknown version"],
)
@pytest.mark.parametrize("raw", [False, True], ids=["prepared", "raw"])
def test_diagnoses_that_cannot_be_read_are_named_and_not_repeated(
    raw: bool, diagnoses: dict[str, str], wrong: dict[str, str]
) -> None:
    example = {**RAW_EXAMPLE, "diag_1": "?", "diag_2": "?", "diag_3": "?"} if raw else EXAMPLE
    with pytest.raises(Refused) as caught:
        fields_of_encounter({**example, **diagnoses})
    assert {error.field: error.code for error in caught.value.errors} == wrong
    values = [value for name, value in diagnoses.items() if name != "diag_version"]
    assert not any(value in error.message for error in caught.value.errors for value in values)


def test_a_raw_row_may_leave_the_version_empty() -> None:
    assert fields_of_encounter({**RAW_EXAMPLE, "diag_version": ""}) == fields_of_encounter(RAW_EXAMPLE)


@pytest.mark.parametrize("code", ["E000", "E030", "E800", "E849", "E878", "E885.9", "E999", "V57", "V58.67"])
def test_the_external_causes_of_icd_9_are_accepted(code: str) -> None:
    assert fields_of_encounter({**EXAMPLE, "diag_1": code})
