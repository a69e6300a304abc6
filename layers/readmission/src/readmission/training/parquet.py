"""Exports the clean rows to Parquet in S3, for trainings that read them from several processes.

Below `training/<data kind>/<rows hash>/` are parts of at most `PART_ROWS` rows and `manifest.json`, which is written
last: a folder without it is unfinished, and is made again. The same rows give the same bytes, so exports can run at the
same time. Memory does not grow with the rows: they pass through a temporary file.

pyarrow is in the trainer's image and in the development environment, and in no Lambda layer.
"""

import json
import tempfile
from collections.abc import Iterator
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any, Final, TypedDict, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from botocore.exceptions import ClientError
from pg8000.native import Connection

from readmission.domain.features import INPUTS, NUMBERS
from readmission.domain.payloads import DataKind
from readmission.errors import NoTrainingData
from readmission.evaluation import dataset
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ANSWER_SECONDS: Final = 3600
"""For the connection of an export: Postgres sorts all rows before it sends the first."""
FORMAT: Final = 1
PART_ROWS: Final = 250_000
FOLDS: Final = 5
FOLD: Final = "fold"
PATIENT: Final = "patient"
# A part of this many rows is in memory at a time.
_GROUP_ROWS: Final = 25_000
_BLOCK_BYTES: Final = 1 << 20
_OTHERS: Final = tuple(name for name in dataset.STAY if name not in (*INPUTS, dataset.TARGET))
COLUMNS: Final = (*INPUTS, dataset.TARGET, *_OTHERS, FOLD, PATIENT)
"""The columns of a part. `fold` (int8) is from 0 to `FOLDS` - 1, and `patient` (int64) numbers the patients of all
sites: both follow from site and patient number, so they are the same in every export. Numbers are float64, null if
unknown; `patient_nbr` is int64, and all others are strings."""

_TYPES: Final = {
    **dict.fromkeys((*INPUTS, dataset.TARGET, *_OTHERS), pa.string()),
    **dict.fromkeys(NUMBERS, pa.float64()),
    "patient_nbr": pa.int64(),
}


class Part(TypedDict):
    """A Parquet file in the bucket."""

    key: str
    rows: int


class Manifest(TypedDict):
    """An export: its parts in the order of the rows, which is by site, patient and encounter."""

    format: int
    rows: int
    columns: list[str]
    parts: list[Part]
    data_kind: DataKind
    rows_hash: str


def export(clean: Connection, kind: DataKind, s3: "S3Client", bucket: str) -> Manifest:
    """Export the clean rows of that kind that are learned from, and return the manifest. Idempotent.

    If these rows have been exported already, returns that manifest. Raises `NoTrainingData` if there are none, and
    `StorageUnavailable`.
    """
    with tempfile.TemporaryFile() as text:
        with dataset.snapshot(clean, kind) as rows_hash:
            if known := read_manifest(s3, bucket, kind, rows_hash):
                return known
            dataset.copy_by_patient(clean, text)
        text.seek(0)
        folder = _folder(kind, rows_hash)
        if known := read_manifest(s3, bucket, kind, rows_hash):
            return known  # another export has ended meanwhile
        _remove_manifest(s3, bucket, folder)
        parts = [_upload(part, rows, number, folder, s3, bucket) for number, (part, rows) in enumerate(_parts(text))]
    if not parts:
        raise NoTrainingData(f"there are no {kind} clean rows to learn from; ingest and clean data first")
    manifest = Manifest(
        format=FORMAT,
        rows=sum(part["rows"] for part in parts),
        columns=list(COLUMNS),
        parts=parts,
        data_kind=kind,
        rows_hash=rows_hash,
    )
    body = json.dumps(manifest).encode()
    with reachable(bucket):
        s3.put_object(Bucket=bucket, Key=f"{folder}/manifest.json", Body=body, ContentType="application/json")
    return manifest


