"""The program of a process that scores a file as a job: `python -m tests.benchmarks.job_alone MODEL FILE FOLDER`.

It runs the steps of the job one after the other, with a folder in place of S3, and prints the rows, the seconds, those
of the processor, and the largest memory in MB. The rows name no patients, so that no database is asked.
"""

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError
from readmission.bulk.job_files import JobFiles
from readmission.bulk.plan import plan
from readmission.bulk.score import Databases, finish, score
from readmission.domain.jobs import INCOMING, PlanEvent
from readmission.registry.production import Version
from readmission.settings import SourceSettings


class _Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk


class FolderS3:
    """The calls of S3 that a job makes, on the files of a folder."""

    def __init__(self, folder: Path, source: Path) -> None:
        self._folder, self._source = folder, source

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, ContentType: str, IfNoneMatch: str = "") -> None:
        file = self._folder / Key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(Body)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Key.startswith(INCOMING):
            return {"Body": SimpleNamespace(iter_chunks=self._chunks)}
        file = self._folder / Key
        if not file.is_file():
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject")
        return {"Body": _Body(file.read_bytes())}

    def _chunks(self, size: int) -> Iterator[bytes]:
        with self._source.open("rb") as content:
            while chunk := content.read(size):
                yield chunk

    def upload_fileobj(self, file: Any, bucket: str, key: str, ExtraArgs: Any) -> None:
        with (self._folder / key).open("wb") as target:
            while chunk := file.read(1 << 20):
                target.write(chunk)

    def delete_object(self, *, Bucket: str, Key: str) -> None:
        (self._folder / Key).unlink()

    def get_paginator(self, _: str) -> "FolderS3":
        return self

    def paginate(self, *, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        below = self._folder / Prefix
        files = sorted(one for one in below.rglob("*") if one.is_file())
        yield {"Contents": [{"Key": str(one.relative_to(self._folder))} for one in files]}


class _Registry:
    """The scorer of one version, read from a folder."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def production(self) -> Version:
        return Version("readmission", "1", "run", "gradient_boosting", "real", sha256(self._content).hexdigest())

    def scorer_document(self, version: Version) -> bytes:
        return self._content


def main() -> None:
    _, model, file, folder = sys.argv
    files = JobFiles(FolderS3(Path(folder), Path(file)), "data", "bench")  # type: ignore[arg-type]
    registry: Any = _Registry((Path(model) / "scorer.json").read_bytes())
    request = {"source": f"{INCOMING}{Path(file).name}"}
    event = PlanEvent(task="plan", execution="bench", started_at="2026-01-01T00:00:00+00:00", input=request)
    began, worked = time.perf_counter(), time.process_time()
    planned = plan(event, files, registry, nullcontext(), SourceSettings(max_seconds=3600))  # type: ignore[arg-type]
    databases = Databases(_no_database)
    for chunk in planned["chunks"]:
        score(chunk, files, registry, databases)
    result = finish(files)
    print(
        json.dumps(
            {
                "rows": result["rows"],
                "answered": result["answered"],
                "seconds": time.perf_counter() - began,
                "worked": time.process_time() - worked,
                "mb": _largest(),
            }
        )
    )


def _largest() -> float:
    """MB. Not by getrusage, which remembers what the process had before it became this program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kib,) = (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kib / 1024


def _no_database() -> Any:
    raise AssertionError("a row names a patient")


if __name__ == "__main__":
    main()
