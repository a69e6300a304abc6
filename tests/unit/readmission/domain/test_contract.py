from datetime import date

import pytest
from readmission.domain.contract import (
    COLUMNS,
    NAMES,
    IntegerRange,
    check_numbers,
    check_rows,
    column_order,
    parse_date,
    sql_name,
)
from readmission.errors import ColumnsMismatch, ValueOutOfRange

from tests.unit.readmission.builders import fields

WHOLE = [name for name, rule in COLUMNS.items() if isinstance(rule, IntegerRange)]


def _mismatch(header: list[str]) -> str:
    with pytest.raises(ColumnsMismatch) as refused:
        column_order(header, "some.csv")
    return str(refused.value)


def test_the_contract_has_the_50_columns_of_the_uci_table() -> None:
    assert len(NAMES) == 50


def test_columns_in_the_contracts_order_keep_their_indices() -> None:
    assert column_order(NAMES, "some.csv") == list(range(50))


def test_any_order_of_the_columns_is_accepted() -> None:
    header = list(reversed(NAMES))
    assert [header[index] for index in column_order(header, "some.csv")] == list(NAMES)


def test_every_missing_column_is_named() -> None:
    message = _mismatch([name for name in NAMES if name not in ("age", "A1Cresult")])
    assert "missing: 'age', 'A1Cresult'" in message
    assert "extra" not in message


def test_every_extra_column_is_named() -> None:
    assert "extra: 'ward', 'bed'" in _mismatch([*NAMES, "ward", "bed"])


def test_every_repeated_column_is_named() -> None:
    message = _mismatch([*NAMES, "gender", "age", "age"])
    assert "repeated: 'age', 'gender'" in message


def test_missing_extra_and_repeated_columns_are_reported_together() -> None:
    message = _mismatch(["Age" if name == "age" else name for name in NAMES] + ["race"])
    assert "missing: 'age'; extra: 'Age'; repeated: 'race'" in message


def test_a_header_without_any_known_column_is_not_repeated() -> None:
    assert _mismatch(["root:x:0", "secret"]).endswith(
        "the first line has none of the 50 columns of the UCI diabetes data"
    )


def test_a_column_mismatch_names_the_file() -> None:
    assert _mismatch([]).startswith("some.csv: ")


@pytest.mark.parametrize("name", WHOLE)
def test_both_ends_of_a_numbers_range_are_accepted(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, IntegerRange)
    for number in (rule.low, rule.high):
        check_numbers(fields(**{name: str(number)}), 1, "some.csv")


@pytest.mark.parametrize("name", WHOLE)
def test_a_number_above_its_range_is_rejected(name: str) -> None:
    rule = COLUMNS[name]
    assert isinstance(rule, IntegerRange)
    with pytest.raises(ValueOutOfRange):
        check_numbers(fields(**{name: str(rule.high + 1)}), 1, "some.csv")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("-1", id="negative"),
        pytest.param("+1", id="signed"),
        pytest.param("3.0", id="float"),
        pytest.param("1e2", id="exponent"),
        pytest.param("", id="empty"),
        pytest.param(" 3", id="space"),
        pytest.param("1_0", id="underscore"),
        pytest.param("٣", id="arabic-digit"),
        pytest.param("²", id="superscript"),
        pytest.param("?", id="missing-marker"),
        pytest.param("NULL", id="word"),
        pytest.param("366", id="too-large"),
        pytest.param("9" * 30, id="far-too-large"),
    ],
)
def test_an_invalid_number_is_rejected_with_row_column_and_value(value: str) -> None:
    with pytest.raises(ValueOutOfRange) as refused:
        check_numbers(fields(time_in_hospital=value), 17, "some.csv")
    assert f"some.csv, row 17, column 'time_in_hospital': {value!r}" in str(refused.value)


def test_a_long_value_is_truncated_in_the_message() -> None:
    with pytest.raises(ValueOutOfRange) as refused:
        check_numbers(fields(encounter_id="9" * 100_000), 1, "some.csv")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("A1Cresult", "a1cresult"),
        ("diabetesMed", "diabetesmed"),
        ("glyburide-metformin", "glyburide_metformin"),
        ("age", "age"),
    ],
)
def test_names_in_sql_are_lower_case_with_underscores(column: str, name: str) -> None:
    assert sql_name(column) == name


def test_no_two_columns_share_a_name_in_sql() -> None:
    assert len({sql_name(name) for name in NAMES}) == 50


def test_checking_many_rows_finds_the_first_invalid_one() -> None:
    rows = [fields() for _ in range(5)]
    check_rows(rows, 1, "some.csv")
    rows[3], rows[2] = fields(time_in_hospital="x"), fields(num_medications="-1")
    with pytest.raises(ValueOutOfRange, match=r"some\.csv, row 13, column 'num_medications': '-1'"):
        check_rows(rows, 11, "some.csv")


def test_the_optional_column_follows_those_of_the_contract_wherever_it_is() -> None:
    header = [NAMES[0], "discharge_date", *NAMES[1:]]
    assert [header[index] for index in column_order(header, "some.csv")] == [*NAMES, "discharge_date"]


def test_an_optional_column_must_not_be_repeated() -> None:
    with pytest.raises(ColumnsMismatch, match="repeated: 'discharge_date'"):
        column_order([*NAMES, "discharge_date", "discharge_date"], "some.csv")


@pytest.mark.parametrize("text", ["2024-02-29", "1999-12-31"])
def test_a_date_is_written_year_month_day(text: str) -> None:
    assert parse_date(text) == date.fromisoformat(text)


@pytest.mark.parametrize(
    "text", ["", "?", "2023-02-29", "29.02.2024", "2024-2-9", "20240229", "2024-W09-4", " 2024-02-29"]
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_date(text) is None
