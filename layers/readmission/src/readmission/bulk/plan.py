"""The first step of a scoring job: which version scores, and the rows in chunks.

Both are decided once. All chunks use the version that was in Production then, whatever is promoted meanwhile.
"""

import gzip
import hashlib
import json
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any, Final, cast

from pg8000.native import Connection

from readmission.bulk import delivered, readers
from readmission.bulk.job_files import JobFiles
from readmission.bulk.readers import Numbered
from readmission.domain import jobs
from readmission.domain.jobs import JobPlan, JobRequest, PlanEvent, parse_request
from readmission.errors import InvalidRequest, SourceLimitExceeded, SourceMalformed, SourceNotFound
from readmission.http.problems import Refused
from readmission.pipeline.sources import fetch_object
from readmission.serving.batch import refusal
from readmission.settings import SourceSettings
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mypy_boto3_s3 import S3Client

    from readmission.registry.production import MlflowRegistry

_CHUNK: Final = "chunk-{:04d}.jsonl.gz"
_LEVEL: Final = 1  # chunks live for minutes


def plan(
    event: PlanEvent,
    files: JobFiles,
    registry: "MlflowRegistry",
    clean: "AbstractContextManager[Connection]",
    limits: SourceSettings,
) -> JobPlan:
    """Cut what is to be scored into chunks. `clean` is connected to only for a delivery.

    Raises `InvalidRequest`, `ModelUnavailable`, `StorageUnavailable`, `DatabaseUnavailable`, and for files what
    `sources.fetch_object` and `readers.read` raise.
    """
    request = parse_request(event["input"], files.bucket)
    if (found := files.document(jobs.PLAN)) is not None:
        return _known(found, request)
    source, skipped = _chosen(request, files, event["started_at"])
    if skipped:
        return {"rows": 0, "chunks": [], "model_version": None, "skipped": skipped}
    version = registry.production()
    with _rows(source, request.delivery, files, clean, limits) as (content, rows):
        count, chunks = _write_chunks(rows, request.chunk_rows, files, content)
    if not count:
        raise SourceMalformed(f"{_named(source, request)} has no rows")
    document = {
        "asked": request.asked(),
        "by": request.by,
        "source": _named(source, request),
        "explain": request.explain,
        "started_at": event["started_at"],
        "version": asdict(version),
        "rows": count,
        "chunks": chunks,
        "content": content,
    }
    return _known(files.once(jobs.PLAN, lambda: document), request)


def read_chunk(files: JobFiles, planned: Mapping[str, Any], chunk: int) -> list[tuple[int, Any, Any]]:
    """The rows of a chunk: number, document, and the problem of a row that could not be read, else None."""
    content = files.read(chunk_name(planned["content"], chunk))
    if content is None:
        raise SourceNotFound(f"chunk {chunk} of the job {files.job} is no longer in S3; start another job")
    return [tuple(json.loads(line)) for line in gzip.decompress(content).splitlines()]


def chunk_name(content: str, chunk: int) -> str:
    """The name of the file with the rows of a chunk of this content.

    If somebody replaces the file between two attempts, the chunks of the one are not those of the other.
    """
    return f"{jobs.WORK}{content}/{_CHUNK.format(chunk)}"


def _known(found: dict[str, Any], request: JobRequest) -> JobPlan:
    if found["asked"] != request.asked():
        raise InvalidRequest("there is a job of this id with another order; choose another id")
    return {
        "rows": found["rows"],
        "chunks": list(range(1, found["chunks"] + 1)),
        "model_version": found["version"]["number"],
        "skipped": None,
    }


def _named(source: str | None, request: JobRequest) -> str:
    return source or f"delivery {request.delivery}"


def _chosen(request: JobRequest, files: JobFiles, at: str) -> tuple[str | None, str | None]:
    """The key of the file to score, and why there is nothing to score. Both are None for a delivery."""
    if request.source or request.delivery:
        return request.source, None
    newest = _newest(files.s3, files.bucket)
    if newest is None:
        return None, f"there is no file below {jobs.INCOMING}"
    key, etag = newest
    # Of this content of this file; a step that is repeated finds its own note.
    note = f"{jobs.SCHEDULED}{hashlib.sha256(f'{key} {etag}'.encode()).hexdigest()}"
    own = {"job": files.job, "at": at}
    taken = files.once_at(note, lambda: own)
    if taken["job"] == files.job:
        return key, None
    if JobFiles(files.s3, files.bucket, taken["job"]).read(jobs.RESULT) is not None:
        return None, f"{key} has been scored by the job {taken['job']}"
    if datetime.fromisoformat(at) - datetime.fromisoformat(taken["at"]) < timedelta(seconds=jobs.JOB_SECONDS):
        return None, f"{key} is being scored by the job {taken['job']}"
    files.replace(note, own)  # that job has failed
    return key, None


def _newest(s3: "S3Client", bucket: str) -> tuple[str, str] | None:
    """Key and ETag of the newest file to score; None if there is none."""
    newest: tuple[Any, str, str] | None = None
    with reachable(bucket):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=jobs.INCOMING):
            for one in page.get("Contents", []):
                if one["Size"]:  # consoles make folders as empty objects
                    candidate = (one["LastModified"], one["Key"], one["ETag"])
                    newest = max(newest, candidate) if newest else candidate
    return newest and newest[1:]


@contextmanager
def _rows(
    source: str | None,
    delivery: str | None,
    files: JobFiles,
    clean: "AbstractContextManager[Connection]",
    limits: SourceSettings,
) -> Iterator[tuple[str, Generator[Numbered]]]:
    """What identifies the content, and its rows."""
    if source is None:
        assert delivery is not None
        with clean as connection, closing(delivered.read(connection, delivery)) as rows:
            yield "delivery", rows
        return
    address = f"s3://{files.bucket}/{source}"
    with tempfile.TemporaryFile() as spool:
        # On disk, because the directory of a zip and of a Parquet file is at its end.
        fetch_object(address, files.s3, spool, limits)
        spool.seek(0)
        digest = hashlib.file_digest(cast(Any, spool), "sha256").hexdigest()
        spool.seek(0)
        with closing(readers.read(spool, address, limits.max_bytes)) as rows:
            yield digest, rows


def _write_chunks(rows: Iterator[Numbered], size: int, files: JobFiles, content: str) -> tuple[int, int]:
    """The numbers of rows and of chunks. In memory is one chunk."""
    count = chunk = 0
    for chunk, part in enumerate(batched(rows, size, strict=False), start=1):
        if chunk > jobs.MAX_CHUNKS:
            raise SourceLimitExceeded(
                f"a job has at most {jobs.MAX_CHUNKS} chunks, which are {jobs.MAX_CHUNKS * size} rows with 'chunk_rows'"
                f" {size}; give more, {jobs.MAX_CHUNK_ROWS} at most, or score the file in parts"
            )
        lines = [json.dumps(_line(number, row), ensure_ascii=False) for number, row in part]
        count += len(lines)
        # Without the time, so that the same rows are the same bytes.
        text = "\n".join(lines).encode("utf-8", "surrogatepass")
        files.write(chunk_name(content, chunk), gzip.compress(text, _LEVEL, mtime=0))
    return count, chunk


def _line(number: int, row: Any) -> tuple[int, Any, Any]:
    return (number, None, refusal(row)) if isinstance(row, Refused) else (number, row, None)
