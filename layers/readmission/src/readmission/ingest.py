"""Loading a batch into `raw.diabetes_raw`: all or nothing, and the same row never twice."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.batches import BatchRows, read_batch, read_rows
from readmission.contract import NAMES, check_rows, sql_name
from readmission.database import copy_lines, is_conflict, savepoint, text_line, transaction
from readmission.payloads import BatchEvent, IngestResult
from readmission.splits import split_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Of a row: batch_id, data_kind, delivered_at.
type _Delivery = tuple[str, str, str]

_CHECKED_ROWS: Final = 1000
_PATIENT: Final = NAMES.index("patient_nbr")
_LINEAGE: Final = ("row_hash", "split", "row_number", "batch_id", "data_kind", "delivered_at")
_NAMES: Final = (*_LINEAGE, *map(sql_name, NAMES))
_COLUMNS: Final = ", ".join(_NAMES)
_STAGE: Final = f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {_COLUMNS} FROM diabetes_raw WITH NO DATA"
# A row that an earlier batch brought only learns that this batch holds it too: *clean* finds its rows by batch.
# The order by hash keeps two loads beside each other from locking rows crosswise.
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
    """Load the batch; answers how many of its rows were new.

    Raises `ValueOutOfRange` before anything is written, `BatchMissing`, and `DatabaseUnavailable` through `connect`.
    """
    manifest, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    rows = read_rows(bucket, batch["keys"][0], s3)
    count = _check(rows, batch["first_row"], manifest["source"])
    delivery = (batch["batch_ids"][0], manifest["data_kind"], manifest["delivered_at"])
    with transaction(raw):
        added = _load(raw, rows, batch["first_row"], delivery)
    return IngestResult(batch=batch["number"], rows=count, added=added)


def _check(rows: BatchRows, first_row: int, source: str) -> int:
    """How many rows there are."""
    count = 0
    for some in batched(rows, _CHECKED_ROWS, strict=False):
        check_rows(some, first_row + count, source)
        count += len(some)
    return count


def _load(raw: Connection, rows: BatchRows, first_row: int, delivery: _Delivery) -> int:
    """How many were new.

    Most batches are new as a whole, and go straight to the table, in a third of the time. Two of them beside each other
    that share rows may end each other's COPY; what is tried then, cannot.
    """
    hashes: set[str] = set()
    try:
        with savepoint(raw):
            copy_lines(raw, "diabetes_raw", _NAMES, _lines(rows, first_row, delivery, hashes))
        return len(hashes)
    except DatabaseError as error:
        if not is_conflict(error):
            raise
    raw.run(_STAGE)
    copy_lines(raw, "staged", _NAMES, _lines(rows, first_row, delivery, set()))
    ((added,),) = raw.run(_MERGE)
    return int(added)


def _lines(rows: BatchRows, first_row: int, delivery: _Delivery, hashes: set[str]) -> Iterator[str]:
    """The different rows as lines of `_NAMES`, of two that are one the first; they are made while Postgres works on
    those before, and their hashes are added to `hashes`."""
    for number, row in enumerate(rows, start=first_row):
        key = row_hash(row)
        if key not in hashes:
            hashes.add(key)
            yield text_line([key, split_of(row[_PATIENT]), str(number), *delivery, *row])


def row_hash(row: Iterable[str]) -> str:
    """The row's identity: SHA-256 of its 50 fields, hexadecimal."""
    return sha256("\x1f".join(row).encode()).hexdigest()
