"""What a batch's rows become on their way to COPY; the databases' side is an integration test's."""

import csv
import gzip
import io
import json
from typing import Any

import pytest
from readmission.batches import to_csv
from readmission.contract import NAMES
from readmission.errors import BatchMissing, ValueOutOfRange
from readmission.ingest import ingest, row_hash
from readmission.splits import split_of

from tests.unit.readmission.builders import BUCKET, FakeS3, fields, numbered

EVENT: Any = {"manifest": "manifest.json", "batch": 1}


class FakeRaw:
    """Takes the COPY's lines, and says that all but one row were new."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.copied = b""

    def run(self, statement: str, stream: Any = (), **_: Any) -> list[list[int]]:
        self.statements.append(statement)
        self.copied += b"".join(stream)
        return [[len(self.rows) - 1]]

    @property
    def rows(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.copied.decode(), newline="")))


def _s3(rows: list[list[str]], first_row: int = 1) -> FakeS3:
    batch = {"number": 1, "batch_ids": ["id"], "keys": ["batch"], "first_row": first_row, "rows": len(rows)}
    manifest = {"source": "some.csv", "data_kind": "real", "delivered_at": "2026-01-01T00:00:00Z", "batches": [batch]}
    s3 = FakeS3(batch=gzip.compress(to_csv(rows).encode()))
    s3.objects["manifest.json"] = json.dumps(manifest).encode()
    return s3


def _ingest(rows: list[list[str]], first_row: int = 1) -> tuple[Any, FakeRaw]:
    raw = FakeRaw()
    return ingest(EVENT, BUCKET, _s3(rows, first_row), raw), raw  # type: ignore[arg-type]


def test_the_answer_counts_the_rows_and_the_new_ones() -> None:
    assert _ingest(numbered(5))[0] == {"batch": 1, "rows": 5, "added": 4}


def test_each_row_goes_with_its_hash_its_patients_split_and_its_number_in_the_source() -> None:
    rows = numbered(5)
    _, raw = _ingest(rows, first_row=11)
    assert raw.rows == [
        [row_hash(row), split_of(row[NAMES.index("patient_nbr")]), str(number), *row]
        for number, row in enumerate(rows, start=11)
    ]


def test_an_empty_field_is_sent_as_empty_and_not_as_null() -> None:
    _, raw = _ingest([fields(race="")])
    assert raw.copied.count(b',"",') == 1


def test_all_is_one_transaction() -> None:
    _, raw = _ingest(numbered(2))
    assert (raw.statements[0], raw.statements[-1]) == ("BEGIN", "COMMIT")
    assert raw.statements.count("BEGIN") == 1


def test_a_number_out_of_range_is_named_with_its_row_in_the_source_before_anything_is_written() -> None:
    raw = FakeRaw()
    rows = [*numbered(3), fields(time_in_hospital="-3")]
    with pytest.raises(ValueOutOfRange, match=r"some\.csv, row 104, column 'time_in_hospital': '-3'"):
        ingest(EVENT, BUCKET, _s3(rows, first_row=101), raw)  # type: ignore[arg-type]
    assert raw.statements == []


def test_a_batch_that_is_not_there_is_missing_before_anything_is_written() -> None:
    s3, raw = _s3(numbered(1)), FakeRaw()
    del s3.objects["batch"]
    with pytest.raises(BatchMissing):
        ingest(EVENT, BUCKET, s3, raw)  # type: ignore[arg-type]
    assert raw.statements == []


def test_a_rows_hash_never_changes() -> None:
    assert row_hash(fields()) == "b0171fe8d5289796781d7f0cea7d6b2c419f9421d51efd2bfc2dc3a9c81d5faf"


@pytest.mark.parametrize("name", NAMES)
def test_every_field_counts_in_the_hash(name: str) -> None:
    assert row_hash(fields(**{name: "other"})) != row_hash(fields())


def test_a_value_that_moves_to_the_next_field_changes_the_hash() -> None:
    assert row_hash(["a", "bc"]) != row_hash(["ab", "c"])
