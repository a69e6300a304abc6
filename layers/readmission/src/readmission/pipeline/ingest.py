"""Loads a batch into `raw.diabetes_raw` in one transaction, without duplicating rows."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.domain.contract import CHECKED_FIELDS, DIAG_VERSION, DISCHARGE_DATE, NAMES, check_rows, sql_name
from readmission.domain.payloads import BatchEvent, IngestResult
from readmission.domain.splits import split_of
from readmission.pipeline import deliveries, erased
from readmission.pipeline.plan import Batch, read_batch, read_text
from readmission.storage.database import copy_lines, is_conflict, savepoint, text_line, transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# A patient's number, the row as a line of COPY's text format, and the row joined as its hash is computed.
type _Row = tuple[str, str, str]

_CHECKED_ROWS: Final = 1000
# Few enough for Postgres to load lines while later ones are still being made.
_SORTED_ROWS: Final = 5000
# How often a merge that loses a deadlock is tried; the state machine tries the whole step again.
_MERGES: Final = 5
_SEPARATOR: Final = "\x1f"
_SPECIAL_CHARACTERS: Final = '"\\\t\r'
_PATIENT: Final = NAMES.index("patient_nbr")
_LINEAGE: Final = ("row_hash", "split", "row_number", "batch_id", "data_kind", "delivered_at", "site")
_NAMES: Final = (*_LINEAGE, *map(sql_name, NAMES))
_COLUMNS: Final = ", ".join((*_NAMES, DISCHARGE_DATE, DIAG_VERSION))
_STAGE: Final = f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {_COLUMNS} FROM diabetes_raw WITH NO DATA"
# Another load of the same batch waits here for the first.
_CLAIM: Final = """
    INSERT INTO batch (batch_id, first_row, rows, distinct_rows) VALUES (:batch_id, :first_row, :rows, 0)
    ON CONFLICT DO NOTHING RETURNING batch_id
"""
_LOADED: Final = """
    SELECT first_row, distinct_rows = (SELECT count(*) FROM diabetes_raw WHERE diabetes_raw.batch_id = batch.batch_id)
        + (SELECT count(*) FROM shared_row WHERE shared_row.batch_id = batch.batch_id)
    FROM batch WHERE batch_id = :batch_id
"""
_FINISH: Final = "UPDATE batch SET distinct_rows = :distinct_rows WHERE batch_id = :batch_id"
# The order by hash prevents deadlocks with other merges, but not with a load that copies straight into the table.
_MERGE: Final = f"""
    INSERT INTO diabetes_raw ({_COLUMNS}) SELECT {_COLUMNS} FROM staged ORDER BY row_hash
    ON CONFLICT (row_hash) DO NOTHING
"""
_SHARE: Final = """
    INSERT INTO shared_row (batch_id, row_hash, place)
    SELECT staged.batch_id, row_hash, staged.row_number - :first_row
    FROM staged JOIN diabetes_raw AS loaded USING (row_hash) WHERE loaded.batch_id <> staged.batch_id
    ON CONFLICT DO NOTHING
"""


def ingest(event: BatchEvent, bucket: str, s3: "S3Client", raw: Connection) -> IngestResult:
    """Load the batch and count its new rows.

    A batch is named by its rows, so one that is loaded already is left as it is.

    Raises `ValueOutOfRange` before anything is written, `BatchMissing`, and `DatabaseUnavailable` through `connect`.
    """
    with erased.loading(raw):
        return _ingest(event, bucket, s3, raw)


def _ingest(event: BatchEvent, bucket: str, s3: "S3Client", raw: Connection) -> IngestResult:
    manifest, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    text = read_text(bucket, batch["keys"][0], s3)
    rows = _checked(text, batch["first_row"], manifest["source"])
    # Fewer than planned, if a patient has been erased since.
    batch["rows"] = len(rows)
    batch_id = batch["batch_ids"][0]
    lineage = text_line((batch_id, manifest["data_kind"], manifest["delivered_at"], manifest["site"]))
    scope = deliveries.scope(manifest["data_kind"], manifest["site"])
    # A manifest of the release before says nothing of versions.
    optional = {DISCHARGE_DATE: manifest["dated"], DIAG_VERSION: manifest.get("versioned", False)}
    columns = (*_NAMES, *(name for name, given in optional.items() if given))
    added = 0
    with transaction(raw):
        first_row = _claim(raw, batch)
        if first_row is not None:
            added, distinct = _load(raw, first_row, columns, lambda: _lines(rows, first_row, lineage, scope))
            raw.run(_FINISH, batch_id=batch_id, distinct_rows=distinct)
    return IngestResult(batch=batch["number"], rows=len(rows), added=added)


def _claim(raw: Connection, batch: Batch) -> int | None:
    """The number of the batch's first row if the batch must be loaded, or None if it is there."""
    batch_id = batch["batch_ids"][0]
    if raw.run(_CLAIM, batch_id=batch_id, first_row=batch["first_row"], rows=batch["rows"]):
        return batch["first_row"]
    ((first_row, complete),) = raw.run(_LOADED, batch_id=batch_id)
    return None if complete else int(first_row)


