"""The check between *clean* and *train*: accepts the run's deliveries, or refuses one with too many invalid rows."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pg8000.native import Connection

from readmission.domain.payloads import CheckEvent, CheckResult
from readmission.errors import BatchMissing, DeliveryWithdrawn, RowsMissing, TooManyInvalidRows
from readmission.pipeline import data_report, deliveries, profile, publication
from readmission.pipeline.data_report import Report, Total, share
from readmission.pipeline.deliveries import DeliveredBatch, Delivery
from readmission.pipeline.plan import read_manifest

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def check(event: CheckEvent, bucket: str, s3: "S3Client", clean: Connection, max_share: float) -> CheckResult:
    """Accept the run's deliveries: from now on, models learn from their rows.

    A pending delivery of which more than `max_share` (0 to 1) of the rows are in quarantine is refused; the clean table
    stays as if it had never come. The other deliveries of the run are accepted nevertheless.

    Raises `TooManyInvalidRows` for such a delivery, `DeliveryWithdrawn`, `RowsMissing` if not every delivered row has
    been cleaned, and `BatchMissing`.
    """
    manifest = read_manifest(bucket, event["manifest"], s3)
    with publication.exclusive(clean):
        found = deliveries.find(clean, manifest["deliveries"])
        batches = deliveries.batches_of(clean, manifest["deliveries"])
        reports = {one.delivery_id: _reports(clean, one, batches[one.delivery_id]) for one in found}
        totals = {delivery_id: data_report.total(each) for delivery_id, each in reports.items()}
        refused = {
            one.delivery_id: _message(
                one, totals[one.delivery_id], max_share, data_report.faults(reports[one.delivery_id])
            )
            for one in found
            if share(totals[one.delivery_id]["quarantined"], totals[one.delivery_id]["rows"]) > max_share
        }
        _decide(clean, found, batches, refused)
        for one in found:
            _compare(clean, one, totals[one.delivery_id])
    if refused:
        raise TooManyInvalidRows("; ".join(refused.values()))
    return CheckResult(
        rows=sum(total["rows"] for total in totals.values()),
        cleaned=sum(total["cleaned"] for total in totals.values()),
        quarantined=sum(total["quarantined"] for total in totals.values()),
        duplicates=sum(total["duplicates"] for total in totals.values()),
    )


def _reports(clean: Connection, delivery: Delivery, batches: Sequence[DeliveredBatch]) -> list[Report]:
    """The reports on the delivery's batches, each of which must be about all of its rows."""
    if delivery.status == "withdrawn":
        raise DeliveryWithdrawn(f"delivery {delivery.delivery_id} ({delivery.source}) was withdrawn")
    reports = data_report.read(clean, {batch.batch_id for batch in batches})
    for batch in batches:
        _check_report(delivery, batch, reports)
    return [reports[batch.batch_id] for batch in batches]


def _check_report(delivery: Delivery, batch: DeliveredBatch, reports: Mapping[str, Report]) -> None:
    where = f"delivery {delivery.delivery_id}, batch {batch.number} ({batch.batch_id})"
    report = reports.get(batch.batch_id)
    if report is None:
        raise BatchMissing(f"{where} has no report; run the pipeline from 'clean'")
    if report["rows"] != batch.rows:
        raise RowsMissing(
            f"{where}: {batch.rows} rows were delivered, but {report['rows']} were cleaned; deliver the source again"
        )


def _decide(
    clean: Connection,
    found: Sequence[Delivery],
    batches: Mapping[str, Sequence[DeliveredBatch]],
    refused: Mapping[str, str],
) -> None:
    """Record what becomes of each delivery, and publish the accepted ones.

    One that an earlier run accepted is not refused now: what it brought stays as it was, and an operator decides.
    """
    accepted = [one.delivery_id for one in found if one.delivery_id not in refused]
    deliveries.set_status(clean, accepted, "accepted", "")
    for one in found:
        if one.delivery_id in refused and one.status != "accepted":
            deliveries.set_status(clean, [one.delivery_id], "refused", refused[one.delivery_id])
    publication.publish(clean, sorted({batch.batch_id for one in accepted for batch in batches[one]}))


def _compare(clean: Connection, delivery: Delivery, total: Total) -> None:
    """Record how the delivery's valid rows differ from those of the site's deliveries before it, if there are any."""
    earlier = [one.delivery_id for one in deliveries.before(clean, delivery)]
    ids = {batch.batch_id for some in deliveries.batches_of(clean, earlier).values() for batch in some}
    before = data_report.total_of(clean, ids)["profile"]
    if before["rows"] and total["profile"]["rows"]:
        comparison = profile.compare(before, total["profile"])
        if delivery.taken_on:
            # Its rows have dates, so labels may come before they are due: NO is then no news about the patients.
            comparison["notable"] = [name for name in comparison["notable"] if name != "readmitted"]
        deliveries.set_comparison(clean, delivery.delivery_id, comparison)


def _message(delivery: Delivery, total: Total, max_share: float, faults: Sequence[str]) -> str:
    lines = "\n".join(faults)
    state = (
        "It had been accepted before; its rows stay as they were. To leave it out:"
        f" make withdraw DELIVERY={delivery.delivery_id}"
        if delivery.status == "accepted"
        else "Nothing of it is learned from"
    )
    return (
        f"{delivery.source or 'an earlier release'}, delivery {delivery.delivery_id}: {total['quarantined']} of"
        f" {total['rows']} rows ({share(total['quarantined'], total['rows']):.2%}) break the data contract, more than"
        f" the share of {max_share:g} that MaxInvalidShare allows. Rules, rows that break them, and the numbers of the"
        f" first:\n{lines}\nThe table quarantine in the database clean has these rows with every rule they break."
        f" {state}"
    )
