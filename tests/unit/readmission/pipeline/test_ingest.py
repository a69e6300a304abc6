"""How the rows of a batch are prepared for COPY. Integration tests cover the database."""

import gzip
import json
from typing import Any

import pytest
from pg8000.exceptions import DatabaseError
from readmission.domain.contract import NAMES
from readmission.domain.splits import split_of
from readmission.errors import BatchMissing, ValueOutOfRange
from readmission.pipeline.ingest import ingest, row_hash
from readmission.pipeline.plan import to_csv
from readmission.storage.database import text_line

from tests.unit.readmission.builders import BUCKET, FakeS3, fields, numbered

DELIVERY = ("id", "real", "2026-01-01T00:00:00Z", "default")
_PATIENT = NAMES.index("patient_nbr")
EVENT: Any = {"manifest": "manifest.json", "batch": 1}


class FakeRaw:
    """Collects the lines of a COPY. If rows are `known`, the copy into the table fails, the merge, after so many
    `deadlocks`, adds all but one.

    A batch that is `loaded` cannot be claimed; `loaded` is what is known of it.
    """

    def __init__(self, known: str = "", loaded: tuple[int, bool] | None = None, deadlocks: int = 0) -> None:
        self.statements: list[str] = []
        self.locked: list[bool] = []
        self.copies: list[bytes] = []
        self.known = known
        self.loaded = loaded
        self.deadlocks = deadlocks
        self.merged = False
        self.parameters: dict[str, Any] = {}

    def run(self, statement: str, stream: Any = (), **parameters: Any) -> list[list[Any]]:
        if "_shared(:lock)" in statement:
            self.locked.append("unlock" not in statement)
            return []
        self.statements.append(statement.strip().split(" (")[0])
        self.parameters |= parameters
        if self.statements[-1] == "INSERT INTO batch":
            return [] if self.loaded else [["id"]]
        if self.loaded and statement.strip().startswith("SELECT first_row"):
            return [list(self.loaded)]
        self.merged = self.statements[-1] == "INSERT INTO diabetes_raw"
        if self.merged and self.deadlocks:
            self.deadlocks -= 1
            raise DatabaseError({"C": "40P01"})
        if sent := b"".join(stream):
            self.copies.append(sent)
        if self.known and self.statements[-1] == "COPY diabetes_raw":
            raise DatabaseError({"C": self.known})
        return [[len(self.rows) - 1]]

    @property
    def copied(self) -> bytes:
        return self.copies[-1] if self.copies else b""

    @property
    def row_count(self) -> int:
        return len(self.rows) - self.merged

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.copied.decode().splitlines()]


def _s3(rows: list[list[str]], first_row: int = 1, site: str = "default") -> FakeS3:
    batch = {"number": 1, "batch_ids": ["id"], "keys": ["batch"], "first_row": first_row, "rows": len(rows)}
    manifest = {
        "source": "some.csv",
        "data_kind": "real",
        "site": site,
        "delivered_at": "2026-01-01T00:00:00Z",
        "dated": any(len(row) > len(NAMES) for row in rows),
        "deliveries": ["run"],
        "batches": [batch],
    }
    s3 = FakeS3(batch=gzip.compress(to_csv(rows).encode()))
    s3.objects["manifest.json"] = json.dumps(manifest).encode()
    return s3


def _ingest(rows: list[list[str]], first_row: int = 1, known: str = "", deadlocks: int = 0) -> tuple[Any, FakeRaw]:
    raw = FakeRaw(known, deadlocks=deadlocks)
    return ingest(EVENT, BUCKET, _s3(rows, first_row), raw), raw  # type: ignore[arg-type]


def as_bytes(digits: str) -> str:
    """Hexadecimal digits as COPY's text format has bytes."""
    return rf"\\x{digits}"


def test_new_rows_are_copied_straight_into_the_table() -> None:
    answer, raw = _ingest(numbered(5))
    assert answer == {"batch": 1, "rows": 5, "added": 5}
    assert [one for one in raw.statements if not one.startswith("UPDATE batch")] == [
        *("BEGIN", "INSERT INTO batch", "SAVEPOINT part", "COPY diabetes_raw", "COMMIT")
    ]
    assert raw.parameters == {"batch_id": "id", "first_row": 1, "rows": 5, "distinct_rows": 5}


@pytest.mark.parametrize("code", ["23505", "40P01"], ids=["unique violation", "deadlock"])
def test_rows_are_merged_if_some_exist_or_are_being_loaded(code: str) -> None:
    answer, raw = _ingest(numbered(5), known=code)
    assert answer == {"batch": 1, "rows": 5, "added": 4}
    assert raw.statements[4] == "ROLLBACK TO SAVEPOINT part"
    assert raw.statements[6] == "COPY staged"
    assert raw.statements[7:10] == ["SAVEPOINT part", "INSERT INTO diabetes_raw", "INSERT INTO shared_row"]
    first, second = raw.copies
    assert first == second


@pytest.mark.parametrize(("deadlocks", "tries"), [(1, 2), (4, 5)])
def test_a_merge_that_loses_a_deadlock_is_tried_again(deadlocks: int, tries: int) -> None:
    answer, raw = _ingest(numbered(5), known="23505", deadlocks=deadlocks)
    assert answer["added"] == 4
    assert raw.statements.count("INSERT INTO diabetes_raw") == tries
    assert raw.statements.count("COPY staged") == 1


