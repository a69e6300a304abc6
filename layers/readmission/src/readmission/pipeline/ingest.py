"""Loads a batch into `raw.diabetes_raw` in one transaction, without duplicating rows."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.domain.contract import CHECKED_FIELDS, NAMES, check_rows, sql_name
from readmission.domain.payloads import BatchEvent, IngestResult
from readmission.domain.splits import split_of
from readmission.pipeline.plan import read_batch, read_text
from readmission.storage.database import copy_lines, is_conflict, savepoint, text_line, transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A patient's number, the row as a line of COPY's text format, and the row joined as its hash is computed.
type _Row = tuple[str, str, str]

_CHECKED_ROWS: Final = 1000
_SEPARATOR: Final = "\x1f"
_SPECIAL_CHARACTERS: Final = '"\\\t\r'
_PATIENT: Final = NAMES.index("patient_nbr")
_LINEAGE: Final = ("row_hash", "split", "row_number", "batch_id", "data_kind", "delivered_at")
_NAMES: Final = (*_LINEAGE, *map(sql_name, NAMES))
_COLUMNS: Final = ", ".join(_NAMES)
_STAGE: Final = f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {_COLUMNS} FROM diabetes_raw WITH NO DATA"
# A row that an earlier batch loaded is only moved to this batch, because *clean* finds rows by batch.
# The order by hash prevents deadlocks between concurrent loads.
_MERGE: Final = f"""
    WITH merged AS (
        INSERT INTO diabetes_raw ({_COLUMNS}) SELECT {_COLUMNS} FROM staged ORDER BY row_hash
        ON CONFLICT (row_hash) DO UPDATE SET batch_id = excluded.batch_id
        WHERE diabetes_raw.batch_id <> excluded.batch_id
        RETURNING (xmax = 0) AS added
    )
    SELECT count(*) FILTER (WHERE added) FROM merged
"""


def ingest(event: BatchEvent, bucket: str, s3: "S3Client", raw: Connection) -> IngestResult:
    """Load the batch and count its new rows.

    Raises `ValueOutOfRange` before anything is written, `BatchMissing`, and `DatabaseUnavailable` through `connect`.
    """
    manifest, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    text = read_text(bucket, batch["keys"][0], s3)
    rows = _checked(text, batch["first_row"], manifest["source"])
    delivery = text_line((batch["batch_ids"][0], manifest["data_kind"], manifest["delivered_at"]))
    with transaction(raw):
        added = _load(raw, lambda: _lines(rows, batch["first_row"], delivery))
    return IngestResult(batch=batch["number"], rows=len(rows), added=added)


def _load(raw: Connection, lines: Callable[[], Iterable[str]]) -> int:
    """Load the lines and return how many rows were new.

    Most batches are entirely new, and copying them straight into the table takes a third of the time of a merge. If a
    row exists already, or a concurrent load with the same rows causes a deadlock, the lines are merged instead.
    """
    try:
        with savepoint(raw):
            return copy_lines(raw, "diabetes_raw", _NAMES, lines())
    except DatabaseError as error:
        if not is_conflict(error):
            raise
    raw.run(_STAGE)
    copy_lines(raw, "staged", _NAMES, lines())
    ((added,),) = raw.run(_MERGE)
    return int(added)


def _checked(text: str, first_row: int, source: str) -> list[_Row]:
    """All rows of the CSV text. Raises `ValueOutOfRange`; `first_row` and `source` locate a row in its message."""
    rows: list[_Row] = []
    for chunk in batched(_rows(text), _CHECKED_ROWS, strict=False):
        checked = [line.split("\t", CHECKED_FIELDS) for line, _ in chunk]
        check_rows(checked, first_row + len(rows), source)
        rows += [(row[_PATIENT], *pair) for row, pair in zip(checked, chunk, strict=True)]
    return rows


def _lines(rows: Iterable[_Row], first_row: int, delivery: str) -> Iterator[str]:
    """The rows as lines of `_NAMES`. Keeps the first of duplicate rows.

    A generator, so that Postgres loads lines while later ones are still being made.
    """
    hashes = set()
    for number, (patient, line, joined) in enumerate(rows, start=first_row):
        key = _hash(joined)
        if key not in hashes:
            hashes.add(key)
            yield f"{key}\t{split_of(patient)}\t{number}\t{delivery}\t{line}\n"


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Each row of the CSV text in two forms: as a line of COPY's text format, and joined as its hash is computed.

    Most texts contain no special characters. Both forms are then the text with its commas replaced; parsing it would
    take half of the load's time.
    """
    if any(character in text for character in _SPECIAL_CHARACTERS):
        for row in csv.reader(io.StringIO(text, newline="")):
            yield text_line(row), _SEPARATOR.join(row)
    else:
        plain = text.removesuffix("\n")
        yield from zip(*(plain.replace(",", separator).split("\n") for separator in ("\t", _SEPARATOR)), strict=True)


def row_hash(row: Iterable[str]) -> str:
    """The row's identity: the SHA-256 of its 50 fields in hexadecimal."""
    return _hash(_SEPARATOR.join(row))


def _hash(joined: str) -> str:
    return sha256(joined.encode()).hexdigest()
