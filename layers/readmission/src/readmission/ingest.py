"""Loading a batch into `raw.diabetes_raw`: all or nothing, and the same row never twice."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.batches import read_batch, read_rows
from readmission.contract import NAMES, check_rows, sql_name
from readmission.database import copy_lines, is_conflict, savepoint, text_line, transaction
from readmission.payloads import BatchEvent, IngestResult
from readmission.splits import split_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Of a row: batch_id, data_kind, delivered_at.
type _Delivery = tuple[str, str, str]

_CHECKED_ROWS: Final = 1000
_SEPARATOR: Final = "\x1f"
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
    delivery = (batch["batch_ids"][0], manifest["data_kind"], manifest["delivered_at"])
    count, lines = _lines(rows, batch["first_row"], manifest["source"], delivery)
    with transaction(raw):
        added = _load(raw, lines)
    return IngestResult(batch=batch["number"], rows=count, added=added)


def _load(raw: Connection, lines: Sequence[str]) -> int:
    """How many were new.

    Most batches are new as a whole, and go straight to the table, in a third of the time. Two of them beside each other
    that share rows may end each other's COPY; what is tried then, cannot.
    """
    try:
        with savepoint(raw):
            copy_lines(raw, "diabetes_raw", _NAMES, lines)
        return len(lines)
    except DatabaseError as error:
        if not is_conflict(error):
            raise
    raw.run(_STAGE)
    copy_lines(raw, "staged", _NAMES, lines)
    ((added,),) = raw.run(_MERGE)
    return int(added)


def _lines(rows: Iterable[list[str]], first_row: int, source: str, delivery: _Delivery) -> tuple[int, list[str]]:
    """How many rows there are, and the different ones as lines of `_NAMES`, of two that are one the first.

    Raises `ValueOutOfRange`.
    """
    count, lines, hashes, delivered = 0, [], set(), text_line(delivery)
    for some in batched(rows, _CHECKED_ROWS, strict=False):
        check_rows(some, first_row + count, source)
        for number, row in enumerate(some, start=first_row + count):
            together = _SEPARATOR.join(row)
            key = _hash(together)
            if key not in hashes:
                hashes.add(key)
                fields = text_line(row, together, _SEPARATOR)
                lines.append(f"{key}\t{split_of(row[_PATIENT])}\t{number}\t{delivered}\t{fields}\n")
        count += len(some)
    return count, lines


def row_hash(row: Iterable[str]) -> str:
    """The row's identity: SHA-256 of its 50 fields, hexadecimal."""
    return _hash(_SEPARATOR.join(row))


def _hash(together: str) -> str:
    return sha256(together.encode()).hexdigest()
