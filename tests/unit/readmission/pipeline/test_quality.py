from collections.abc import Sequence
from typing import Any

import pytest
from readmission.domain.contract import COLUMNS, IntegerRange, OneOf, Text
from readmission.domain.features import fields_of, inputs_of
from readmission.errors import CleanRowInvalid
from readmission.pipeline.quality import CLEAN_COLUMNS, broken_rules, check_clean, reasons, report_of

from tests.unit.readmission.builders import batch, encounter

NUMBERS = [name for name, rule in COLUMNS.items() if isinstance(rule, IntegerRange)]
ONE_OF = [name for name, rule in COLUMNS.items() if isinstance(rule, OneOf)]
TEXT = [name for name, rule in COLUMNS.items() if isinstance(rule, Text)]


def _reasons(*encounters: dict[str, str], data_kind: str = "real") -> dict[int, str]:
    return reasons(broken_rules(batch(*encounters, data_kind=data_kind)))


def _each(name: str, values: Sequence[str]) -> list[dict[str, str]]:
    """One encounter per value of a field; they have different numbers unless the field is the number."""
    changes = [{"encounter_id": str(number), name: value} for number, value in enumerate(values, start=1)]
    return [encounter(**change) for change in changes]


def test_every_column_of_the_contract_is_checked_in_order() -> None:
    broken = broken_rules(batch(encounter(**dict.fromkeys(COLUMNS, ""))))
    assert [one.rule.partition(":")[0] for one in broken] == list(COLUMNS)


def test_valid_encounters_break_no_rule() -> None:
    assert broken_rules(batch(encounter(), encounter(encounter_id="1"))) == []


def test_a_batch_without_rows_breaks_no_rule() -> None:
    assert broken_rules(batch()) == []


def test_a_batch_without_a_column_is_an_error_of_the_caller() -> None:
    rows = batch(encounter())
    del rows["gender"]
    with pytest.raises(KeyError, match="gender"):
        broken_rules(rows)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_checked_against_both_ends_of_their_range(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, IntegerRange)
    wrong = [str(rule.low - 1), str(rule.high + 1), "1.0", "?", ""]
    found = _reasons(*_each(name, [str(rule.low), str(rule.high), *wrong]))
    assert found == {
        index: f"{name}: {value!r} is not a whole number from {rule.low} to {rule.high}"
        for index, value in enumerate(wrong, start=2)
    }


@pytest.mark.parametrize("name", ONE_OF)
def test_a_category_outside_its_list_names_the_column_and_the_value(name: str) -> None:
    found = _reasons(encounter(**{name: "Perhaps"}))
    assert found[0].startswith(f"{name}: 'Perhaps' is not one of ")


@pytest.mark.parametrize("name", ONE_OF)
def test_every_listed_category_is_valid_and_the_missing_marker_is_not(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, OneOf)
    assert list(_reasons(*_each(name, [*rule.values, "?"]))) == [len(rule.values)]


@pytest.mark.parametrize("name", TEXT)
def test_a_text_must_be_neither_empty_nor_too_long_and_may_be_the_missing_marker(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, Text)
    assert _reasons(*_each(name, ["?", "x" * rule.longest, "", "x" * (rule.longest + 1)])) == {
        2: f"{name}: 0 characters, not 1 to {rule.longest}",
        3: f"{name}: {rule.longest + 1} characters, not 1 to {rule.longest}",
    }


@pytest.mark.parametrize("name", ["diag_1", "diag_2", "diag_3"])
def test_a_diagnosis_is_an_icd_9_code_with_a_decimal_point_or_missing(name: str) -> None:
    valid = ["?", "8", "428", "250.83", "786.5", "V57", "V57.89", "E885", "E885.9"]
    wrong = [
        "",
        ".",
        ".5",
        "4280",
        "428.",
        "428.123",
        "V5",
        " 428",
        "banana",
        "428\n",
        "i50.9",
        "I5",
        "I50.",
        "I50.12345",
    ]
    found = _reasons(*_each(name, [*valid, *wrong]))
    assert found == {
        index: f"{name}: {value!r} is not an ICD-9-CM code such as 428, 250.83, V57 or E885, an ICD-10-CM code such as"
        " I50.9 or E119, or ?"
        for index, value in enumerate(wrong, start=len(valid))
    }


@pytest.mark.parametrize("value", ["E119", "E785", "E031", "E11.9", "I50.9", "N18.6", "Z794"])
def test_a_diagnosis_in_icd_10_is_valid_beside_others_of_its_version(value: str) -> None:
    assert _reasons(encounter(diag_1=value, diag_2="I10")) == {}


MISSING_VERSION = "can be ICD-9-CM or ICD-10-CM; diag_version must say which: icd9 or icd10"


def test_diagnoses_of_two_versions_are_both_named() -> None:
    assert _reasons(encounter(diag_1="428", diag_2="E119")) == {
        0: "diag_1: '428' is an ICD-9-CM code, but there are ICD-10-CM codes too; diag_2: 'E119' is an ICD-10-CM code,"
        " but there are ICD-9-CM codes too"
    }


