"""Turns raw rows into the typed rows that models are trained on. Rows that break a rule go to quarantine."""

import csv
import io
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from pg8000.native import Connection

from readmission.domain.contract import NAMES, NOT_MEASURED, TESTS, sql_name
from readmission.domain.features import STORED, fields_of, inputs_of
from readmission.domain.payloads import BatchEvent, CleanResult
from readmission.pipeline import data_report, quality
from readmission.pipeline.plan import read_batch
from readmission.storage.database import Rows, transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LINEAGE: Final = ("data_kind", "split", "row_hash", "batch_id", "delivered_at", "row_number")
_RAW: Final = (*_LINEAGE, *NAMES)
_BATCH_ID: Final = _RAW.index("batch_id")
_READ: Final = f"""
    COPY (
        SELECT {", ".join(map(sql_name, _RAW))} FROM diabetes_raw
        WHERE batch_id = ANY (string_to_array(current_setting('readmission.pipeline.plan'), ','))
        -- as in _MERGE: the last row of an encounter counts
        ORDER BY delivered_at, row_number, row_hash DESC
    ) TO STDOUT WITH (FORMAT csv)
"""
_CLEAN: Final = (
    "data_kind",
    "split",
    "row_hash",
    "batch_id",
    "delivered_at",
    "row_number",
    "encounter_id",
    "patient_nbr",
    "race",
    "gender",
    *STORED,
    "readmitted",
)
_KEY: Final = ("data_kind", "encounter_id")
_cleaned_of: Final = itemgetter(*_CLEAN)
_checked_of: Final = itemgetter(*quality.CLEAN_COLUMNS)
_QUARANTINE: Final = ("data_kind", "row_hash", "batch_id", "row_number", "encounter_id", "reason")
# The newest delivery of an encounter wins, whichever batch is cleaned first.
_MERGE: Final = f"""
    INSERT INTO diabetes_clean ({", ".join(_CLEAN)})
    SELECT DISTINCT ON (data_kind, encounter_id) {", ".join(_CLEAN)} FROM cleaned
    ORDER BY data_kind, encounter_id, delivered_at DESC, row_number DESC, row_hash
    ON CONFLICT (data_kind, encounter_id) DO UPDATE
    SET cleaned_at = now(), {", ".join(f"{name} = excluded.{name}" for name in _CLEAN if name not in _KEY)}
    WHERE (excluded.delivered_at, excluded.row_number) >= (diabetes_clean.delivered_at, diabetes_clean.row_number)
"""
_MERGE_QUARANTINE: Final = f"""
    INSERT INTO quarantine ({", ".join(_QUARANTINE)}) SELECT {", ".join(_QUARANTINE)} FROM rejected ORDER BY row_hash
    ON CONFLICT (row_hash) DO UPDATE SET batch_id = excluded.batch_id, reason = excluded.reason
"""
# The contract may have changed since a row was last cleaned, so the row may move between the two tables.
_RELEASE: Final = "DELETE FROM quarantine USING cleaned WHERE quarantine.row_hash = cleaned.row_hash"
_WITHDRAW: Final = """
    DELETE FROM diabetes_clean USING rejected
    WHERE diabetes_clean.data_kind = rejected.data_kind AND diabetes_clean.encounter_id = rejected.encounter_id
    AND diabetes_clean.row_hash = rejected.row_hash
"""


def clean(event: BatchEvent, bucket: str, s3: "S3Client", raw: Connection, target: Connection) -> CleanResult:
    """Clean the batch's raw rows into `target` (database `clean`) in one transaction. Idempotent.

    Raises `CleanRowInvalid` before anything is written, `BatchMissing`, and `DatabaseUnavailable` through `connect`.
    """
    _, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    cleaned, rejected = Rows(), Rows()
    reports: dict[str, data_report.Report] = {}
    for batch_id, rows in _raw_rows(raw, batch["batch_ids"]).items():
        broken = quality.broken_rules(rows)
        reports[batch_id] = quality.report_of(rows, broken)
        _sort_out(rows, quality.reasons(broken), batch_id, cleaned, rejected)
    with transaction(target):
        _stage(target, "cleaned", "diabetes_clean", _CLEAN, cleaned)
        _stage(target, "rejected", "quarantine", _QUARANTINE, rejected)
        for statement in (_MERGE, _RELEASE, _MERGE_QUARANTINE, _WITHDRAW):
            target.run(statement)
        data_report.save(target, reports)
    return CleanResult(
        batch=batch["number"],
        rows=cleaned.count + rejected.count,
        cleaned=cleaned.count,
        quarantined=rejected.count,
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
            fields = {**row, **inputs_of(fields_of(row))}
            cleaned.add(_cleaned_of(fields))
            checked.append(_checked_of(fields))
    quality.check_clean(checked, batch_id)


def _raw_rows(raw: Connection, batch_ids: list[str]) -> dict[str, quality.Columns]:
    """The rows of each batch, by batch id; a batch whose rows are now part of another one has none."""
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


def _stage(target: Connection, stage: str, table: str, columns: tuple[str, ...], rows: Rows) -> None:
    """Copy the rows to a temporary table with the given `columns` of `table`."""
    names = ", ".join(columns)
    target.run(f"CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")
    rows.copy_into(target, stage, columns)