def test_a_merge_that_loses_every_deadlock_fails() -> None:
    with pytest.raises(DatabaseError, match="40P01"):
        _ingest(numbered(5), known="23505", deadlocks=5)


def test_a_batch_that_is_loaded_in_full_is_left_as_it_is() -> None:
    raw = FakeRaw(loaded=(1, True))
    answer = ingest(EVENT, BUCKET, _s3(numbered(5)), raw)  # type: ignore[arg-type]
    assert answer == {"batch": 1, "rows": 5, "added": 0}
    assert raw.copies == []


def test_a_batch_that_lacks_rows_is_completed_with_the_row_numbers_that_it_has() -> None:
    raw = FakeRaw(known="23505", loaded=(101, False))
    ingest(EVENT, BUCKET, _s3(numbered(2)), raw)  # type: ignore[arg-type]
    assert sorted(row[2] for row in raw.rows) == ["101", "102"]


def test_rows_of_another_site_or_of_synthetic_data_are_other_rows() -> None:
    row = fields()
    raw = FakeRaw()
    ingest(EVENT, BUCKET, _s3([row], site="north"), raw)  # type: ignore[arg-type]
    (sent,) = raw.rows
    assert (sent[0], sent[6]) == (as_bytes(row_hash(row, "real/north")), "north")
    assert len({row_hash(row), row_hash(row, "real/north"), row_hash(row, "synthetic/default")}) == 3


def test_a_discharge_date_is_sent_with_its_row_and_counts_in_the_hash() -> None:
    _, raw = _ingest([[*fields(), "2026-01-31"]])
    (sent,) = raw.rows
    assert (sent[0], sent[-1]) == (as_bytes(row_hash([*fields(), "2026-01-31"])), "2026-01-31")
    assert sent[0] != as_bytes(row_hash(fields()))


def test_other_errors_are_raised() -> None:
    with pytest.raises(DatabaseError):
        _ingest(numbered(5), known="22P02")


def test_each_row_is_sent_with_its_hash_split_number_and_delivery() -> None:
    rows = numbered(5)
    _, raw = _ingest(rows, first_row=11)
    assert raw.rows == sorted(
        [as_bytes(row_hash(row)), split_of(row[_PATIENT]), str(number), *DELIVERY, *row]
        for number, row in enumerate(rows, start=11)
    )


def test_rows_are_sent_in_the_order_of_their_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    _, raw = _ingest(numbered(50))
    hashes = [row[0] for row in raw.rows]
    assert len(hashes) == 50 and hashes == sorted(hashes)
    monkeypatch.setattr("readmission.pipeline.ingest._SORTED_ROWS", 20)
    _, raw = _ingest(numbered(50))
    parts = [[row[0] for row in raw.rows][start : start + 20] for start in (0, 20, 40)]
    assert [len(part) for part in parts] == [20, 20, 10] and parts == [sorted(part) for part in parts]


@pytest.mark.parametrize("odd", ["a,b", 'a "b"', "a\tb", "a\\b", "a\rb", "a\nb", "a\x1fb", "a\x85b", "ü", ""])
def test_a_row_is_sent_unchanged_whatever_characters_its_batch_contains(odd: str) -> None:
    rows = [fields(encounter_id="1"), fields(encounter_id="2", medical_specialty=odd), fields(encounter_id="3")]
    _, raw = _ingest(rows)
    expected = [
        "\t".join((as_bytes(row_hash(row)), text_line([split_of(row[_PATIENT]), str(number), *DELIVERY, *row])))
        for number, row in enumerate(rows, start=1)
    ]
    assert raw.copied.decode().split("\n") == [*sorted(expected), ""]


def test_the_first_of_duplicate_rows_is_sent() -> None:
    first, second = numbered(2)
    answer, raw = _ingest([first, second, first])
    assert answer == {"batch": 1, "rows": 3, "added": 2}
    assert {row[0]: row[2] for row in raw.rows} == {as_bytes(row_hash(first)): "1", as_bytes(row_hash(second)): "2"}


def test_an_empty_field_is_sent_as_empty_and_not_as_null() -> None:
    _, raw = _ingest([fields(race="")])
    assert raw.copied.count(b"\t\t") == 1 and b"\\N" not in raw.copied


def test_a_load_is_one_transaction() -> None:
    _, raw = _ingest(numbered(2))
    assert (raw.statements[0], raw.statements[-1]) == ("BEGIN", "COMMIT")
    # No erasure runs meanwhile.
    assert raw.locked == [True, False]
    assert raw.statements.count("BEGIN") == 1


def test_a_number_out_of_range_is_named_with_its_row_in_the_source_before_anything_is_written() -> None:
    raw = FakeRaw()
    rows = [*numbered(1203), fields(time_in_hospital="-3")]
    with pytest.raises(ValueOutOfRange, match=r"some\.csv, row 1304, column 'time_in_hospital': '-3'"):
        ingest(EVENT, BUCKET, _s3(rows, first_row=101), raw)  # type: ignore[arg-type]
    assert raw.statements == []


def test_a_missing_batch_is_an_error_before_anything_is_written() -> None:
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
