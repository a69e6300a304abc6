"""Copies S3 buckets to disk while LocalStack, which keeps them in memory, is running, and restores them into a new one.

The creation time identifies a bucket. The mirror deletes an object only if it was deleted from the bucket that the
mirror follows. It deletes nothing if the bucket vanishes, if LocalStack does not answer, or if a new bucket of the same
name is still empty because nothing has been restored yet.
"""

import json
import signal
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws, files
from infra.local.servers.keys import path_of
from infra.local.settings import Settings, load

INTERVAL_SECONDS = 3
KEPT_HEADERS = (
    "ContentType",
    "ContentEncoding",
    "ContentDisposition",
    "ContentLanguage",
    "CacheControl",
    "Metadata",
)
# LocalStack treats these frequent calls as internal and does not log them. Our plug-in sends no event for an object
# that comes back, so that it does not start an execution again.
HEADERS = {"x-localstack-data": "{}", "x-readmission-mirror": "on"}


@dataclass(frozen=True)
class Version:
    """Identifies one version of an object's content."""

    etag: str
    size: int
    modified: str


@dataclass(frozen=True)
class Entry:
    version: Version
    headers: dict[str, Any]


@dataclass
class Index:
    """The objects of one bucket that are in the mirror."""

    created: str = ""
    """Creation time of the bucket that the mirror follows; empty before the first pass."""
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    changed: list[str]
    gone: list[str]


def difference(index: Index, listing: dict[str, Version]) -> Difference:
    changed = [
        key for key, version in listing.items() if key not in index.entries or index.entries[key].version != version
    ]
    return Difference(changed, gone=[key for key in index.entries if key not in listing])


