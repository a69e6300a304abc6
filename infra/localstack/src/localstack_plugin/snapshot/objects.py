"""The content of the objects in S3 that a snapshot keeps: the code of functions and layers."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localstack.services.plugins import SERVICE_PLUGINS
from localstack.services.s3.models import S3Bucket, S3Object, s3_stores

from localstack_plugin.snapshot import volatile


def save(folder: Path) -> None:
    """Writes a file for each object."""
    storage = _storage()
    for path, bucket, found in _kept(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        with storage.open(bucket, found, mode="r") as stored, path.open("wb") as file:
            shutil.copyfileobj(stored, file, 1 << 20)


def restore(folder: Path) -> None:
    """Into S3, which must have the buckets and the objects already. Raises FileNotFoundError."""
    storage = _storage()
    for bucket in _buckets():  # the folder of its large objects
        storage.create_bucket(bucket)
    for path, bucket, found in _kept(folder):
        etag = found.etag  # of an upload in parts, which writing at once would change
        with storage.open(bucket, found, mode="w") as stored, path.open("rb") as file:
            stored.write(file)
        found.etag = etag


def _storage() -> Any:
    return SERVICE_PLUGINS.require("s3")._provider._storage_backend


def _kept(folder: Path) -> Iterator[tuple[Path, str, S3Object]]:
    for name, bucket in _buckets().items():
        if volatile.keeps_objects(bucket):
            for number, found in enumerate(sorted(bucket.objects.values(), key=lambda one: one.key)):
                yield folder / name / str(number), name, found


def _buckets() -> dict[str, S3Bucket]:
    """Of all accounts, in all of whose regions they are."""
    return {name: bucket for _, _, store in list(s3_stores.iter_stores()) for name, bucket in store.buckets.items()}
