"""Loading a batch into `raw.diabetes_raw`: all or nothing, and the same row never twice."""

import csv
import io
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from pg8000.native import Connection

from readmission.batches import read_batch, read_rows
from readmission.contract import NAMES, check_numbers, sql_name
from readmission.database import copy_in, transaction
from readmission.payloads import BatchEvent, IngestResult
from readmission.splits import split_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PATIENT: Final = NAMES.index("patient_nbr")
_COLUMNS: Final = ", ".join(("row_hash", "split", "row_number", *map(sql_name, NAMES)))
_STAGE: Final = f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {_COLUMNS} FROM diabetes_raw WITH NO DATA"
_COPY: Final = f"COPY staged ({_COLUMNS}) FROM STDIN WITH (FORMAT csv)"
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
    lines = list(_lines(read_rows(bucket, batch["keys"][0], s3), batch["first_row"], manifest["source"]))
    with transaction(raw):
        raw.run(_STAGE)
        copy_in(raw, _COPY, lines)
        ((added,),) = raw.run(
            _MERGE,
            batch_id=batch["batch_ids"][0],
            data_kind=manifest["data_kind"],
            delivered_at=manifest["delivered_at"],
        )
    return IngestResult(batch=batch["number"], rows=len(lines), added=added)


def _lines(rows: Iterable[list[str]], first_row: int, source: str) -> Iterator[str]:
    """Each row as the CSV line that COPY reads: hash, split, row number, then the 50 fields."""
    text = io.StringIO(newline="")
    # Every field in quotes, as COPY takes an unquoted empty one for NULL.
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for number, row in enumerate(rows, start=first_row):
        check_numbers(row, number, source)
        writer.writerow((row_hash(row), split_of(row[_PATIENT]), number, *row))
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def row_hash(row: Iterable[str]) -> str:
    """The row's identity: SHA-256 of its 50 fields, hexadecimal."""
    return sha256("\x1f".join(row).encode()).hexdigest()
