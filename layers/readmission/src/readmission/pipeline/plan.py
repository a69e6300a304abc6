"""Plans a run: splits the source into gzip batches in S3 and writes a manifest that lists them.

Batches are named by their content: planning the same source again writes the same objects, and a run that was
interrupted leaves nothing that another run could mistake for its own.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NotRequired, TypedDict, cast

from botocore.exceptions import ClientError
from pg8000.native import Connection

from readmission.domain.contract import DIAG_VERSION, DISCHARGE_DATE, NAMES, parse_date
from readmission.domain.payloads import MAX_BATCH_SIZE, MAX_BATCHES, DataKind, PipelineRequest, Plan, PlanEvent
from readmission.domain.redaction import redacted
from readmission.errors import BatchMissing, InvalidRequest, SourceMalformed
from readmission.pipeline import deliveries, erased, sources
from readmission.pipeline.deliveries import DeliveredBatch, Delivery, UsedMapping
from readmission.pipeline.erased import Erased
from readmission.pipeline.sources import Reading
from readmission.pipeline.tables import Rows
from readmission.storage.database import transaction
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PREFIX: Final = "pipeline"
BATCHES: Final = f"{_PREFIX}/batches/"
"""The prefix of the batches in the bucket."""
BATCH_ENDING: Final = ".csv.gz"
_PATIENT: Final = NAMES.index("patient_nbr")


class Batch(TypedDict):
    """A batch in the manifest. `keys` is empty if the run starts at *clean*: the rows are in Postgres already."""

    number: int
    batch_ids: list[str]
    keys: list[str]
    first_row: int
    rows: int


class Manifest(TypedDict):
    """A run's batches, and the ids of the deliveries that they belong to.

    `dated` and `versioned` are whether the rows in S3 have the optional columns of discharge dates and of the version
    of their diagnoses, in this order. `erased` is the number of rows that were left out because their patients were
    erased. `mapping` is what the rows were read by, if anything.
    """

    source: str
    data_kind: DataKind
    site: str
    delivered_at: str
    dated: bool
    versioned: NotRequired[bool]
    deliveries: list[str]
    batches: list[Batch]
    erased: NotRequired[int]
    mapping: NotRequired[UsedMapping]


class Databases(NamedTuple):
    raw: Connection
    clean: Connection


@dataclass(slots=True)
class _Left:
    """Leaves out the rows of erased patients, and counts them."""

    erased: Erased
    count: int = 0

    def lines(self, rows: Iterable[Sequence[str]]) -> Iterator[str | None]:
        """Each row as a line of CSV; None in place of one that is left out, so that the others keep their places."""
        if not self.erased:
            yield from map(_csv_line, rows)
            return
        for row in rows:
            if row[_PATIENT] in self.erased:
                self.count += 1
                yield None
            else:
                yield _csv_line(row)


class _Dates:
    """Watches the rows go by: whether they have discharge dates, and the newest date up to the day of delivery."""

    def __init__(self, day: date) -> None:
        self._day = day
        self.dated = False
        self.newest: date | None = None

    def watch(self, rows: Rows) -> Iterator[list[str]]:
        for row in rows:
            if DISCHARGE_DATE in rows.optional:
                self.dated = True
                found = parse_date(row[len(NAMES)])
                if found and found <= self._day and (self.newest is None or found > self.newest):
                    self.newest = found
            yield row


def _with_version(rows: Iterable[list[str]], optional: Sequence[str], version: str) -> Iterator[list[str]]:
    """The rows with the version of their diagnoses: that of the delivery where a row does not say its own."""
    for row in rows:
        yield [*row[:-1], row[-1] or version] if DIAG_VERSION in optional else [*row, version]


def plan(
    event: PlanEvent,
    request: PipelineRequest,
    source: str,
    bucket: str,
    s3: "S3Client",
    databases: Databases,
    *,
    reading: Reading | None = None,
) -> Plan:
    """Write the run's manifest to S3, and its batches and its delivery if it starts at *ingest*.

    A run that starts at *ingest* reads `source`. One that starts at *clean* lists the batches of the deliveries that
    are loaded in full, and were neither refused nor withdrawn. A run that starts later has no batches. Manifest,
    delivery and result name the source without its credentials. The mapping that `reading` has is kept with both.

    Rows of patients whose data were erased are left out and counted.

    Raises the errors of `sources.open_rows`, `InvalidRequest` if there would be more than `MAX_BATCHES` batches, and
    `StorageUnavailable`.
    """
    asked = request.source or request.start_at == "ingest"
    kind = _kind_of(request, source) if asked else deliveries.kind_to_clean(databases.clean)
    shown = redacted(source)
    manifest = Manifest(
        source=shown,
        data_kind=kind,
        site=request.site,
        delivered_at=event["started_at"],
        dated=False,
        deliveries=[],
        batches=[],
    )
    if request.start_at == "ingest":
        reading = reading or Reading()
        if reading.mapping:
            manifest["mapping"] = UsedMapping(hash=reading.mapping.digest, text=reading.mapping.text)
        scope = deliveries.scope(kind, request.site)
        with (
            erased.loading(databases.raw),
            sources.open_rows(source, s3, reading.settings, reading.mapping) as rows,
        ):
            left = _Left(erased.read(databases.raw, request.site))
            write = partial(_write_batches, left=left, size=request.batch_size, scope=scope, bucket=bucket, s3=s3)
            _deliver(rows, event, request, manifest, write, databases.clean)
        if left.count:
            manifest["erased"] = left.count
    elif request.start_at == "clean":
        _list_loaded(manifest, databases)
    key = f"{_PREFIX}/runs/{event['execution']}/manifest.json"
    with reachable(bucket):
        s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode(), ContentType="application/json")
    return _result(request, manifest, key, None)


def skip(request: PipelineRequest, source: str, why: str) -> Plan:
    """The plan of an execution that ends before it does anything."""
    manifest = Manifest(
        source=redacted(source),
        data_kind=sources.data_kind(source),
        site=request.site,
        delivered_at="",
        dated=False,
        deliveries=[],
        batches=[],
    )
    return _result(request, manifest, "", why)


def _result(request: PipelineRequest, manifest: Manifest, key: str, skipped: str | None) -> Plan:
    planned = Plan(
        source=manifest["source"],
        data_kind=manifest["data_kind"],
        site=request.site,
        manifest=key,
        rows=sum(batch["rows"] for batch in manifest["batches"]),
        batches=[batch["number"] for batch in manifest["batches"]],
        models=list(request.models),
        start_at=request.start_at,
        stop_after=request.stop_after,
        by=request.actor,
        force=request.force,
        started_by=request.started_by,
        skipped=skipped,
    )
    if "erased" in manifest:
        planned["erased"] = manifest["erased"]
    return planned


def _kind_of(request: PipelineRequest, source: str) -> DataKind:
    """What the rows of the source are: a file may have synthetic ones, but what is generated is never real."""
    kind = sources.data_kind(source)
    if kind == "synthetic" and request.data_kind == "real":
        raise InvalidRequest(f"input field 'data_kind' cannot be 'real': the source {source!r} is synthetic")
    if kind == "synthetic" and request.diag_version == "icd10":
        raise InvalidRequest(f"input field 'diag_version' cannot be 'icd10': the diagnoses of {source!r} are ICD-9-CM")
    return request.data_kind or kind


def read_manifest(bucket: str, key: str, s3: "S3Client") -> Manifest:
    """The run's manifest. Raises `BatchMissing`, also for that of a run which an earlier release planned."""
    manifest = json.loads(_get(bucket, key, s3))
    if "deliveries" not in manifest:
        raise BatchMissing(f"s3://{bucket}/{key} is of an earlier release; start the execution again")
    return cast(Manifest, manifest)