def read_manifest(s3: "S3Client", bucket: str, kind: DataKind, rows_hash: str) -> Manifest | None:
    """The manifest of a finished export of these rows, or None if there is none.

    An export of another release with other columns, or one that has lost a part, does not count as finished. Raises
    `StorageUnavailable`.
    """
    folder = _folder(kind, rows_hash)
    key = f"{folder}/manifest.json"
    with reachable(bucket):
        keys = _keys(s3, bucket, folder)
        if key not in keys:
            return None
        try:
            body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None  # removed meanwhile, by an export of another release
            raise
    manifest = cast(Manifest, json.loads(body))
    current = manifest["format"] == FORMAT and manifest["columns"] == list(COLUMNS)
    return manifest if current and all(part["key"] in keys for part in manifest["parts"]) else None


def _folder(kind: DataKind, rows_hash: str) -> str:
    return f"training/{kind}/{rows_hash}"


def _keys(s3: "S3Client", bucket: str, folder: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/")
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


def _remove_manifest(s3: "S3Client", bucket: str, folder: str) -> None:
    """Remove that of a release with other columns, whose parts are about to be replaced."""
    with reachable(bucket):
        if (key := f"{folder}/manifest.json") in _keys(s3, bucket, folder):
            s3.delete_object(Bucket=bucket, Key=key)


def _upload(part: IO[bytes], rows: int, number: int, folder: str, s3: "S3Client", bucket: str) -> Part:
    key = f"{folder}/part-{number:05}.parquet"
    with reachable(bucket):
        s3.put_object(Bucket=bucket, Key=key, Body=part, ContentType="application/vnd.apache.parquet")
    return Part(key=key, rows=rows)


def _parts(text: IO[bytes]) -> Iterator[tuple[IO[bytes], int]]:
    """The Parquet files of the rows in the CSV text, with their numbers of rows; closed when the next is requested."""
    groups = _groups(text)
    group = next(groups, None)
    while group is not None:
        rows = 0
        with tempfile.TemporaryFile() as file:
            with pyarrow.parquet.ParquetWriter(file, group.schema, compression="zstd") as writer:
                while group is not None and rows < PART_ROWS:
                    writer.write_table(group, row_group_size=_GROUP_ROWS)
                    rows += len(group)
                    group = next(groups, None)
            # Arrow keeps what it frees; it would be more with each part.
            pa.default_memory_pool().release_unused()
            file.seek(0)
            yield file, rows


def _groups(text: IO[bytes]) -> Iterator[pa.Table]:
    """The rows of the CSV text in tables of `_GROUP_ROWS` rows, of which the last may have fewer."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in _batches(text):
        waiting.append(batch)
        count += len(batch)
        while count >= _GROUP_ROWS:
            table = pa.Table.from_batches(waiting)
            yield _completed(table.slice(0, _GROUP_ROWS))
            waiting = table.slice(_GROUP_ROWS).to_batches()
            count -= _GROUP_ROWS
    if count:
        yield _completed(pa.Table.from_batches(waiting))


def _batches(text: IO[bytes]) -> Iterator[pa.RecordBatch]:
    with pyarrow.csv.open_csv(
        text,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=_TYPES, null_values=[""], strings_can_be_null=False, include_columns=list(_TYPES)
        ),
    ) as reader:
        yield from reader


def _completed(table: pa.Table) -> pa.Table:
    """The table with fold and number of each row's patient."""
    sites, numbers = table["site"].to_pylist(), table["patient_nbr"].to_pylist()
    patients = [patient_of(site, number) for site, number in zip(sites, numbers, strict=True)]
    folds: Any = pa.array([patient % FOLDS for patient in patients], pa.int8())
    return table.append_column(FOLD, folds).append_column(PATIENT, pa.array(patients, pa.int64()))


def patient_of(site: str, patient_nbr: int) -> int:
    """The number (from 0 to 2^63 - 1) of a patient of any site, the same on every machine.

    It is independent of `splits.split_of`. Sites use the same numbers for different patients.
    """
    name = f"{site}\x1f{patient_nbr}".encode()
    return int.from_bytes(blake2b(name, digest_size=8, person=b"training").digest()) >> 1