def test_a_code_that_fits_both_versions_is_icd_9_unless_icd_10_is_delivered_too() -> None:
    either = encounter(encounter_id="2", diag_1="V57", diag_2="E885", diag_3="?")
    assert _reasons(either, encounter(diag_1="428")) == {}
    reason = f"diag_1: 'V57' {MISSING_VERSION}; diag_2: 'E885' {MISSING_VERSION}"
    assert _reasons(either, encounter(diag_1="E119")) == {0: reason}
    assert _reasons(encounter(diag_1="V57", diag_2="E119")) == {0: f"diag_1: 'V57' {MISSING_VERSION}"}
    assert _reasons(encounter(diag_1="V57", diag_2="428"), encounter(encounter_id="2", diag_1="E119")) == {}


def test_a_row_can_state_the_version_of_its_diagnoses() -> None:
    either = encounter(diag_1="V57.5XXA", diag_2="V575", diag_3="E119")
    other = encounter(encounter_id="2", diag_1="V57", diag_2="I10")
    assert reasons(broken_rules(batch(either, other, versions=["icd10", "icd9"]))) == {
        1: "diag_2: 'I10' is not an ICD-9-CM code, although diag_version is icd9"
    }


def test_an_unknown_version_goes_to_quarantine() -> None:
    broken = broken_rules(batch(encounter(), versions=["ICD-10"]))
    assert reasons(broken) == {0: "diag_version: 'ICD-10' is not one of icd10, icd9"}


def test_diagnoses_without_a_single_equivalent_break_no_rule_and_count_as_missing() -> None:
    codes = ("U07.1", "E11", "E119", "?")
    rows = batch(
        *(encounter(encounter_id=str(n), diag_1="I10", diag_2=code, diag_3="I10") for n, code in enumerate(codes, 1))
    )
    assert broken_rules(rows) == []
    report = report_of(rows, [])
    assert [report["missing"][name] for name in ("diag_1", "diag_2", "diag_3")] == [0, 3, 0]
    assert report["profile"]["missing"]["diag_2"] == 3


def test_not_measured_is_a_valid_category() -> None:
    assert _reasons(encounter(max_glu_serum="None", A1Cresult="None")) == {}


def test_all_broken_rules_of_a_row_are_listed_in_the_order_of_the_columns() -> None:
    found = _reasons(encounter(), encounter(encounter_id="2", readmitted="YES", gender="?", age="55"))
    assert [sentence.partition(":")[0] for sentence in found[1].split("; ")] == ["gender", "age", "readmitted"]


def test_a_long_value_is_truncated() -> None:
    assert len(_reasons(encounter(gender="x" * 100_000))[0]) < 200


def test_the_last_row_of_an_encounter_in_a_batch_counts() -> None:
    found = _reasons(encounter(), encounter(encounter_id="5"), encounter(race="?"), encounter(race="Asian"))
    said = "encounter_id: 2278392 occurs again in row 4 of the same batch, which is the one that counts"
    assert found == {0: said, 2: said}


def test_an_invalid_row_does_not_replace_a_valid_row_of_the_same_encounter() -> None:
    assert list(_reasons(encounter(), encounter(gender="?"))) == [1]


def test_real_and_synthetic_rows_are_different_encounters() -> None:
    rows = batch(encounter(), encounter())
    rows["data_kind"] = ["real", "synthetic"]
    assert broken_rules(rows) == []


def test_rules_are_counted_without_the_values_that_break_them() -> None:
    rows = batch(*_each("gender", ["?", "X", "Female"]))
    (broken,) = broken_rules(rows)
    assert broken.rule == "gender: not one of Female, Male, Unknown/Invalid"
    assert report_of(rows, [broken])["rules"] == {broken.rule: 2}


def test_a_report_has_the_numbers_of_the_first_rows_that_break_a_rule() -> None:
    rows = batch(*_each("gender", ["Female", *["?"] * 7]))
    (broken,) = broken_rules(rows)
    assert report_of(rows, [broken])["first_rows"] == {broken.rule: [2, 3, 4, 5, 6]}


def test_a_report_counts_rows_classes_and_splits_of_the_clean_rows() -> None:
    rows = batch(*_each("readmitted", ["NO", "<30", "NO", "never"]))
    rows["split"][1] = "test"
    report = report_of(rows, broken_rules(rows))
    assert (report["rows"], report["cleaned"], report["quarantined"]) == (4, 3, 1)
    assert report["classes"] == {"NO": 2, ">30": 0, "<30": 1}
    assert report["splits"] == {"train": 2, "validation": 0, "test": 1}


def test_a_row_that_breaks_two_rules_is_quarantined_once() -> None:
    rows = batch(encounter(gender="?", age="?"))
    report = report_of(rows, broken_rules(rows))
    assert (report["quarantined"], len(report["rules"])) == (1, 2)


