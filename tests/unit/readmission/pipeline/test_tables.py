"""Deliveries of JSON lines and Parquet: the same rows as from a CSV, and what has no one text is refused."""

import csv
import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readmission.domain.contract import NAMES
from readmission.errors import ColumnsMismatch, ReadmissionError, RowMalformed, SourceLimitExceeded, SourceMalformed
from readmission.pipeline import mapping_file, synthetic, tables
from readmission.pipeline.mapping import SourceMapping

from tests.typed_files import Values, json_lines, parquet, typed
from tests.unit.readmission.builders import archive, fields

MEGABYTES = 1 << 20
ROWS = [fields(encounter_id=str(number), diag_1="250.10", diag_2="38") for number in range(1, 4)]

type Write = Callable[[Sequence[Values]], bytes]


def read(content: bytes, mapping: str | None = None, most: int = 100 * MEGABYTES) -> list[list[str]]:
    return list(tables.read(io.BytesIO(content), "x", most, known(mapping)))


def known(mapping: str | None) -> SourceMapping | None:
    return mapping_file.parse(mapping.encode(), "m.yaml") if mapping else None


def refused(kind: type[ReadmissionError], content: bytes, mapping: str | None = None) -> str:
    with pytest.raises(kind) as told:
        read(content, mapping)
    assert told.type is kind
    return str(told.value)


def column(name: str) -> int:
    return NAMES.index(name)


formats = pytest.mark.parametrize("write", [json_lines, parquet])


@formats
@pytest.mark.parametrize("made", [typed, lambda row: dict(zip(NAMES, row, strict=True))], ids=["typed", "texts"])
def test_the_rows_are_those_of_a_csv(write: Write, made: Callable[[Sequence[str]], Values]) -> None:
    rows = [list(row) for row in synthetic.rows(500, 3)]
    assert read(write([made(row) for row in rows])) == rows


@formats
def test_columns_may_be_in_any_order_and_optional_ones_are_read(write: Write) -> None:
    values = {"diag_version": "icd9", "discharge_date": "2024-05-31"} | dict(reversed(typed(ROWS[0]).items()))
    found = tables.read(io.BytesIO(write([values])), "x", MEGABYTES)
    assert list(found) == [[*ROWS[0], "2024-05-31", "icd9"]]
    assert found.optional == ["discharge_date", "diag_version"]


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n\r\n"),
        lambda content: content[:-1],
        lambda content: archive({"a/stays.jsonl": content}),
        lambda content: archive({"ids.csv": b"id,name\n" * 9_000, "b.NDJSON": content}),
    ],
    ids=["gzip", "mark", "blank-lines", "no-newline", "zip", "zip-with-a-table"],
)
def test_json_lines_are_recognized_by_their_content(pack: Callable[[bytes], bytes]) -> None:
    assert read(pack(json_lines([typed(row) for row in ROWS]))) == ROWS


@pytest.mark.parametrize("options", [{"compression": "zstd"}, {"row_group_size": 1}, {"use_dictionary": False}])
def test_parquet_is_read_however_it_was_written(options: dict[str, Any]) -> None:
    assert read(parquet([typed(row) for row in ROWS], **options)) == ROWS


def test_the_row_labels_that_pandas_writes_are_left_out() -> None:
    table = pa.Table.from_pylist([typed(row) for row in ROWS]).to_pandas().set_index([[7, 9, 8]])
    content = io.BytesIO()
    table.to_parquet(content)
    assert "__index_level_0__" in pq.read_schema(content).names
    assert read(content.getvalue()) == ROWS


@formats
@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("num_medications", 5.0, "5"),
        ("num_medications", 5.5, "5.5"),  # which then refuses the batch, as from a CSV
        ("num_medications", "5", "5"),
        ("num_medications", None, ""),
        ("diag_1", 250, "250"),
        ("diag_1", "250.10", "250.10"),
        ("diag_1", "?", "?"),
        ("diag_1", None, "?"),
        ("gender", None, "Unknown/Invalid"),
        ("admission_type_id", None, "6"),
        ("A1Cresult", None, "None"),
        ("A1Cresult", "None", "None"),
        ("A1Cresult", "?", "?"),  # which then goes to quarantine
        ("insulin", None, ""),
        ("race", "", ""),
        ("race", "Zoë", "Zoë"),
        ("payer_code", 12, "12"),
        ("diabetesMed", True, "true"),
        ("encounter_id", 2**53 + 1, str(2**53 + 1)),
    ],
)
def test_a_value_has_the_text_that_a_csv_would_have(write: Write, name: str, value: object, text: str) -> None:
    (row,) = read(write([typed(ROWS[0]) | {name: value}]))
    assert row[column(name)] == text