def read_batch(bucket: str, manifest_key: str, number: int, s3: "S3Client") -> tuple[Manifest, Batch]:
    """The run's manifest, and the batch with the given number. Raises `BatchMissing`."""
    manifest = read_manifest(bucket, manifest_key, s3)
    for batch in manifest["batches"]:
        if batch["number"] == number:
            return manifest, batch
    raise BatchMissing(f"batch {number} is not in the manifest s3://{bucket}/{manifest_key}")


def read_text(bucket: str, key: str, s3: "S3Client") -> str:
    """The CSV text of a batch, without a header, in the contract's order. Raises `BatchMissing`."""
    return gzip.decompress(_get(bucket, key, s3)).decode()


def write_text(bucket: str, key: str, text: bytes, s3: "S3Client") -> None:
    """Write a batch, as `read_text` reads it. The same text gives the same object."""
    body = gzip.compress(text, compresslevel=1, mtime=0)
    with reachable(bucket):
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/gzip")


def to_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV without a header; lines end with a line feed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _csv_line(row: Sequence[str]) -> str:
    """The row as `to_csv` writes it. Most rows have nothing to quote, and joining them takes a fifth of its time."""
    line = ",".join(row)
    if '"' in line or "\n" in line or "\r" in line or line.count(",") != len(row) - 1:
        return to_csv([row])
    return f"{line}\n"