@pytest.mark.parametrize(
    ("name", "value", "missing"),
    [
        ("weight", "?", 1),
        ("weight", "[75-100)", 0),
        ("A1Cresult", "None", 1),
        ("A1Cresult", "Norm", 0),
        ("max_glu_serum", "None", 1),
        ("race", "None", 0),
    ],
)
def test_a_report_counts_what_is_missing_or_was_not_measured(name: str, value: str, missing: int) -> None:
    rows = batch(encounter(**{name: value}))
    report = report_of(rows, broken_rules(rows))
    assert list(report["missing"]) == list(COLUMNS)
    assert report["missing"][name] == missing


def test_the_report_on_a_batch_without_rows_is_all_zeros() -> None:
    rows = batch()
    report = report_of(rows, broken_rules(rows))
    assert (report["rows"], report["rules"]) == (0, {})
    assert set(report["missing"].values()) | set(report["classes"].values()) | set(report["splits"].values()) == {0}


def _clean(**changes: object) -> list[object]:
    """The values of a clean row with some changes."""
    fields: dict[str, Any] = {"data_kind": "real", "split": "train", **encounter(), **inputs_of(fields_of(encounter()))}
    return [(fields | changes)[name] for name in CLEAN_COLUMNS]


def test_clean_rows_derived_from_valid_rows_are_valid() -> None:
    check_clean([_clean(), _clean(encounter_id="1"), _clean(data_kind="synthetic")], "b1")
    check_clean([], "b1")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("age_numeric", 121, "not a whole number from 0 to 120"),
        ("age_numeric", 55.0, "not a whole number from 0 to 120"),
        ("age_numeric", None, "not a whole number from 0 to 120"),
        ("split", "holdout", "not one of test, train, validation"),
        ("data_kind", "imagined", "not one of real, synthetic"),
        ("readmitted", "?", "not one of <30, >30, NO"),
        ("race", "", "not 1 to 40 characters"),
        ("encounter_id", "0", "not a whole number from 1 to 9223372036854775807"),
    ],
)
def test_an_invalid_clean_row_is_an_error_with_batch_column_value_and_rule(name: str, value: object, rule: str) -> None:
    with pytest.raises(CleanRowInvalid) as raised:
        check_clean([_clean(encounter_id="1"), _clean(**{name: value})], "b1")
    assert f"batch b1: a clean row is invalid, which is a bug: {name}: {value!r}: {rule}" in str(raised.value)


def test_a_value_of_the_wrong_type_is_found_beside_an_equal_one_of_the_right_type() -> None:
    with pytest.raises(CleanRowInvalid, match=r"age_numeric: 55\.0: not a whole number"):
        check_clean([_clean(encounter_id="1", age_numeric=55), _clean(age_numeric=55.0)], "b1")


def test_an_unknown_comorbidity_is_valid() -> None:
    check_clean([_clean(has_cancer=None), _clean(encounter_id="1", has_cancer=1)], "b1")


def test_every_invalid_column_of_the_clean_rows_is_listed_with_its_first_invalid_value() -> None:
    with pytest.raises(CleanRowInvalid, match=r"gender: '\?': not one of .*; age_numeric: 555: not a whole number"):
        check_clean([_clean(), _clean(encounter_id="1", age_numeric=555, gender="?"), _clean(gender="x")], "b1")


def test_a_duplicate_encounter_among_the_clean_rows_is_an_error() -> None:
    with pytest.raises(CleanRowInvalid, match="encounter_id: '2278392': not unique"):
        check_clean([_clean(), _clean()], "b1")


def test_a_discharge_date_must_be_a_date_up_to_the_day_of_the_delivery() -> None:
    encounters = [encounter(encounter_id=str(number)) for number in range(1, 6)]
    rows = batch(*encounters, dates=["2026-03-01", "", "1.3.2026", "2026-03-02", "2024-02-29"])
    assert reasons(broken_rules(rows)) == {
        1: "discharge_date: '' is not a date in the form YYYY-MM-DD",
        2: "discharge_date: '1.3.2026' is not a date in the form YYYY-MM-DD",
        3: "discharge_date: 2026-03-02 is after the day of the delivery, 2026-03-01",
    }


def test_a_delivery_without_discharge_dates_breaks_no_rule_on_them() -> None:
    assert broken_rules(batch(encounter())) == []


def test_duplicates_count_among_the_rows_of_a_report() -> None:
    report = report_of(batch(encounter()), [], duplicates=2)
    assert (report["rows"], report["cleaned"], report["duplicates"]) == (3, 1, 2)


def test_only_valid_rows_are_in_the_profile() -> None:
    rows = batch(encounter(num_medications="10"), encounter(encounter_id="1", num_medications="30", gender="x"))
    profile = report_of(rows, broken_rules(rows))["profile"]
    assert (profile["rows"], profile["numbers"]["num_medications"]) == (1, {"sum": 10, "squares": 100})
