"""A hospital's own file, read by a mapping."""

import io
import tracemalloc
from datetime import date
from typing import Any

import pytest
from readmission.domain.contract import NAMES, OPTIONAL_COLUMNS
from readmission.errors import ColumnsMismatch, RowMalformed, SourceMalformed
from readmission.pipeline import mapping_file, quality, synthetic, tables
from readmission.pipeline.source_check import columns_of

from tests import hospital_file
from tests.hospital_file import HEADER, spreadsheet
from tests.unit.readmission.builders import encounter, fields, table

ROWS = list(synthetic.rows(300, seed=5))
LINES = list(hospital_file.cells(ROWS))


def read(content: bytes, mapping: bytes | str) -> list[list[str]]:
    text = mapping.encode() if isinstance(mapping, str) else mapping
    return list(tables.read(io.BytesIO(content), "stays.csv", 1 << 30, mapping_file.parse(text, "m.yaml")))


def changed(column: str, text: str) -> bytes:
    """The hospital's file with one row, of which one cell is changed."""
    line = list(LINES[0])
    line[HEADER.index(column)] = text
    return spreadsheet([line])


def reason(row: list[str]) -> str:
    """Why *clean* puts the row into quarantine; empty if it does not."""
    return quality.reasons(quality.broken_rules(columns_of([row], [1], date(2026, 3, 1)))).get(0, "")


def one(mapping: str, **columns: str) -> dict[str, str]:
    """The contract's row that the mapping makes of a valid row with further columns."""
    header = [*NAMES, *columns]
    (row,) = read(table([[*fields(), *columns.values()]], header), mapping)
    return dict(zip((*NAMES, *OPTIONAL_COLUMNS), row, strict=False))


def test_the_documented_spreadsheet_gives_the_rows_of_the_original() -> None:
    assert read(spreadsheet(LINES), hospital_file.mapping()) == ROWS


def test_memory_does_not_grow_with_the_file() -> None:
    content = io.BytesIO(spreadsheet(LINES * 40))
    known = mapping_file.parse(hospital_file.mapping(), "m.yaml")
    tracemalloc.start()
    try:
        assert sum(1 for _ in tables.read(content, "stays.csv", 1 << 30, known)) == 12_000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("column", "text", "says"),
    [
        ("Entlassung", "31.02.2003", "time_in_hospital: Entlassung '31.02.2003' is not a date in the form %d.%m.%Y"),
        ("Entlassung", "", "time_in_hospital: Entlassung '' is not a date in the form %d.%m.%Y"),
        ("Entlassung", "01.01.2002", "time_in_hospital: Entlassung 2002-01-01 is before Aufnahme 2003-01-01"),
        ("Entlassung", "01.01.2013", "time_in_hospital: 3653 days from 2003-01-01 to 2013-01-01 are more than 365"),
        ("Geburtsdatum", "01.01.2020", "age: Geburtsdatum 2020-01-01 is after Aufnahme 2003-01-01"),
        ("Geburtsdatum", "01.01.1900", "age: the age 103 is in none of the groups, which end at 100"),
        ("Geschlecht", "x", "gender: 'x' is not one of Female, Male, Unknown/Invalid"),
    ],
)
def test_what_cannot_be_read_goes_to_quarantine_with_the_reason_alone(column: str, text: str, says: str) -> None:
    (row,) = read(changed(column, text), hospital_file.mapping())
    assert reason(row) == says


def test_a_row_has_every_reason() -> None:
    (row,) = read(changed("Aufnahme", "gestern"), hospital_file.mapping())
    row[NAMES.index("gender")] = "x"
    assert [part.partition(":")[0] for part in reason(row).split("; ")] == ["age", "time_in_hospital", "gender"]


@pytest.mark.parametrize(
    ("years", "group"), [("0", "[0-10)"), ("57", "[50-60)"), ("60.0", "[60-70)"), ("99", "[90-100)")]
)
def test_an_age_in_years_becomes_its_group(years: str, group: str) -> None:
    assert one("columns: {age: {years: years}}\nignore: [age]", years=years) == encounter(age=group)


