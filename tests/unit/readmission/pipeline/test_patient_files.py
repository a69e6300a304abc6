"""Delivered files without a patient: everything else in them stays."""

import csv
import gzip
import io
import zipfile

import pytest
from readmission.domain.contract import NAMES
from readmission.pipeline.patient_files import without

from tests.unit.readmission.builders import archive, numbered, table

ROWS = numbered(4)
OTHERS = [ROWS[0], *ROWS[2:]]


def _without(content: bytes, patient: int = 2) -> tuple[int, bytes]:
    out = io.BytesIO()
    found = without(io.BytesIO(content), patient, out)
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


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b'"open', b"\xff\xfe"])
def test_a_file_that_is_no_table_of_patients_is_an_error(content: bytes) -> None:
    with pytest.raises((ValueError, csv.Error)):
        _without(content)
