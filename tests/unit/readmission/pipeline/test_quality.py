from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from pandera.errors import SchemaErrors
from readmission.domain.contract import COLUMNS, IntegerRange, OneOf, Text
from readmission.domain.features import fields_of, inputs_of
from readmission.errors import CleanRowInvalid
from readmission.pipeline.quality import CLEAN_COLUMNS, RAW_SCHEMA, broken_rules, check_clean, reasons, report_of

from tests.unit.readmission.builders import batch, encounter

WHOLE = [name for name, rule in COLUMNS.items() if isinstance(rule, IntegerRange)]
ONE_OF = [name for name, rule in COLUMNS.items() if isinstance(rule, OneOf)]
TEXT = [name for name, rule in COLUMNS.items() if isinstance(rule, Text)]


def _reasons(*encounters: dict[str, str], data_kind: str = "real") -> dict[int, str]:
    return reasons(broken_rules(batch(*encounters, data_kind=data_kind)))


def _each(name: str, values: Sequence[str]) -> list[dict[str, str]]:
    """Encounters that differ in one field, and in their number where that is not it."""
    changes = [{"encounter_id": str(number), name: value} for number, value in enumerate(values, start=1)]
    return [encounter(**change) for change in changes]


def test_the_raw_schema_has_the_contracts_columns() -> None:
    assert list(RAW_SCHEMA.columns) == list(COLUMNS)


def test_valid_encounters_break_no_rule() -> None:
    assert broken_rules(batch(encounter(), encounter(encounter_id="1"))) == []


def test_a_batch_without_rows_breaks_no_rule() -> None:
    assert broken_rules(batch(encounter()).iloc[:0]) == []


def test_a_table_that_lacks_a_column_is_no_matter_of_its_rows() -> None:
    with pytest.raises(SchemaErrors, match="gender"):
        broken_rules(batch(encounter()).drop(columns="gender"))


@pytest.mark.parametrize("name", WHOLE)
def test_numbers_are_held_to_both_ends_of_their_range(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, IntegerRange)
    wrong = [str(rule.low - 1), str(rule.high + 1), "1.0", "?", ""]
    found = _reasons(*_each(name, [str(rule.low), str(rule.high), *wrong]))
    assert found == {
        place: f"{name}: {value!r} is not a whole number from {rule.low} to {rule.high}"
        for place, value in enumerate(wrong, start=2)
    }


@pytest.mark.parametrize("name", ONE_OF)
def test_a_category_outside_its_list_names_the_column_and_the_value(name: str) -> None:
    found = _reasons(encounter(**{name: "Perhaps"}))
    assert found[0].startswith(f"{name}: 'Perhaps' is not one of ")


@pytest.mark.parametrize("name", ONE_OF)
def test_every_value_of_a_category_is_valid_and_the_missing_marker_is_none(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, OneOf)
    assert list(_reasons(*_each(name, [*rule.values, "?"]))) == [len(rule.values)]


@pytest.mark.parametrize("name", TEXT)
def test_a_text_is_neither_empty_nor_too_long_and_may_be_the_missing_marker(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, Text)
    assert _reasons(*_each(name, ["?", "x" * rule.longest, "", "x" * (rule.longest + 1)])) == {
        2: f"{name}: 0 characters, not 1 to {rule.longest}",
        3: f"{name}: {rule.longest + 1} characters, not 1 to {rule.longest}",
    }


@pytest.mark.parametrize("name", ["diag_1", "diag_2", "diag_3"])
def test_a_diagnosis_is_an_icd_9_code_with_its_point_or_missing(name: str) -> None:
    valid = ["?", "8", "428", "250.83", "786.5", "V57", "V57.89", "E885", "E885.9"]
    wrong = ["", ".", ".5", "4280", "428.", "428.123", "I50.9", "V5", "E88", " 428", "v57", "banana", "428\n"]
    found = _reasons(*_each(name, [*valid, *wrong]))
    assert found == {
        place: f"{name}: {value!r} is not an ICD-9 code such as 428, 250.83, V57 or E885, or ?"
        for place, value in enumerate(wrong, start=len(valid))
    }