def _deliver(
    rows: Rows,
    event: PlanEvent,
    request: PipelineRequest,
    manifest: Manifest,
    write: Callable[[Iterator[list[str]]], Iterator[Batch]],
    clean: Connection,
) -> None:
    """Write the rows as batches and register the delivery; both are added to the manifest."""
    source, started = manifest["source"], date.fromisoformat(event["started_at"][:10])
    if request.taken_on and request.taken_on > started:
        raise InvalidRequest(f"input field 'taken_on': {request.taken_on} is after the start of the run")
    dates = _Dates(started)
    stated = request.diag_version
    watched = dates.watch(rows)
    batches = list(write(_with_version(watched, rows.optional, stated) if stated else watched))
    if not batches:
        raise SourceMalformed(f"{source} has a header but no rows, or only rows of patients whose data were erased")
    if request.taken_on and not dates.dated:
        raise InvalidRequest(
            f"input field 'taken_on' has no effect without discharge dates: {source} has no column {DISCHARGE_DATE!r}"
        )
    delivery = Delivery(
        delivery_id=event["execution"],
        data_kind=manifest["data_kind"],
        site=request.site,
        source=source,
        delivered_at=event["started_at"],
        # A site that does not say when it took the data took it no earlier than on the day of its newest discharge.
        taken_on=request.taken_on or dates.newest,
    )

    lines = [DeliveredBatch(one["number"], one["batch_ids"][0], one["first_row"], one["rows"]) for one in batches]
    with transaction(clean):
        deliveries.register(clean, delivery, lines, manifest.get("mapping"))
    manifest["dated"] = dates.dated
    manifest["versioned"] = bool(stated) or DIAG_VERSION in rows.optional
    manifest["deliveries"] = [delivery.delivery_id]
    manifest["batches"] = batches


def _write_batches(
    rows: Iterator[list[str]], left: _Left, size: int, scope: str, bucket: str, s3: "S3Client"
) -> Iterator[Batch]:
    first_row = 1
    # A line takes a tenth of the memory that its row takes as a list.
    for number, places in enumerate(batched(left.lines(rows), size, strict=False), start=1):
        chunk = [line for line in places if line is not None]
        if number > MAX_BATCHES:
            total = first_row - 1 + len(places) + sum(1 for _ in rows)
            smallest = -(-total // MAX_BATCHES)
            if smallest > MAX_BATCH_SIZE:
                raise InvalidRequest(
                    f"the source has {total} rows, and an execution takes {MAX_BATCHES * MAX_BATCH_SIZE} at most:"
                    f" {MAX_BATCHES} batches of {MAX_BATCH_SIZE}; deliver it in parts"
                )
            raise InvalidRequest(
                f"input field 'batch_size': {size} would make more than {MAX_BATCHES} batches; it must be at least"
                f" {smallest}"
            )
        if chunk:
            text = "".join(chunk).encode()
            batch_id = sha256(scope.encode() + text).hexdigest()[:24]
            key = f"{BATCHES}{batch_id}{BATCH_ENDING}"
            write_text(bucket, key, text, s3)
            yield Batch(number=number, batch_ids=[batch_id], keys=[key], first_row=first_row, rows=len(chunk))
        first_row += len(places)


def _list_loaded(manifest: Manifest, databases: Databases) -> None:
    """Add the deliveries that can be cleaned, and their batches, to the manifest."""
    listed = [one.delivery_id for one in deliveries.to_clean(databases.clean, manifest["data_kind"])]
    batches = deliveries.batches_of(databases.clean, listed)
    ids = {batch.batch_id for some in batches.values() for batch in some}
    loaded = {
        batch_id
        for (batch_id,) in databases.raw.run(
            "SELECT batch_id FROM batch WHERE batch_id = ANY (CAST(:ids AS text[]))", ids=sorted(ids)
        )
    }
    complete = [one for one in listed if all(batch.batch_id in loaded for batch in batches[one])]
    # A batch of several deliveries is cleaned once.
    distinct = {batch.batch_id: batch.rows for one in complete for batch in batches[one]}
    joined = max(1, -(-len(distinct) // MAX_BATCHES))
    manifest["deliveries"] = complete
    manifest["batches"] = [
        Batch(
            number=number,
            batch_ids=[batch_id for batch_id, _ in group],
            keys=[],
            first_row=0,
            rows=sum(rows for _, rows in group),
        )
        for number, group in enumerate(batched(distinct.items(), joined, strict=False), start=1)
    ]


def _get(bucket: str, key: str, s3: "S3Client") -> bytes:
    try:
        with reachable(bucket):
            return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
            raise BatchMissing(f"s3://{bucket}/{key} does not exist") from error
        raise