def _load(
    raw: Connection, first_row: int, columns: Sequence[str], lines: Callable[[], Iterable[str]]
) -> tuple[int, int]:
    """Load the lines and return how many rows were new, and how many there are.

    Most batches are entirely new, and copying them straight into the table takes a third of the time of a merge. If a
    row exists already, or a concurrent load with the same rows causes a deadlock, the lines are merged instead.
    """
    try:
        with savepoint(raw):
            count = copy_lines(raw, "diabetes_raw", columns, lines())
            return count, count
    except DatabaseError as error:
        if not is_conflict(error):
            raise
    raw.run(_STAGE)
    count = copy_lines(raw, "staged", columns, lines())
    added = _merge(raw)
    raw.run(_SHARE, first_row=first_row)
    return added, count


def _merge(raw: Connection, tries: int = _MERGES) -> int:
    """Merge the staged rows, and return how many were new.

    Whichever of two loads Postgres ends in a deadlock, the other goes on, so this one need only try again.
    """
    try:
        with savepoint(raw):
            raw.run(_MERGE)
            added: int = raw.row_count
            return added
    except DatabaseError as error:
        if tries == 1 or not is_conflict(error):
            raise
    return _merge(raw, tries - 1)


def _checked(text: str, first_row: int, source: str) -> list[_Row]:
    """All rows of the CSV text. Raises `ValueOutOfRange`; `first_row` and `source` locate a row in its message."""
    rows: list[_Row] = []
    for chunk in batched(_rows(text), _CHECKED_ROWS, strict=False):
        checked = [line.split("\t", CHECKED_FIELDS) for line, _ in chunk]
        check_rows(checked, first_row + len(rows), source)
        rows += [(row[_PATIENT], *pair) for row, pair in zip(checked, chunk, strict=True)]
    return rows


def _lines(rows: Iterable[_Row], first_row: int, lineage: str, scope: str) -> Iterator[str]:
    """The rows as lines of `_NAMES`, some thousand at a time in the order of their hashes.

    In this order, neighbours in the index are inserted one after the other, which in a large table takes Postgres less
    time. Keeps the first of duplicate rows.
    """
    for some in batched(_distinct_lines(rows, first_row, lineage, scope), _SORTED_ROWS, strict=False):
        yield from sorted(some)


def _distinct_lines(rows: Iterable[_Row], first_row: int, lineage: str, scope: str) -> Iterator[str]:
    """The lines in the order of the rows. A hash, with which a line begins, is written as Postgres reads bytes."""
    prefix = f"{scope}{_SEPARATOR}" if scope else ""
    hashes = set()
    for number, (patient, line, joined) in enumerate(rows, start=first_row):
        key = _hash(prefix + joined)
        if key not in hashes:
            hashes.add(key)
            yield f"\\\\x{key}\t{split_of(patient)}\t{number}\t{lineage}\t{line}\n"


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


def row_hash(row: Iterable[str], scope: str = "") -> str:
    """The row's identity in hexadecimal: the SHA-256 of its `deliveries.scope` (if any) and its fields."""
    joined = _SEPARATOR.join(row)
    return _hash(_SEPARATOR.join((scope, joined)) if scope else joined)


def _hash(joined: str) -> str:
    return sha256(joined.encode()).hexdigest()