@pytest.mark.parametrize("years", ["100", "-1", "57.5", "fifty", ""])
def test_an_age_of_no_group_goes_to_quarantine(years: str) -> None:
    header = ["years" if name == "age" else name for name in NAMES]
    (row,) = read(table([fields(age=years)], header), "columns: {age: {years: years}}")
    assert reason(row).startswith("age: ")
    assert "; " not in reason(row)


def test_a_birthday_counts_on_the_day() -> None:
    mapping = "columns: {age: {born: born, admitted: admitted}}\nignore: [age]"
    assert one(mapping, born="1950-03-02", admitted="2000-03-01T08:00")["age"] == "[40-50)"
    assert one(mapping, born="1950-03-02", admitted="2000-03-02T08:00")["age"] == "[50-60)"


def test_days_in_hospital_are_midnights_whatever_the_hours() -> None:
    mapping = "columns: {time_in_hospital: {admitted: in, discharged: out, format: '%d/%m/%Y %H:%M'}}"
    mapping += "\nignore: [time_in_hospital]"
    times = {"in": "01/02/2020 23:50", "out": "03/02/2020 00:10"}
    assert one(mapping, **times)["time_in_hospital"] == "2"


def test_a_discharge_date_is_made_of_a_time() -> None:
    mapping = "columns: {discharge_date: {column: out, format: '%d.%m.%Y %H:%M'}}"
    assert one(mapping, out="03.02.2020 00:10")["discharge_date"] == "2020-02-03"


def test_fields_are_unknown_or_always_the_same_where_the_mapping_says_so() -> None:
    mapping = "columns: {gender: unknown, admission_type_id: unknown, weight: unknown, examide: {always: No}}"
    mapping += "\nignore: [gender, admission_type_id, weight, examide]"
    row = one(mapping)
    assert row == encounter(gender="Unknown/Invalid", admission_type_id="6")


def test_whole_numbers_with_a_fraction_of_zero_are_whole_and_others_are_not_rounded() -> None:
    for text, found in (("15.0", "15"), ("15.5", "15.5"), ("15,0", "15,0"), (" 15 ", "15")):
        (row,) = read(table([fields(num_medications=text)]), "file: {}")
        assert row[NAMES.index("num_medications")] == found


@pytest.mark.parametrize(
    ("mapping", "header", "says"),
    [
        ("columns: {race: Rasse}", NAMES, "'race' is made of 'Rasse', which the file does not have"),
        ("file: {}", (*NAMES, "Ward"), "neither used nor named under 'ignore': 'Ward'"),
        ("file: {}", ["x", *NAMES[1:]], "no column for 'encounter_id': name one under 'columns'"),
        ("file: {}", [*NAMES[:2], "x", *NAMES[3:]], "or write 'race: unknown' if it is"),
        ("file: {}", (*NAMES, "race"), "repeated: 'race'"),
        ("file: {delimiter: ';'}", NAMES, "the first line has no semicolon, by which the mapping separates columns"),
    ],
)
def test_columns_that_do_not_fit_are_named(mapping: str, header: Any, says: str) -> None:
    with pytest.raises(ColumnsMismatch, match=says):
        read(table([fields()], header), mapping)


def test_the_row_numbers_of_pandas_need_no_name() -> None:
    assert read(table([["0", *fields()]], ["", *NAMES]), "file: {}") == [fields()]


def test_a_file_of_another_encoding_than_the_mapping_names_is_refused() -> None:
    with pytest.raises(SourceMalformed, match=r"is not utf-8, the encoding that the mapping names"):
        read(spreadsheet(LINES), hospital_file.mapping().replace(b"cp1252", b"utf-8"))


def test_a_row_with_too_few_cells_is_named() -> None:
    with pytest.raises(RowMalformed, match="row 2 has 51 fields, not 52"):
        read(spreadsheet([LINES[0], LINES[1][:-1]]), hospital_file.mapping())
