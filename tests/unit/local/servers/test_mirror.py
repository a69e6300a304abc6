"""The mirror with an in-memory S3 that can vanish and come back empty, like LocalStack."""

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from infra.local import settings
from infra.local.servers import mirror as module
from infra.local.servers.mirror import Difference, Entry, Index, Mirror, Version, difference

BUCKET = "data"


@dataclass
class Bucket:
    created: datetime
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)


class FakeS3:
    class exceptions:
        class NoSuchKey(Exception):
            pass

    def __init__(self) -> None:
        self.clock = datetime(2026, 1, 1, tzinfo=UTC)
        self.buckets: dict[str, Bucket] = {}
        self.reads: list[str] = []
        self.down = False

    def now(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock

    def create_bucket(self, Bucket: str) -> None:
        self.buckets[Bucket] = globals()["Bucket"](self.now())

    def list_buckets(self) -> dict[str, Any]:
        if self.down:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")
        return {"Buckets": [{"Name": name, "CreationDate": bucket.created} for name, bucket in self.buckets.items()]}

    def put_object(self, Bucket: str, Key: str, Body: Any, **headers: Any) -> None:
        content = Body if isinstance(Body, bytes) else Body.read()
        self.buckets[Bucket].objects[Key] = {
            "content": content,
            "ETag": hashlib.md5(content).hexdigest(),
            "LastModified": self.now(),
            "headers": headers,
        }

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.reads.append(Key)
        if Key not in self.buckets[Bucket].objects:
            raise self.exceptions.NoSuchKey
        stored = self.buckets[Bucket].objects[Key]
        return {
            "Body": Body(stored["content"]),
            "ContentLength": len(stored["content"]),
            "ETag": stored["ETag"],
            "LastModified": stored["LastModified"],
            **stored["headers"],
        }

    def get_paginator(self, operation: str) -> "FakeS3":
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Bucket: str) -> list[dict[str, Any]]:
        stored = self.buckets[Bucket].objects.items()
        return [{"Contents": [self._listed(key, item)]} for key, item in stored] or [{}]

    def _listed(self, key: str, item: dict[str, Any]) -> dict[str, Any]:
        return {"Key": key, "Size": len(item["content"])} | {name: item[name] for name in ("ETag", "LastModified")}


class Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Any:
        return iter(lambda: self.read(size), b"")

    def __enter__(self) -> Any:
        """Like botocore, returns the raw stream, which has no iter_chunks."""
        return io.BytesIO(self.getvalue())


@pytest.fixture
def s3() -> FakeS3:
    fake = FakeS3()
    fake.create_bucket(BUCKET)
    return fake


@pytest.fixture
def mirror(tmp_path: Path, s3: FakeS3) -> Mirror:
    loaded = settings.load({"LOCAL_DIR": str(tmp_path), "S3_MIRROR_BUCKETS": BUCKET})
    loaded.create_directories()
    mirror = Mirror(loaded)
    mirror.s3.close()
    mirror.s3 = s3
    return mirror


def content(s3: FakeS3) -> dict[str, bytes]:
    return {key: item["content"] for key, item in s3.buckets[BUCKET].objects.items()}


def file(mirror: Mirror, name: str) -> Path:
    return mirror.folder / BUCKET / name


def test_a_difference_lists_new_changed_and_deleted_keys() -> None:
    old, new = Version("1", 1, "t1"), Version("2", 1, "t1")
    index = Index("t0", {key: Entry(old, {}) for key in ("same", "changed", "gone")})
    assert difference(index, {"same": old, "changed": new, "new": new}) == Difference(["changed", "new"], ["gone"])


@pytest.mark.parametrize("other", [Version("x", 1, "t"), Version("e", 2, "t"), Version("e", 1, "u")])
def test_an_object_has_changed_if_its_etag_size_or_time_has(other: Version) -> None:
    index = Index("t0", {"key": Entry(Version("e", 1, "t"), {})})
    assert difference(index, {"key": other}).changed == ["key"]


def test_objects_are_copied_once_and_again_after_a_change(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "raw/a.csv", b"1")
    mirror.copy()
    mirror.copy()
    assert s3.reads == ["raw/a.csv"]
    s3.put_object(BUCKET, "raw/a.csv", b"2")
    mirror.copy()
    assert file(mirror, "raw%/a.csv").read_bytes() == b"2"