@formats
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("diag_2", 250.0, "column 'diag_2' is the number 250.0, and a text is needed"),
        ("diag_2", 250.83, "column 'diag_2' is the number 250.83, and a text is needed"),
        ("payer_code", 1.5, "column 'payer_code' is the number 1.5"),
        ("encounter_id", 1e17, "column 'encounter_id' is 1e+17, a floating-point number that is too large"),
        ("race", "a\0b", "contains a NUL character"),
        ("race", "x" * 9_000, "has more than 8192 characters"),
    ],
)
def test_a_value_without_one_text_is_refused_with_row_and_column(
    write: Write, name: str, value: object, says: str
) -> None:
    rows = [typed(ROWS[0]), typed(ROWS[1]) | {name: value}]
    if write is parquet and not isinstance(value, str):
        rows = rows[1:]  # a column of Parquet has one type
    message = refused(RowMalformed, write(rows))
    assert message.startswith(f"x, row {len(rows)}") and says in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"diag_1": ["250"]}, "row 2, column 'diag_1' has a list or an object"),
        ({"diag_1": {"code": "250"}}, "row 2, column 'diag_1' has a list or an object"),
        ({"race": "\ud800"}, "row 2 contains half of a surrogate pair"),
        ({"new": 1}, "row 2 has 'new', unlike row 1"),
    ],
)
def test_what_only_json_can_say_is_refused_with_the_row(line: Values, says: str) -> None:
    rows = [json.dumps(one) for one in (typed(ROWS[0]), typed(ROWS[1]) | line)]
    assert says in refused(RowMalformed, "\n".join(rows).encode())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[1]", "row 2 is not a JSON object on a line of its own"),
        (b"{", "row 2 is not a JSON object on a line of its own"),
        (b'"text"', "row 2 is not a JSON object"),
        (b"[" * 50_000, "row 2 is not a JSON object"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "row 2 is not a JSON object"),
        (b'{"race": NaN}', "row 2 has NaN, which is not JSON"),
        (b'{"race": "a", "race": "b"}', "row 2 has a key twice"),
        (b'{"race": "a"}', "row 2 lacks 'A1Cresult', 'acarbose'"),
        (b"{}", "row 2 lacks"),
        (b'{"race": "' + b"x" * 70_000 + b'"}', "row 2 has more than 65536 characters"),
    ],
)
def test_a_line_that_is_no_row_is_refused(line: bytes, says: str) -> None:
    assert says in refused(RowMalformed, json_lines([typed(ROWS[0])]) + line)


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"{\n", SourceMalformed, "row 1 is not a JSON object"),
        (b'{"a": 1}', ColumnsMismatch, "none of the 50 columns"),
        (b'{"race": 1, "race": 2}', ColumnsMismatch, "repeated: 'race'"),
        (json_lines([typed(ROWS[0]) | {"ward": 1}]), ColumnsMismatch, "extra: 'ward'"),
        (json_lines([typed(ROWS[0])])[:-9] + b"\xff\n", SourceMalformed, "not UTF-8, in which JSON is written"),
        (parquet([typed(ROWS[0]) | {"ward": 1}]), ColumnsMismatch, "extra: 'ward'"),
        (parquet([typed(ROWS[0])])[:-30], SourceMalformed, "corrupt or encrypted Parquet"),
    ],
)
def test_a_file_that_is_no_table_of_the_contract_is_refused(
    content: bytes, kind: type[ReadmissionError], says: str
) -> None:
    assert says in refused(kind, content)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["250"], "the column 'diag_1' is of the type list<"),
        ({"code": "250"}, "the column 'diag_1' is of the type struct<"),
        (b"250", "the column 'diag_1' is of the type binary"),
        (datetime.fromisoformat("2024-05-31T23:30:00+00:00"), "has times of the time zone 'UTC', so their days"),
    ],
)
def test_a_column_of_parquet_of_another_type_is_refused(value: object, says: str) -> None:
    assert says in refused(SourceMalformed, parquet([typed(ROWS[0]) | {"diag_1": value}]))


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (date(2024, 5, 31), "discharge_date", "2024-05-31"),
        (Decimal("7"), "num_medications", "7"),
        (Decimal("7.00"), "num_medications", "7"),
        (Decimal("250"), "diag_1", "250"),
    ],
)
def test_dates_and_decimals_of_parquet_are_read(value: object, name: str, text: str) -> None:
    values = typed(ROWS[0]) | {"discharge_date": "2024-05-31", name: value}
    (row,) = read(parquet([values]))
    assert row[[*NAMES, "discharge_date"].index(name)] == text


def test_a_decimal_with_a_fraction_is_no_code() -> None:
    message = refused(RowMalformed, parquet([typed(ROWS[0]) | {"diag_1": Decimal("250.10")}]))
    assert "column 'diag_1' is the number 250.10, and a text is needed" in message


