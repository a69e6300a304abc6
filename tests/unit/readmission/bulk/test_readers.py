"""Files of encounters in every format that is read, and what is said of the others."""

import gzip
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readmission.bulk import readers
from readmission.domain.contract import NAMES
from readmission.errors import ColumnsMismatch, RowMalformed, SourceLimitExceeded, SourceMalformed
from readmission.http.problems import Refused

from tests.unit.readmission.builders import archive, encounter, fields, table
from tests.unit.readmission.bulk.fakes import PREPARED, csv_file

MEGABYTES = 10_000_000


def _read(content: bytes, most: int = MEGABYTES) -> list[tuple[int, Any]]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return list(readers.read(file, "s3://data/night", most))


def _parquet(rows: Sequence[dict[str, Any]], **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), **options), out)
    return out.getvalue()


RAW = table([fields(), fields(encounter_id="2")])


@pytest.mark.parametrize(
    "content",
    [
        RAW,
        b"\xef\xbb\xbf" + RAW,
        gzip.compress(RAW),
        archive({"night.csv": RAW}),
        archive({"IDs_mapping.csv": b"a,b\n" * 100, "diabetic_data.csv": RAW}),
        RAW + b"\n",
        "\n".join(json.dumps(encounter(encounter_id=one)) for one in ("2278392", "2")).encode(),
        gzip.compress("\n\n".join(json.dumps(encounter(encounter_id=one)) for one in ("2278392", "2")).encode()),
        _parquet([encounter(), encounter(encounter_id="2")]),
    ],
    ids=["csv", "BOM", "gzip", "zip", "zip of two", "empty line", "JSON lines", "JSON lines, gzip", "Parquet"],
)
def test_the_same_rows_come_from_every_format(content: bytes) -> None:
    (first, one), (second, other) = _read(content)
    assert (first, second) == (1, 2)
    assert one == encounter()
    assert other == encounter(encounter_id="2")


def test_whole_numbers_are_numbers_in_csv_and_in_parquet_of_pandas() -> None:
    expected = [(1, PREPARED)]
    assert _read(csv_file(PREPARED)) == expected
    assert _read(_parquet([PREPARED])) == expected
    # pandas makes floats of a column with a missing value, and NaN of that value.
    floats = pa.schema([(name, pa.float64()) for name in (*PREPARED, "admission_type_id")])
    rows = [PREPARED | {"admission_type_id": 1}, PREPARED | {"admission_type_id": None}]
    assert _read(_parquet(rows, schema=floats)) == [(1, PREPARED | {"admission_type_id": 1}), (2, PREPARED)]


def test_a_test_that_was_not_made_is_missing_in_parquet() -> None:
    ((_, row),) = _read(_parquet([{**encounter(), "A1Cresult": None, "weight": None}]))
    assert row["A1Cresult"] is None and "weight" not in row


def test_a_row_that_cannot_be_read_is_refused_and_the_others_are_read() -> None:
    rows = dict(_read(table([fields(), fields()[:-1], fields()])))
    assert isinstance(rows[2], Refused) and rows[1] == rows[3] == encounter()
    assert [error.message for error in rows[2].errors] == ["has 49 cells, but the header has 50"]
    rows = dict(_read(b'{"age_numeric": 1}\n{"age_numeric": \n{"a": 1, "a": 2}\n3\n'))
    assert isinstance(rows[2], Refused) and isinstance(rows[3], Refused)
    assert rows[1] == {"age_numeric": 1} and rows[4] == 3


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", SourceMalformed, "is empty"),
        (RAW.replace(b",", b";"), ColumnsMismatch, "separated by semicolons"),
        (table([fields()], [*NAMES[:-1], "x"]), ColumnsMismatch, "x is not a column of this format"),
        (table([fields()[1:]], NAMES[1:]).replace(b"number_inpatient", b"n"), ColumnsMismatch, "number_inpatient is a"),
        (RAW.replace(b"Caucasian", b"Cauc\xe4sian"), SourceMalformed, "Windows-1252"),
        (json.dumps([PREPARED]).encode(), SourceMalformed, "on a line of its own"),
        (b"PK\x03\x04 and no more", SourceMalformed, "is a corrupt archive"),
        (gzip.compress(RAW)[:-20], SourceMalformed, "the archive is corrupt"),
        (gzip.compress(b"%PDF-1.7"), SourceMalformed, "PDF"),
        (gzip.compress(_parquet([PREPARED])), SourceMalformed, "is Parquet in gzip"),
        (archive({"notes.txt": RAW}), SourceMalformed, "does not contain a CSV file or JSON lines"),
        (archive({"a.csv": b"x,y\n1,2\n"}), ColumnsMismatch, "field names"),
        (archive({"[Content_Types].xml": b"", "xl/workbook.xml": b""}), SourceMalformed, "Excel"),
        (b"%PDF-1.7", SourceMalformed, "PDF"),
        (b"PAR1 and no more", SourceMalformed, "corrupt or encrypted Parquet file"),
        (_parquet([{**PREPARED, "age_numeric": [1]}]), ColumnsMismatch, "neither numbers nor texts: 'age_numeric'"),
        (RAW + b'"' + b"x" * 200_000, (SourceMalformed, RowMalformed), "line 4 has more than"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_what_it_is(content: bytes, error: Any, said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        _read(content)
    assert str(raised.value).startswith("s3://data/night")


def test_an_error_repeats_no_value() -> None:
    with pytest.raises(ColumnsMismatch) as raised:
        _read(b"8222157,55,3\n")
    assert "8222157" not in str(raised.value)


def test_memory_does_not_grow_with_a_group_of_rows() -> None:
    content = _parquet([PREPARED] * 2500)
    assert [number for number, _ in _read(content)] == list(range(1, 2501))


MANY = RAW + RAW.partition(b"\n")[2] * 50


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda content: archive({"night.csv": content})], ids=["csv", "gzip", "zip"]
)
def test_a_file_that_holds_more_than_the_limit_allows_is_refused(pack: Callable[[bytes], bytes]) -> None:
    content = pack(MANY)
    assert len(_read(content)) == 102
    with pytest.raises(SourceLimitExceeded, match="more text than 10 times MaxSourceMegabytes"):
        _read(content, 1_000)


def test_a_parquet_file_that_holds_more_than_the_limit_allows_is_refused() -> None:
    content = _parquet([PREPARED] * 500)
    with pytest.raises(SourceLimitExceeded, match="more than ten times MaxSourceMegabytes"):
        _read(content, 100)


def test_a_zip_with_a_long_list_of_files_is_refused_before_it_is_read() -> None:
    names = {f"{number:05}{'x' * 500}.csv": b"" for number in range(9_000)}
    with pytest.raises(SourceMalformed, match="an archive of too many files"):
        _read(archive(names))
