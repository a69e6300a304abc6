"""Loading a batch into `raw.diabetes_raw`: all or nothing, and the same row never twice."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Final

from pg8000.exceptions import DatabaseError
from pg8000.native import Connection

from readmission.batches import BatchRows, read_batch, read_rows
from readmission.contract import NAMES, check_rows, sql_name
from readmission.database import copy_lines, is_conflict, savepoint, text_line, transaction
from readmission.errors import ValueOutOfRange
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

    Raises `ValueOutOfRange`, with nothing of the batch in the table, `BatchMissing`, and `DatabaseUnavailable` through
    `connect`.
    """
    manifest, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    rows = read_rows(bucket, batch["keys"][0], s3)
    delivery = (batch["batch_ids"][0], manifest["data_kind"], manifest["delivered_at"])
    with transaction(raw):
        return _load(raw, batch["number"], lambda: _Lines(rows, batch["first_row"], manifest["source"], delivery))


def _load(raw: Connection, number: int, lines: "Callable[[], _Lines]") -> IngestResult:
    """Most batches are new as a whole, and go straight to the table, in a third of the time.

    Two of them beside each other that share rows may end each other's COPY; what is tried then, cannot.
    """
    try:
        with savepoint(raw):
            straight = lines()
            straight.copy(raw, "diabetes_raw")
        return IngestResult(batch=number, rows=straight.rows, added=len(straight.hashes))
    except DatabaseError as error:
        if not is_conflict(error):
            raise
    raw.run(_STAGE)
    staged = lines()
    staged.copy(raw, "staged")
    ((added,),) = raw.run(_MERGE)
    return IngestResult(batch=number, rows=staged.rows, added=int(added))


class _Lines:
    """A batch's different rows as lines of `_NAMES`, of two that are one the first.

    They are checked and made while Postgres works on those before. `rows` counts all rows, `hashes` are those of the
    different ones.
    """

    def __init__(self, rows: BatchRows, first_row: int, source: str, delivery: _Delivery) -> None:
        self.rows = 0
        self.hashes: set[str] = set()
        self._rows, self._first_row, self._source, self._delivery = rows, first_row, source, delivery
        self._problem: ValueOutOfRange | None = None

    def copy(self, raw: Connection, table: str) -> None:
        """Raises `ValueOutOfRange`: behind the COPY, since one in its midst would leave the connection there."""
        copy_lines(raw, table, _NAMES, self._lines())
        if self._problem:
            raise self._problem

    def _lines(self) -> Iterator[str]:
        for some in batched(self._rows, _CHECKED_ROWS, strict=False):
            first = self._first_row + self.rows
            try:
                check_rows(some, first, self._source)
            except ValueOutOfRange as error:
                self._problem = error
                return
            for number, row in enumerate(some, start=first):
                together = _SEPARATOR.join(row)
                key = _hash(together)
                if key not in self.hashes:
                    self.hashes.add(key)
                    lineage = text_line([key, split_of(row[_PATIENT]), str(number), *self._delivery])
                    yield f"{lineage}\t{text_line(row, together, _SEPARATOR)}\n"
            self.rows += len(some)


def row_hash(row: Iterable[str]) -> str:
    """The row's identity: SHA-256 of its 50 fields, hexadecimal."""
    return _hash(_SEPARATOR.join(row))


def _hash(together: str) -> str:
    return sha256(together.encode()).hexdigest()