MAPPING = """
file: {delimiter: ";", encoding: cp1252, decimal: ","}
columns:
  gender: {column: Sex, values: {"1": Female, "2": Male}}
  age: {years: Years}
  time_in_hospital: {admitted: In, discharged: Out}
  A1Cresult: {column: HbA1c, values: {low: Norm}}
  diabetesMed: {column: Drug, values: {"true": "Yes", "false": "No"}}
  race: unknown
ignore: [Ward]
"""


def own(**changes: object) -> Values:
    """A row in the columns of the mapping."""
    made = ("gender", "age", "time_in_hospital", "A1Cresult", "diabetesMed", "race")
    values = {name: value for name, value in typed(ROWS[0]).items() if name not in made}
    stay = {"In": datetime(2024, 5, 28, 23, 59), "Out": datetime(2024, 5, 31, 1, 0)}
    return values | stay | {"Sex": 1, "Years": 55.0, "HbA1c": None, "Drug": True, "Ward": [1]} | changes


@formats
def test_a_mapping_reads_typed_values(write: Write) -> None:
    values = own()
    if write is json_lines:
        values |= {"In": "2024-05-28T23:59:00", "Out": "2024-05-31"}
    (row,) = read(write([values]), MAPPING)
    expected = {"gender": "Female", "age": "[50-60)", "time_in_hospital": "3", "A1Cresult": "None"}
    expected |= {"diabetesMed": "Yes", "race": "?"}
    assert {name: row[column(name)] for name in expected} == expected


def test_a_mapping_refuses_a_number_with_a_fraction_where_its_values_are_texts() -> None:
    assert "column 'Sex' is the number 1.0, and a text" in refused(RowMalformed, parquet([own(Sex=1.0)]), MAPPING)


@formats
def test_a_column_that_a_mapping_does_not_name_refuses_the_file(write: Write) -> None:
    values = own(In="2024-05-28", Out="2024-05-31", Bed=7)
    assert "neither used nor named under 'ignore': 'Bed'" in refused(ColumnsMismatch, write([values]), MAPPING)


def test_a_small_file_of_an_enormous_table_is_stopped() -> None:
    rows = [typed(ROWS[0])] * 20_000
    content = parquet(rows, use_dictionary=False, compression="zstd")
    with pytest.raises(SourceLimitExceeded, match="more than ten times MaxSourceMegabytes"):
        read(content, most=100_000)
    dictionary = parquet(rows, compression="zstd")
    with pytest.raises(SourceLimitExceeded, match="more text than 10 times MaxSourceMegabytes"):
        read(dictionary, most=100_000)


def test_memory_does_not_grow_with_the_rows_of_a_row_group() -> None:
    values = [typed(row) for row in synthetic.rows(60_000, 1)]
    with tempfile.TemporaryFile() as file:
        pq.write_table(pa.Table.from_pylist(values), file, row_group_size=len(values))
        del values
        file.seek(0)
        before, most = pa.total_allocated_bytes(), 0
        for number, _ in enumerate(tables.read(file, "x", 100 * MEGABYTES)):
            if number % 1_000 == 500:
                most = max(most, pa.total_allocated_bytes() - before)
        assert number == 59_999 and 0 < most < 30_000_000


def real_rows(archived: Path) -> Iterable[list[str]]:
    with zipfile.ZipFile(archived) as opened:
        (name,) = (one for one in opened.namelist() if one.endswith("diabetic_data.csv"))
        with io.TextIOWrapper(opened.open(name), "utf-8", newline="") as text:
            rows = csv.reader(text)
            assert next(rows) == list(NAMES)
            yield from rows


def write_json_lines(rows: Iterable[list[str]], file: IO[bytes]) -> None:
    for row in rows:
        file.write(json.dumps(typed(row)).encode() + b"\n")


def write_parquet(rows: Iterable[list[str]], file: IO[bytes]) -> None:
    pq.write_table(pa.Table.from_pylist([typed(row) for row in rows]), file)


@pytest.mark.parametrize("write", [write_json_lines, write_parquet])
def test_the_real_data_has_the_same_rows(
    write: Callable[[Iterable[list[str]], IO[bytes]], None], diabetes_data: Path | None
) -> None:
    if diabetes_data is None:
        pytest.skip("needs the real data")
    with tempfile.TemporaryFile() as file:
        write(real_rows(diabetes_data), file)
        file.seek(0)
        for found, row in zip(tables.read(file, "x", 100 * MEGABYTES), real_rows(diabetes_data), strict=True):
            assert found == row


@formats
def test_columns_are_known_without_the_rows_which_can_be_read_after_that(write: Write) -> None:
    row = typed(ROWS[0])
    file = io.BytesIO(write([row]))
    assert tables.columns(file, "x", MEGABYTES) == list(row)
    assert list(tables.read(file, "x", MEGABYTES)) == [ROWS[0]]


def test_a_csv_has_no_typed_columns() -> None:
    assert tables.columns(io.BytesIO(b"a,b\n"), "x", MEGABYTES) is None
