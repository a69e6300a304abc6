"""LocalStack keeps S3 in memory. This copies chosen buckets to disk while it runs, and puts them back into a
new one.

A bucket is known by its time of creation. The mirror removes what was removed from the bucket that it knows;
a bucket that vanished, a LocalStack that does not answer, or a new bucket of the same name, which is empty
because nothing has been put back yet, removes nothing.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
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


@dataclass(frozen=True)
class Version:
    """What tells one content of an object from another."""

    etag: str
    size: int
    modified: str


@dataclass(frozen=True)
class Entry:
    version: Version
    headers: dict[str, Any]


@dataclass
class Index:
    """What the mirror holds of a bucket."""

    created: str = ""
    """When the bucket that it follows was made; empty before the first pass."""
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
    """Its methods raise botocore's errors when LocalStack does not answer, OSError when the disk does not."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.mirror
        self.s3 = aws.client(settings, "s3")
        # LocalStack then counts these frequent calls among its internal ones and does not log them.
        self.s3.meta.events.register(
            "before-call.s3", lambda params, **_: params["headers"].update({"x-localstack-data": "{}"})
        )

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
        # Asked again: the bucket may have been replaced by an empty one after the first question.
        if found.gone and self._created().get(bucket) == created:
            self._forget_all(bucket, found.gone, index)

    def _fetch_all(self, bucket: str, keys: Iterable[str], index: Index) -> None:
        try:
            for key in keys:
                if entry := self._fetch(bucket, key):
                    index.entries[key] = entry
        finally:
            self._write_index(bucket, index)  # what was fetched before a failure need not be fetched again

    def _forget_all(self, bucket: str, keys: Iterable[str], index: Index) -> None:
        for key in keys:
            del index.entries[key]
        self._write_index(bucket, index)
        self._remove(bucket, keys)

    def _fetch(self, bucket: str, key: str) -> Entry | None:
        """None when the object was removed meanwhile."""
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

    # --- putting back ---

    def restore(self) -> tuple[int, int]:
        """Puts all back into buckets that are new (missing ones are made): the numbers of objects put back
        and of those whose file is missing from the mirror."""
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
        """An object that the new bucket already holds is newer, and stays. Only when all is back does the
        mirror follow the new bucket, so an interruption here loses nothing."""
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
        """Whole or not at all, also when the machine stops in the middle."""
        incoming = self.folder / ".incoming"
        incoming.mkdir(exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=incoming)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


def _utc(time: datetime) -> str:
    """botocore gives local time, and the mirror and `up` may run with different time zones."""
    return time.astimezone(UTC).isoformat()


def restore(settings: Settings) -> str:
    """Puts S3 back as it was, once per new LocalStack; what was done, in words. The mirror must not run."""
    restored, missing = Mirror(settings).restore()
    said = f"put back {restored}" if restored else "nothing to put back"
    return f"{said}, {missing} are missing from {settings.mirror}" if missing else said


def main() -> None:
    """Copies every few seconds until SIGTERM, and then once more."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # never in the middle of a pass
    mirror = Mirror(load())
    trouble = None
    stopping = False
    while not stopping:
        stopping = signal.sigtimedwait({signal.SIGTERM}, INTERVAL_SECONDS) is not None
        previous, trouble = trouble, _trouble(mirror)
        if trouble != previous:
            print(trouble or "copying again", flush=True)
    sys.exit(1 if trouble else 0)


def _trouble(mirror: Mirror) -> str | None:
    try:
        mirror.copy()
    except (BotoCoreError, ClientError, OSError) as error:
        return f"not copying, the mirror stays as it is: {error}"
    return None


if __name__ == "__main__":
    main()
