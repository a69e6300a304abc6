"""The gate between *clean* and *train*: a run with too large a share of invalid rows goes no further."""

from typing import TYPE_CHECKING, Final

from pg8000.native import Connection

from readmission.domain.payloads import CheckEvent, CheckResult
from readmission.errors import BatchMissing, TooManyInvalidRows
from readmission.pipeline import data_report
from readmission.pipeline.data_report import Report, share
from readmission.pipeline.plan import read_manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RULES_TOLD: Final = 3


def check(event: CheckEvent, bucket: str, s3: "S3Client", clean: Connection, max_share: float) -> CheckResult:
    """Add up the reports of the run's batches.

    Raises `TooManyInvalidRows` when more than `max_share` of the rows are in quarantine, and `BatchMissing`.
    """
    manifest = read_manifest(bucket, event["manifest"], s3)
    batch_ids = {batch_id for batch in manifest["batches"] for batch_id in batch["batch_ids"]}
    reports = data_report.read(clean, batch_ids)
    if unreported := sorted(batch_ids - reports.keys()):
        raise BatchMissing(f"there is no report on batch {unreported[0]}; run the pipeline from 'clean'")
    found = data_report.total(reports.values())
    if share(found["quarantined"], found["rows"]) > max_share:
        raise TooManyInvalidRows(_message(manifest["source"], found, max_share))
    return CheckResult(rows=found["rows"], cleaned=found["cleaned"], quarantined=found["quarantined"])


def _message(source: str, found: Report, max_share: float) -> str:
    rules = "; ".join(f"{rule} ({count})" for rule, count in list(found["rules"].items())[:_RULES_TOLD])
    return (
        f"{source}: {found['quarantined']} of {found['rows']} rows"
        f" ({share(found['quarantined'], found['rows']):.2%}) break the data contract, more than the share of"
        f" {max_share:g} that MaxInvalidShare allows. Most often broken (rows): {rules}."
        " Each of these rows is in the table quarantine of the database clean, with every rule it breaks"
    )
