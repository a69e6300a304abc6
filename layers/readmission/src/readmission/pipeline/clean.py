"""Turns raw rows into the typed rows that models are trained on. Rows that break a rule go to quarantine."""

import csv
import io
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from pg8000.native import Connection

from readmission.domain import diagnoses
from readmission.domain.contract import DIAG_VERSION, DISCHARGE_DATE, NAMES, NOT_MEASURED, TESTS, sql_name
from readmission.domain.features import fields_of, inputs_of
from readmission.domain.payloads import BatchEvent, CleanResult
from readmission.pipeline import data_report, erased, quality
from readmission.pipeline.plan import read_batch
from readmission.pipeline.publication import ROW_COLUMNS
from readmission.storage.database import Rows, transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LINEAGE: Final = ("batch_id", "place", "data_kind", "site", "split", "row_hash", "row_number", "delivered_at")
_DATES: Final = ("dated", DISCHARGE_DATE)
_RAW: Final = (*_LINEAGE, *NAMES, *_DATES, DIAG_VERSION)
_BATCH_ID: Final = _RAW.index("batch_id")
_STORED: Final = ("data_kind", "site", "split", "row_hash", "delivered_at", *map(sql_name, NAMES))
_OPTIONAL: Final = (DISCHARGE_DATE, DIAG_VERSION)
# Each row of the batches, under the id of the requested batch and in its order there.
_READ: Final = f"""
    COPY (
        SELECT batch.batch_id, place, data_kind, site, split, encode(row_hash, 'hex'), first_row + place, delivered_at,
            {", ".join(map(sql_name, NAMES))}, {DISCHARGE_DATE} IS NOT NULL, coalesce({DISCHARGE_DATE}, ''),
            coalesce({DIAG_VERSION}, '')
        FROM batch, LATERAL (
            SELECT row_number - first_row AS place, {", ".join((*_STORED, *_OPTIONAL))} FROM diabetes_raw
            WHERE diabetes_raw.batch_id = batch.batch_id
            UNION ALL
            SELECT place, {", ".join((*_STORED, *_OPTIONAL))} FROM shared_row JOIN diabetes_raw USING (row_hash)
            WHERE shared_row.batch_id = batch.batch_id
        ) AS line
        WHERE batch.batch_id = ANY (string_to_array(current_setting('readmission.pipeline.plan'), ','))
        -- The last row of an encounter counts.
        ORDER BY batch.batch_id, place
    ) TO STDOUT WITH (FORMAT csv)
"""
_row_of: Final = itemgetter(*ROW_COLUMNS)
_checked_of: Final = itemgetter(*quality.CLEAN_COLUMNS)
_QUARANTINE: Final = ("data_kind", "site", "row_hash", "batch_id", "place", "row_number", "encounter_id", "reason")
# Two runs may clean the same batch at once. The order prevents deadlocks.
_LOCK: Final = """
    SELECT pg_advisory_xact_lock(CAST(:lock AS integer), name) FROM (
        SELECT DISTINCT hashtext(id) AS name FROM unnest(CAST(:ids AS text[])) AS id ORDER BY name
    ) AS batch
"""
_LOCK_NUMBER: Final = 7_401_302  # any number that no other advisory lock in this database uses


def clean(event: BatchEvent, bucket: str, s3: "S3Client", raw: Connection, target: Connection) -> CleanResult:
    """Clean the batch's raw rows into `target` (database `clean`) in one transaction. Idempotent.

    Nothing is learned from these rows before *check* accepts their delivery.

    Raises `CleanRowInvalid` before anything is written, `BatchMissing`, and `DatabaseUnavailable` through `connect`.
    """
    _, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    total = clean_batches(batch["batch_ids"], raw, target)
    return CleanResult(
        batch=batch["number"],
        rows=total["rows"],
        cleaned=total["cleaned"],
        quarantined=total["quarantined"],
        duplicates=total["duplicates"],
    )


def clean_batches(ids: list[str], raw: Connection, target: Connection) -> data_report.Total:
    """Clean these batches, as `clean` does, and return the sum of their reports."""
    with erased.loading(raw):
        return _clean_batches(ids, raw, target)


def _clean_batches(ids: list[str], raw: Connection, target: Connection) -> data_report.Total:
    duplicates = _duplicates(raw, ids)
    cleaned, rejected = Rows(), Rows()
    reports: dict[str, data_report.Report] = {}
    for batch_id, rows in _raw_rows(raw, ids).items():
        broken = quality.broken_rules(rows)
        reports[batch_id] = quality.report_of(rows, broken, duplicates.get(batch_id, 0))
        _sort_out(rows, quality.reasons(broken), batch_id, cleaned, rejected)
    with transaction(target):
        target.run(_LOCK, lock=_LOCK_NUMBER, ids=ids)
        for table, columns, found in (("clean_row", ROW_COLUMNS, cleaned), ("quarantine", _QUARANTINE, rejected)):
            target.run(f"DELETE FROM {table} WHERE batch_id = ANY (CAST(:ids AS text[]))", ids=ids)
            found.copy_into(target, table, columns)
        data_report.save(target, reports)
    return data_report.total(reports.values())


def _duplicates(raw: Connection, batch_ids: list[str]) -> dict[str, int]:
    """How many rows of each batch repeat an earlier row of it, and were not loaded."""
    return dict(
        raw.run(
            "SELECT batch_id, rows - distinct_rows FROM batch WHERE batch_id = ANY (CAST(:ids AS text[]))",
            ids=batch_ids,
        )
    )


def _sort_out(rows: quality.Columns, reasons: Mapping[int, str], batch_id: str, cleaned: Rows, rejected: Rows) -> None:
    """Add the batch's rows with a reason to `rejected`, and what the others become to `cleaned`."""
    checked: list[Sequence[object]] = []
    for index, values in enumerate(zip(*rows.values(), strict=True)):
        row = dict(zip(rows, values, strict=True))
        if index in reasons:
            row["reason"] = reasons[index]
            rejected.add(row[name] for name in _QUARANTINE)
        else:
            read = diagnoses.read(row, quality.stated_version(row[DIAG_VERSION]))
            fields = {**row, **inputs_of(fields_of(row) | read.codes), DIAG_VERSION: read.version}
            fields[DISCHARGE_DATE] = row[DISCHARGE_DATE] or None
            cleaned.add(_row_of(fields))
            checked.append(_checked_of(fields))
    quality.check_clean(checked, batch_id)


def _raw_rows(raw: Connection, batch_ids: list[str]) -> dict[str, quality.Columns]:
    """The rows of each batch, by batch id; a batch that is not loaded has none."""
    content = io.BytesIO()
    with transaction(raw):
        raw.run("SELECT set_config('readmission.pipeline.plan', :ids, true)", ids=",".join(batch_ids))
        raw.run(_READ, stream=content)
    content.seek(0)
    rows: dict[str, list[list[str]]] = {batch_id: [] for batch_id in batch_ids}
    texts: dict[str, str] = {}  # most fields repeat, so each distinct text is kept once
    for row in csv.reader(io.TextIOWrapper(content, "utf-8", newline=""), strict=True):
        rows[row[_BATCH_ID]].append([texts.setdefault(text, text) for text in row])
    return {batch_id: _by_column(rows.pop(batch_id)) for batch_id in batch_ids}


def _by_column(rows: Sequence[Sequence[str]]) -> quality.Columns:
    columns: dict[str, Sequence[str]] = dict(
        zip(_RAW, zip(*rows, strict=True) if rows else [()] * len(_RAW), strict=True)
    )
    for name in TESTS:
        columns[name] = [value or NOT_MEASURED for value in columns[name]]
    return columns