def test_a_deleted_object_and_its_empty_folders_are_removed(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "raw/2024/a.csv", b"1")
    s3.put_object(BUCKET, "raw/b.csv", b"2")
    mirror.copy()
    del s3.buckets[BUCKET].objects["raw/2024/a.csv"]
    mirror.copy()
    assert not file(mirror, "raw%/2024%").exists()
    assert file(mirror, "raw%/b.csv").exists()


def test_a_vanished_bucket_removes_nothing(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    s3.buckets.clear()
    mirror.copy()
    assert file(mirror, "a").read_bytes() == b"1"


def test_a_localstack_that_does_not_answer_removes_nothing(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    s3.down = True
    with pytest.raises(EndpointConnectionError):
        mirror.copy()
    assert file(mirror, "a").read_bytes() == b"1"


def test_a_new_empty_bucket_of_the_same_name_is_filled_from_the_mirror(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    s3.create_bucket(BUCKET)
    mirror.copy()
    assert content(s3) == {"a": b"1"}


def test_a_bucket_that_is_replaced_during_a_pass_removes_nothing(
    mirror: Mirror, s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    listing = s3.paginate

    def replaced_first(Bucket: str) -> Any:
        s3.create_bucket(Bucket)
        return listing(Bucket)

    monkeypatch.setattr(s3, "paginate", replaced_first)
    mirror.copy()
    assert file(mirror, "a").read_bytes() == b"1"


def test_restoring_keeps_content_type_and_metadata(mirror: Mirror, s3: FakeS3) -> None:
    headers = {"ContentType": "text/csv", "Metadata": {"source": "uci"}}
    s3.put_object(BUCKET, "raw/../a/", b"1", **headers)
    mirror.copy()
    s3.buckets.clear()
    assert mirror.restore() == (1, 0)
    assert s3.buckets[BUCKET].objects["raw/../a/"]["headers"] == headers
    assert content(s3) == {"raw/../a/": b"1"}


def test_restoring_does_not_bring_back_objects_deleted_from_the_followed_bucket(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    s3.buckets[BUCKET].objects.clear()
    assert mirror.restore() == (0, 0)
    assert content(s3) == {}


def test_restoring_keeps_objects_that_are_already_in_the_new_bucket(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "a", b"old")
    s3.put_object(BUCKET, "b", b"old")
    mirror.copy()
    s3.create_bucket(BUCKET)
    s3.put_object(BUCKET, "a", b"new")
    mirror.restore()
    assert content(s3) == {"a": b"new", "b": b"old"}
    mirror.copy()
    assert file(mirror, "a").read_bytes() == b"new"


def test_the_next_restore_finishes_an_interrupted_one(
    mirror: Mirror, s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b"):
        s3.put_object(BUCKET, key, b"1")
    mirror.copy()
    s3.buckets.clear()
    put = s3.put_object

    def fails_at_b(Bucket: str, Key: str, Body: Any, **headers: Any) -> None:
        if Key == "b":
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")
        put(Bucket, Key, Body, **headers)

    with monkeypatch.context() as patched:
        patched.setattr(s3, "put_object", fails_at_b)
        with pytest.raises(EndpointConnectionError):
            mirror.restore()
    mirror.copy()
    assert content(s3) == {"a": b"1", "b": b"1"}


def test_restored_objects_are_not_copied_again(mirror: Mirror, s3: FakeS3) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    s3.buckets.clear()
    mirror.restore()
    s3.reads.clear()
    mirror.copy()
    assert s3.reads == []


def test_a_missing_file_is_reported(mirror: Mirror, s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
    s3.put_object(BUCKET, "a", b"1")
    mirror.copy()
    file(mirror, "a").unlink()
    s3.buckets.clear()
    monkeypatch.setattr(module, "Mirror", lambda _: mirror)
    assert "1 missing" in module.restore(mirror.settings)


def test_a_copy_that_fails_midway_leaves_the_file_unchanged(
    mirror: Mirror, s3: FakeS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put_object(BUCKET, "a", b"old")
    mirror.copy()
    s3.put_object(BUCKET, "a", b"new")

    def breaks_off(self: Body, size: int) -> Any:
        yield b"n"
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(Body, "iter_chunks", breaks_off)
        with pytest.raises(ConnectionResetError):
            mirror.copy()
    assert file(mirror, "a").read_bytes() == b"old"
    assert list((mirror.folder / ".incoming").iterdir()) == []
    mirror.copy()
    assert file(mirror, "a").read_bytes() == b"new"
