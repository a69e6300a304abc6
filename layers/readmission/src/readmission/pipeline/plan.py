"""Plans a run: splits the source into gzip batches in S3 and writes a manifest that lists them.

Batches are named by their content: planning the same source again writes the same objects, and a run that was
interrupted leaves nothing that another run could mistake for its own.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, TypedDict, cast

from botocore.exceptions import ClientError
from pg8000.native import Connection

from readmission.domain.payloads import MAX_BATCHES, DataKind, PipelineRequest, Plan, PlanEvent
from readmission.domain.redaction import redacted
from readmission.errors import BatchMissing, InvalidRequest
from readmission.pipeline import sources
from readmission.settings import SourceSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PREFIX: Final = "pipeline"


class Batch(TypedDict):
    """A batch in the manifest. `keys` is empty if the run starts at *clean*: the rows are in Postgres already."""

    number: int
    batch_ids: list[str]
    keys: list[str]
    first_row: int
    rows: int


class Manifest(TypedDict):
    source: str
    data_kind: DataKind
    delivered_at: str
    batches: list[Batch]


def plan(
    event: PlanEvent,
    request: PipelineRequest,
    source: str,
    bucket: str,
    s3: "S3Client",
    raw: Connection,
    *,
    settings: SourceSettings | None = None,
) -> Plan:
    """Write the run's manifest to S3, and its batches if it starts at *ingest*.

    A run that starts at *ingest* reads `source`. One that starts at *clean* lists the batches in `raw`. A run that
    starts later has no batches. Manifest and result name the source without its credentials. Raises the errors of
    `sources.open_rows`, and `InvalidRequest` if there would be more than `MAX_BATCHES` batches.
    """
    kind = sources.data_kind(source) if request.source or request.start_at == "ingest" else _kind_in(raw)
    batches: list[Batch] = []
    if request.start_at == "ingest":
        with sources.open_rows(source, s3, settings or SourceSettings()) as rows:
            batches = list(_write_batches(rows, request.batch_size, bucket, s3))
    elif request.start_at == "clean":
        batches = _list_loaded(raw, kind)
    shown = redacted(source)
    manifest = Manifest(source=shown, data_kind=kind, delivered_at=event["started_at"], batches=batches)
    key = f"{_PREFIX}/runs/{event['execution']}/manifest.json"
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(manifest).encode(), ContentType="application/json")
    return Plan(
        source=shown,
        data_kind=kind,
        manifest=key,
        rows=sum(batch["rows"] for batch in batches),
        batches=[batch["number"] for batch in batches],
        models=list(request.models),
        start_at=request.start_at,
        stop_after=request.stop_after,
    )


def read_manifest(bucket: str, key: str, s3: "S3Client") -> Manifest:
    """The run's manifest. Raises `BatchMissing`."""
    return cast(Manifest, json.loads(_get(bucket, key, s3)))


def read_batch(bucket: str, manifest_key: str, number: int, s3: "S3Client") -> tuple[Manifest, Batch]:
    """The run's manifest, and the batch with the given number. Raises `BatchMissing`."""
    manifest = read_manifest(bucket, manifest_key, s3)
    for batch in manifest["batches"]:
        if batch["number"] == number:
            return manifest, batch
    raise BatchMissing(f"batch {number} is not in the manifest s3://{bucket}/{manifest_key}")


def read_text(bucket: str, key: str, s3: "S3Client") -> str:
    """The CSV text of a batch: 50 fields per row, in the contract's order. Raises `BatchMissing`."""
    return gzip.decompress(_get(bucket, key, s3)).decode()


def to_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV without a header; lines end with a line feed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _write_batches(rows: Iterator[list[str]], size: int, bucket: str, s3: "S3Client") -> Iterator[Batch]:
    first_row = 1
    for number, chunk in enumerate(batched(rows, size, strict=False), start=1):
        if number > MAX_BATCHES:
            total = first_row - 1 + len(chunk) + sum(1 for _ in rows)
            smallest = -(-total // MAX_BATCHES)
            raise InvalidRequest(
                f"input field 'batch_size': {size} would make more than {MAX_BATCHES} batches; it must be at least"
                f" {smallest}"
            )
        text = to_csv(chunk).encode()
        batch_id = sha256(text).hexdigest()[:24]
        key = f"{_PREFIX}/batches/{batch_id}.csv.gz"
        body = gzip.compress(text, compresslevel=1, mtime=0)
        s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/gzip")
        yield Batch(number=number, batch_ids=[batch_id], keys=[key], first_row=first_row, rows=len(chunk))
        first_row += len(chunk)


def _kind_in(raw: Connection) -> DataKind:
    ((real,),) = raw.run("SELECT EXISTS (SELECT FROM diabetes_raw WHERE data_kind = 'real')")
    return "real" if real else "synthetic"


def _list_loaded(raw: Connection, kind: DataKind) -> list[Batch]:
    loaded = raw.run(
        "SELECT batch_id, count(*) FROM diabetes_raw WHERE data_kind = :kind GROUP BY batch_id ORDER BY batch_id",
        kind=kind,
    )
    joined = max(1, -(-len(loaded) // MAX_BATCHES))
    return [
        Batch(
            number=number, batch_ids=[row[0] for row in group], keys=[], first_row=0, rows=sum(row[1] for row in group)
        )
        for number, group in enumerate(batched(loaded, joined, strict=False), start=1)
    ]


def _get(bucket: str, key: str, s3: "S3Client") -> bytes:
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
            raise BatchMissing(f"s3://{bucket}/{key} does not exist") from error
        raise
