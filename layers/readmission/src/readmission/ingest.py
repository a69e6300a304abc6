"""Loading a batch into `raw.diabetes_raw`: all or nothing, and the same row never twice."""

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from pg8000.native import Connection

from readmission.batches import read_batch, read_rows
from readmission.contract import NAMES, check_numbers, sql_name
from readmission.database import Rows, transaction
from readmission.payloads import BatchEvent, IngestResult
from readmission.splits import split_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PATIENT: Final = NAMES.index("patient_nbr")
_NAMES: Final = ("row_hash", "split", "row_number", *map(sql_name, NAMES))
_COLUMNS: Final = ", ".join(_NAMES)
_STAGE: Final = f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {_COLUMNS} FROM diabetes_raw WITH NO DATA"
# A row that an earlier batch brought only learns that this batch holds it too: *clean* finds its rows by batch.
# The order by hash keeps two loads beside each other from locking rows crosswise.
_MERGE: Final = f"""
    WITH merged AS (
        INSERT INTO diabetes_raw ({_COLUMNS}, batch_id, data_kind, delivered_at)
        SELECT DISTINCT ON (row_hash) {_COLUMNS}, :batch_id, :data_kind, CAST(:delivered_at AS timestamptz)
        FROM staged ORDER BY row_hash, row_number
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
    rows = _checked(read_rows(bucket, batch["keys"][0], s3), batch["first_row"], manifest["source"])
    with transaction(raw):
        raw.run(_STAGE)
        rows.copy_into(raw, "staged", _NAMES)
        ((added,),) = raw.run(
            _MERGE,
            batch_id=batch["batch_ids"][0],
            data_kind=manifest["data_kind"],
            delivered_at=manifest["delivered_at"],
        )
    return IngestResult(batch=batch["number"], rows=rows.count, added=added)


def _checked(rows: Iterable[list[str]], first_row: int, source: str) -> Rows:
    """The rows as they are loaded: hash, split and row number, then the 50 fields."""
    checked = Rows()
    for number, row in enumerate(rows, start=first_row):
        check_numbers(row, number, source)
        checked.add((row_hash(row), split_of(row[_PATIENT]), number, *row))
    return checked


def row_hash(row: Iterable[str]) -> str:
    """The row's identity: SHA-256 of its 50 fields, hexadecimal."""
    return sha256("\x1f".join(row).encode()).hexdigest()
