"""From raw rows to the typed rows that the models learn from; what breaks a rule goes to quarantine, with the rule."""

import io
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import pandas as pd
from pg8000.native import Connection

from readmission.domain.contract import NAMES, sql_name
from readmission.domain.features import STORED, fields_of, inputs_of
from readmission.domain.payloads import BatchEvent, CleanResult
from readmission.pipeline import data_report, quality
from readmission.pipeline.plan import read_batch
from readmission.storage.database import Rows, transaction

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LINEAGE: Final = ("data_kind", "split", "row_hash", "batch_id", "delivered_at", "row_number")
_READ: Final = f"""
    COPY (
        SELECT {", ".join(_LINEAGE)}, {", ".join(map(sql_name, NAMES))} FROM diabetes_raw
        WHERE batch_id = ANY (string_to_array(current_setting('readmission.pipeline.plan'), ','))
        -- as in _MERGE: of two rows of an encounter the last counts
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
# Whichever batch is cleaned first, the newest delivery of an encounter stays.
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
# The contract may have changed since the row was last cleaned: it stands in one of the two tables, never in both.
_RELEASE: Final = "DELETE FROM quarantine USING cleaned WHERE quarantine.row_hash = cleaned.row_hash"
_WITHDRAW: Final = """
    DELETE FROM diabetes_clean USING rejected
    WHERE diabetes_clean.data_kind = rejected.data_kind AND diabetes_clean.encounter_id = rejected.encounter_id
    AND diabetes_clean.row_hash = rejected.row_hash
"""


def clean(event: BatchEvent, bucket: str, s3: "S3Client", raw: Connection, target: Connection) -> CleanResult:
    """Clean the batch's raw rows into `target` (database `clean`), all or nothing; doing it again changes nothing.

    Raises `CleanRowInvalid` before anything is written, `BatchMissing`, and `DatabaseUnavailable` through `connect`.
    """
    _, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    cleaned, rejected = Rows(), Rows()
    reports: dict[str, data_report.Report] = {}
    table = _raw_rows(raw, batch["batch_ids"])
    for batch_id in batch["batch_ids"]:
        rows = table[table["batch_id"] == batch_id].reset_index(drop=True)
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


def _sort_out(rows: pd.DataFrame, reasons: dict[int, str], batch_id: str, cleaned: Rows, rejected: Rows) -> None:
    """Add each of the batch's rows to one of the two, those with a reason to `rejected`."""
    checked: list[Sequence[object]] = []
    names = list(rows.columns)
    for place, values in enumerate(rows.itertuples(index=False, name=None)):
        row = dict(zip(names, values, strict=True))
        if place in reasons:
            row["reason"] = reasons[place]
            rejected.add(row[name] for name in _QUARANTINE)
        else:
            fields = {**row, **inputs_of(fields_of(row))}
            cleaned.add(_cleaned_of(fields))
            checked.append(_checked_of(fields))
    quality.check_clean(checked, batch_id)


def _raw_rows(raw: Connection, batch_ids: list[str]) -> pd.DataFrame:
    """The batches' rows, texts all."""
    text = io.BytesIO()
    with transaction(raw):
        raw.run("SELECT set_config('readmission.pipeline.plan', :ids, true)", ids=",".join(batch_ids))
        raw.run(_READ, stream=text)
    text.seek(0)
    # As objects, not pandas' texts: these differ with and without pyarrow, which the function has not.
    return pd.read_csv(text, header=None, names=[*_LINEAGE, *NAMES], dtype=object, keep_default_na=False)


def _stage(target: Connection, stage: str, table: str, columns: tuple[str, ...], rows: Rows) -> None:
    """Copy the rows to a temporary table with `columns` of `table`."""
    names = ", ".join(columns)
    target.run(f"CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")
    rows.copy_into(target, stage, columns)
