"""Delivered files without a patient: everything else in them stays."""

import csv
import gzip
import io
import zipfile
from typing import Any

import pytest
from readmission.domain.contract import NAMES
from readmission.errors import MappingInvalid
from readmission.pipeline.patient_files import Layout, without

from tests import hospital_file
from tests.typed_files import json_lines, parquet
from tests.unit.readmission.builders import archive, numbered, table

ROWS = numbered(4)
OTHERS = [ROWS[0], *ROWS[2:]]


def _without(content: bytes, patient: int = 2, mapping: str | None = None) -> tuple[int, bytes]:
    out = io.BytesIO()
    found = without(io.BytesIO(content), patient, out, Layout.of(mapping))
    return found, out.getvalue()


def _rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def test_a_csv_loses_the_rows_of_the_patient() -> None:
    found, content = _without(table(ROWS))
    assert found == 1 and content == table(OTHERS)


def test_a_file_without_the_patient_keeps_every_row() -> None:
    found, content = _without(table(ROWS), 9)
    assert found == 0 and _rows(content) == [list(NAMES), *ROWS]


def test_the_column_is_found_by_its_name_and_the_number_however_it_is_spelled() -> None:
    rows = [["patient_nbr,x", "note", "patient_nbr"], ["2", 'it said "2",\nthen 3', "3"], ["1", "2", "002"]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    found, content = _without(b"\xef\xbb\xbf" + text.getvalue().encode())
    assert found == 1 and _rows(content) == rows[:2]


def test_a_compressed_file_stays_compressed() -> None:
    found, content = _without(gzip.compress(table(ROWS)))
    assert found == 1 and gzip.decompress(content) == table(OTHERS)


def test_an_archive_keeps_its_other_files() -> None:
    members = {"data/table.csv": table(ROWS), "ids.csv": b"id,description\r\n2,two\r\n", "read me.txt": b"2\n"}
    found, content = _without(archive(members))
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        read = {name: file.read(name) for name in file.namelist()}
    assert found == 1 and read == {**members, "data/table.csv": table(OTHERS)}


@pytest.mark.parametrize("number", [2, "2", "002", 2.0])
def test_json_lines_lose_the_rows_of_the_patient(number: object) -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    rows[1]["patient_nbr"] = number
    content = b"\xef\xbb\xbf" + json_lines(rows)
    expected = b"\xef\xbb\xbf" + json_lines([rows[0], *rows[2:]])
    assert _without(content) == (1, expected)
    found, packed = _without(gzip.compress(content))
    assert found == 1 and gzip.decompress(packed) == expected
    found, packed = _without(archive({"a.jsonl": content, "b.txt": b"2"}))
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert found == 1 and (file.read("a.jsonl"), file.read("b.txt")) == (expected, b"2")


def test_json_lines_with_own_columns_lose_the_rows_of_the_patient() -> None:
    content = json_lines([{"Patient": 1}, {"Patient": "P2"}])
    out = io.BytesIO()
    layout = Layout.of('columns: {patient_nbr: {column: Patient, values: {P2: "2"}}}')
    assert without(io.BytesIO(content), 2, out, layout) == 1
    assert out.getvalue() == json_lines([{"Patient": 1}])


def test_parquet_and_lines_without_a_patients_number_are_errors() -> None:
    rows = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    unnumbered = b'{"Patient": 2}\n'
    for content in (parquet(rows), unnumbered, archive({"a.jsonl": unnumbered}), json_lines(rows) + b"[2]"):
        with pytest.raises(ValueError):
            _without(content)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b'"open', b"\xff\xfe"])
def test_a_file_that_is_no_table_of_patients_is_an_error(content: bytes) -> None:
    with pytest.raises((ValueError, csv.Error)):
        _without(content)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda table: archive({"own.csv": table})])
def test_a_hospitals_own_file_is_read_and_written_by_its_mapping(pack: Any) -> None:
    lines = list(hospital_file.cells(ROWS))
    own = hospital_file.mapping().decode()
    content = hospital_file.spreadsheet(lines)
    found, left = _without(pack(content), mapping=own)
    assert found == 1
    assert _without(left, 1, own)[0] == 1 and _without(left, 2, own)[0] == 0
    if pack is bytes:
        others = hospital_file.spreadsheet([lines[0], *lines[2:]])
        assert left == others.replace(b"\r\n", b"\n") and "Süd".encode("cp1252") in left


def test_the_number_in_an_own_file_may_have_a_decimal_comma() -> None:
    own = 'file: {delimiter: ";", decimal: ","}\ncolumns: {patient_nbr: Nummer}\n'
    assert _without(b"Nummer;x\n2,0;a\n1,0;b\n", mapping=own) == (1, b"Nummer;x\n1,0;b\n")


@pytest.mark.parametrize("content", [table(ROWS), archive({"ids.csv": b"id\n2\n"}), archive({"stays.json": b"{}"})])
def test_a_file_without_the_column_of_the_number_is_an_error_rather_than_one_without_the_patient(
    content: bytes,
) -> None:
    with pytest.raises(ValueError, match="Patientennummer"):
        _without(content, mapping="columns: {patient_nbr: Patientennummer}")


def test_a_mapping_that_makes_the_number_of_no_column_cannot_be_used() -> None:
    with pytest.raises(MappingInvalid, match="of no column"):
        Layout.of('columns: {patient_nbr: {always: "2"}}')