def test_not_measured_is_a_category_and_no_missing_value() -> None:
    assert _reasons(encounter(max_glu_serum="None", A1Cresult="None")) == {}


def test_every_broken_rule_of_a_row_is_told_in_the_order_of_the_columns() -> None:
    found = _reasons(encounter(), encounter(encounter_id="2", readmitted="YES", gender="?", age="55"))
    assert [sentence.partition(":")[0] for sentence in found[1].split("; ")] == ["gender", "age", "readmitted"]


def test_a_long_value_is_cut_to_a_readable_length() -> None:
    assert len(_reasons(encounter(gender="x" * 100_000))[0]) < 200


def test_of_two_rows_of_an_encounter_in_a_batch_the_last_counts() -> None:
    found = _reasons(encounter(), encounter(encounter_id="5"), encounter(race="?"), encounter(race="Asian"))
    said = "encounter_id: 2278392 occurs again in row 4 of the same batch, which is the one that counts"
    assert found == {0: said, 2: said}


def test_an_invalid_row_replaces_no_valid_one_of_its_encounter() -> None:
    assert list(_reasons(encounter(), encounter(gender="?"))) == [1]


def test_rows_of_another_kind_are_other_encounters() -> None:
    rows = pd.concat([batch(encounter()), batch(encounter(), data_kind="synthetic")], ignore_index=True)
    assert broken_rules(rows) == []


def test_rules_are_counted_without_the_values_that_break_them() -> None:
    rows = batch(*_each("gender", ["?", "X", "Female"]))
    (broken,) = broken_rules(rows)
    assert broken.rule == "gender: not one of Female, Male, Unknown/Invalid"
    assert report_of(rows, [broken])["rules"] == {broken.rule: 2}


def test_a_report_counts_rows_classes_and_splits_of_the_clean_rows() -> None:
    rows = batch(*_each("readmitted", ["NO", "<30", "NO", "never"]))
    rows.loc[1, "split"] = "test"
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


def test_the_report_on_a_batch_without_rows_counts_nothing() -> None:
    rows = batch(encounter()).iloc[:0]
    report = report_of(rows, broken_rules(rows))
    assert (report["rows"], report["rules"]) == (0, {})
    assert set(report["missing"].values()) | set(report["classes"].values()) | set(report["splits"].values()) == {0}


def _clean(**changes: object) -> list[object]:
    """The values of a clean row, some of them changed."""
    fields: dict[str, Any] = {"data_kind": "real", "split": "train", **encounter(), **inputs_of(fields_of(encounter()))}
    return [(fields | changes)[name] for name in CLEAN_COLUMNS]


def test_rows_that_are_made_of_valid_ones_keep_the_clean_schema() -> None:
    check_clean([_clean(), _clean(encounter_id="1"), _clean(data_kind="synthetic")], "b1")
    check_clean([], "b1")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("age_numeric", 121, "not a whole number from 0 to 120"),
        ("age_numeric", 55.0, "not a whole number from 0 to 120"),
        ("age_numeric", None, "not_nullable"),
        ("split", "holdout", "not one of test, train, validation"),
        ("data_kind", "imagined", "not one of real, synthetic"),
        ("readmitted", "?", "not one of <30, >30, NO"),
        ("race", "", "not 1 to 40 characters"),
        ("encounter_id", "0", "not a whole number from 1 to 9223372036854775807"),
    ],
)
def test_a_clean_row_that_breaks_its_schema_is_an_error_with_batch_column_value_and_rule(
    name: str, value: object, rule: str
) -> None:
    with pytest.raises(CleanRowInvalid) as raised:
        check_clean([_clean(encounter_id="1"), _clean(**{name: value})], "b1")
    assert f"batch b1: a clean row breaks its schema, which is a bug: {name}: {value!r}: {rule}" in str(raised.value)


def test_an_encounter_that_is_twice_among_the_clean_rows_is_an_error() -> None:
    with pytest.raises(CleanRowInvalid, match="encounter_id: '2278392'"):
        check_clean([_clean(), _clean()], "b1")
