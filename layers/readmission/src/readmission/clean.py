"""From raw rows to the typed rows that the models learn from; what breaks a rule goes to quarantine, with the rule."""

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pg8000.native import Connection

from readmission.batches import read_batch
from readmission.contract import NAMES, sql_name, violations
from readmission.database import Rows, transaction
from readmission.features import INPUTS, fields_of, inputs_of
from readmission.payloads import BatchEvent, CleanResult

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LINEAGE: Final = ("data_kind", "split", "row_hash", "batch_id", "delivered_at", "row_number")
_READ: Final = f"""
    COPY (
        SELECT {", ".join(_LINEAGE)}, {", ".join(map(sql_name, NAMES))} FROM diabetes_raw
        WHERE batch_id = ANY (string_to_array(current_setting('readmission.batches'), ','))
    ) TO STDOUT WITH (FORMAT csv)
"""
# The history is no column: the view `encounters` makes it from a patient's other rows.
_INPUTS: Final = tuple(name for name in INPUTS if not name.startswith(("last_", "prior_", "same_")))
_CLEAN: Final = (
    "data_kind",
    "split",
    "row_hash",
    "delivered_at",
    "row_number",
    "encounter_id",
    "patient_nbr",
    "race",
    "gender",
    *_INPUTS,
    "readmitted",
)
_KEY: Final = ("data_kind", "encounter_id")
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
    """Clean the batch's raw rows into `target` (database `clean`), all or nothing; doing it again changes nothing."""
    _, batch = read_batch(bucket, event["manifest"], event["batch"], s3)
    cleaned, rejected = Rows(), Rows()
    for row in _raw_rows(raw, batch["batch_ids"]):
        if broken := violations(row):
            row["reason"] = "; ".join(broken)
            rejected.add(row[name] for name in _QUARANTINE)
        else:
            fields = {**row, **inputs_of(fields_of(row))}
            cleaned.add(fields[name] for name in _CLEAN)
    with transaction(target):
        _stage(target, "cleaned", "diabetes_clean", _CLEAN, cleaned)
        _stage(target, "rejected", "quarantine", _QUARANTINE, rejected)
        for statement in (_MERGE, _RELEASE, _MERGE_QUARANTINE, _WITHDRAW):
            target.run(statement)
    return CleanResult(
        batch=batch["number"],
        rows=cleaned.count + rejected.count,
        cleaned=cleaned.count,
        quarantined=rejected.count,
    )


def _raw_rows(raw: Connection, batch_ids: list[str]) -> Iterator[dict[str, str]]:
    text = io.BytesIO()
    with transaction(raw):
        raw.run("SELECT set_config('readmission.batches', :ids, true)", ids=",".join(batch_ids))
        raw.run(_READ, stream=text)
    text.seek(0)
    names = (*_LINEAGE, *NAMES)
    for row in csv.reader(io.TextIOWrapper(text, "utf-8", newline="")):
        yield dict(zip(names, row, strict=True))


def _stage(target: Connection, stage: str, table: str, columns: tuple[str, ...], rows: Rows) -> None:
    """Copy the rows to a temporary table with `columns` of `table`."""
    names = ", ".join(columns)
    target.run(f"CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {names} FROM {table} WITH NO DATA")
    rows.copy_into(target, stage, columns)
