"""The check between *clean* and *train*: stops a run if too many of its rows are invalid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pg8000.native import Connection

from readmission.domain.payloads import CheckEvent, CheckResult
from readmission.errors import BatchMissing, TooManyInvalidRows
from readmission.pipeline import data_report
from readmission.pipeline.data_report import Report, share
from readmission.pipeline.plan import read_manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def check(event: CheckEvent, bucket: str, s3: "S3Client", clean: Connection, max_share: float) -> CheckResult:
    """Add up the reports on the run's batches.

    Raises `TooManyInvalidRows` if more than `max_share` (0 to 1) of the rows are in quarantine, and `BatchMissing`.
    """
    manifest = read_manifest(bucket, event["manifest"], s3)
    batch_ids = {batch_id for batch in manifest["batches"] for batch_id in batch["batch_ids"]}
    reports = data_report.read(clean, batch_ids)
    if unreported := sorted(batch_ids - reports.keys()):
        raise BatchMissing(f"batch {unreported[0]} has no report; run the pipeline from 'clean'")
    total = data_report.total(reports.values())
    if share(total["quarantined"], total["rows"]) > max_share:
        lines = data_report.faults(reports.values())
        raise TooManyInvalidRows(_message(manifest["source"], total, max_share, lines))
    return CheckResult(rows=total["rows"], cleaned=total["cleaned"], quarantined=total["quarantined"])


def _message(source: str, total: Report, max_share: float, faults: Sequence[str]) -> str:
    lines = "\n".join(faults)
    return (
        f"{source}: {total['quarantined']} of {total['rows']} rows"
        f" ({share(total['quarantined'], total['rows']):.2%}) break the data contract, more than the share of"
        f" {max_share:g} that MaxInvalidShare allows. Rules, rows that break them, and the numbers of the first:\n"
        f"{lines}\nThe table quarantine in the database clean has these rows with every rule they break"
    )