class Mirror:
    """Its methods raise botocore's errors if LocalStack does not answer, OSError if reading or writing files fails."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.mirror
        self.s3 = aws.client(settings, "s3")
        self.s3.meta.events.register("before-call.s3", lambda params, **_: params["headers"].update(HEADERS))

    # --- copying ---

    def copy(self) -> None:
        """One pass over all buckets."""
        created = self._created()
        for bucket in self.settings.mirror_buckets:
            if bucket in created:
                self._copy_bucket(bucket, created[bucket])

    def _copy_bucket(self, bucket: str, created: str) -> None:
        index = self._read_index(bucket)
        if index.created != created:
            self._restore_bucket(bucket, created, index)
        listing = self._list(bucket)
        found = difference(index, listing)
        if found.changed:
            self._fetch_all(bucket, found.changed, index)
        # Checked again, because an empty bucket may have replaced this one since the first check.
        if found.gone and self._created().get(bucket) == created:
            self._forget_all(bucket, found.gone, index)

    def _fetch_all(self, bucket: str, keys: Iterable[str], index: Index) -> None:
        try:
            for key in keys:
                if entry := self._fetch(bucket, key):
                    index.entries[key] = entry
        finally:
            self._write_index(bucket, index)  # so that the next pass continues after a failure

    def _forget_all(self, bucket: str, keys: Iterable[str], index: Index) -> None:
        for key in keys:
            del index.entries[key]
        self._write_index(bucket, index)
        self._remove(bucket, keys)

    def _fetch(self, bucket: str, key: str) -> Entry | None:
        """None if the object has been deleted in the meantime."""
        try:
            answer = self.s3.get_object(Bucket=bucket, Key=key)
        except self.s3.exceptions.NoSuchKey:
            return None
        with closing(answer["Body"]) as body:
            self._write(self._path(bucket, key), body.iter_chunks(1 << 20))
        version = Version(answer["ETag"], answer["ContentLength"], _utc(answer["LastModified"]))
        return Entry(version, {name: answer[name] for name in KEPT_HEADERS if answer.get(name)})

    def _remove(self, bucket: str, keys: Iterable[str]) -> None:
        top = self.folder / bucket
        for key in keys:
            path = self._path(bucket, key)
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == top or not folder.exists() or any(folder.iterdir()):
                    break
                folder.rmdir()

    # --- restoring ---

    def restore(self) -> tuple[int, int]:
        """Restores new buckets and creates missing ones.

        Returns how many objects were restored, and how many could not be because their file is missing.
        """
        created = self._created()
        restored = missing = 0
        for bucket in self.settings.mirror_buckets:
            index = self._read_index(bucket)
            if index.created == created.get(bucket) or not index.entries:
                continue
            if bucket not in created:
                self.s3.create_bucket(Bucket=bucket)
                created = self._created()
            counts = self._restore_bucket(bucket, created[bucket], index)
            restored, missing = restored + counts[0], missing + counts[1]
        return restored, missing

    def _restore_bucket(self, bucket: str, created: str, index: Index) -> tuple[int, int]:
        """Keeps objects that are already in the new bucket, because they are newer. The mirror follows the new bucket
        only when everything is restored, so an interruption loses nothing."""
        present = self._list(bucket)
        absent = [key for key in index.entries if key not in present]
        missing = [key for key in absent if not self._path(bucket, key).exists()]
        for key in missing:
            del index.entries[key]
        restored = [key for key in absent if key in index.entries]
        for key in restored:
            with self._path(bucket, key).open("rb") as body:
                self.s3.put_object(Bucket=bucket, Key=key, Body=body, **index.entries[key].headers)
        listing = self._list(bucket) if restored else {}
        for key in restored:
            if key in listing:
                index.entries[key] = Entry(listing[key], index.entries[key].headers)
        index.created = created
        self._write_index(bucket, index)
        return len(restored), len(missing)

    # --- S3 ---

    def _created(self) -> dict[str, str]:
        return {bucket["Name"]: _utc(bucket["CreationDate"]) for bucket in self.s3.list_buckets()["Buckets"]}

    def _list(self, bucket: str) -> dict[str, Version]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {
            item["Key"]: Version(item["ETag"], item["Size"], _utc(item["LastModified"]))
            for page in pages
            for item in page.get("Contents", [])
        }

    # --- disk ---

    def _path(self, bucket: str, key: str) -> Path:
        return self.folder / bucket / path_of(key)

    def _index(self, bucket: str) -> Path:
        return self.folder / ".index" / f"{bucket}.json"

    def _read_index(self, bucket: str) -> Index:
        try:
            stored = json.loads(self._index(bucket).read_text())
        except FileNotFoundError:
            return Index()
        entries = {
            key: Entry(Version(**entry["version"]), entry["headers"]) for key, entry in stored["entries"].items()
        }
        return Index(stored["created"], entries)

    def _write_index(self, bucket: str, index: Index) -> None:
        self._write(self._index(bucket), [json.dumps(asdict(index)).encode()])

    def _write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Atomic, even if the machine crashes midway."""
        incoming = self.folder / ".incoming"
        incoming.mkdir(exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_chunks(path, chunks, incoming)


def _utc(time: datetime) -> str:
    """botocore returns local time, but the mirror and `up` may run in different time zones."""
    return time.astimezone(UTC).isoformat()


def restore(settings: Settings) -> str:
    """Restores S3 into a new LocalStack and returns a summary. The mirror must not be running."""
    restored, missing = Mirror(settings).restore()
    summary = f"{restored} restored" if restored else "nothing to restore"
    return f"{summary}, {missing} missing from {settings.mirror}" if missing else summary


def main() -> None:
    """Copies every few seconds until SIGTERM, then once more."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # so that it cannot interrupt a pass
    mirror = Mirror(load())
    trouble = None
    stopping = False
    while not stopping:
        stopping = signal.sigtimedwait({signal.SIGTERM}, INTERVAL_SECONDS) is not None
        previous, trouble = trouble, _trouble(mirror)
        if trouble != previous:
            print(trouble or "copying resumed", flush=True)
    sys.exit(1 if trouble else 0)


def _trouble(mirror: Mirror) -> str | None:
    try:
        mirror.copy()
    except (BotoCoreError, ClientError, OSError) as error:
        return f"copying failed, the mirror is unchanged: {error}"
    return None


if __name__ == "__main__":
    main()
