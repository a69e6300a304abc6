"""The files of a scoring job in the data bucket. What a step has to find again is written once and never changed.

A step that is repeated, or runs beside itself, therefore goes on from what the first one wrote.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from readmission.domain.jobs import JOBS
from readmission.errors import StorageUnavailable
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING: Final = ("NoSuchKey", "404")
# Somebody else has written the object, or is writing it at this moment.
_TAKEN: Final = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The objects of the job `job`. Every method raises `StorageUnavailable`."""

    s3: "S3Client"
    bucket: str
    job: str

    def key(self, name: str) -> str:
        """The key of the job's file of that name."""
        return f"{JOBS}{self.job}/{name}"

    def read(self, name: str) -> bytes | None:
        """The content, or None if there is no such file."""
        return self._read(self.key(name))

    def document(self, name: str) -> Any | None:
        """The JSON document, or None if there is no such file."""
        content = self.read(name)
        return None if content is None else json.loads(content)

    def write(self, name: str, content: bytes, kind: str = "application/octet-stream") -> None:
        """Write the file, in place of one that is there."""
        with reachable(self.bucket):
            self.s3.put_object(Bucket=self.bucket, Key=self.key(name), Body=content, ContentType=kind)

    def upload(self, name: str, file: IO[bytes], kind: str) -> None:
        """The same for a file of any size."""
        with reachable(self.bucket):
            self.s3.upload_fileobj(file, self.bucket, self.key(name), ExtraArgs={"ContentType": kind})

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The JSON document that the first caller has made and written."""
        return self.once_at(self.key(name), make)

    def once_at(self, key: str, make: Callable[[], Any]) -> Any:
        """The same for an object that is not the job's own."""
        found = self._read(key)
        if found is None:
            content = json.dumps(make()).encode()
            found = content if self._put_first(key, content) else self._read(key)
        if found is None:
            raise StorageUnavailable(f"{key} is being written by another step")
        return json.loads(found)

    def replace(self, key: str, document: Any) -> None:
        """Write the JSON document to an object that is not the job's own."""
        with reachable(self.bucket):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(document).encode(), ContentType=_JSON)

    def names(self, prefix: str) -> Iterator[str]:
        """The names of the job's files below this prefix, in order."""
        start = self.key("")
        with reachable(self.bucket):
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key(prefix)):
                for one in page.get("Contents", []):
                    yield one["Key"].removeprefix(start)

    def delete(self, prefix: str) -> None:
        """Delete the job's files below this prefix."""
        for name in list(self.names(prefix)):
            with reachable(self.bucket):
                self.s3.delete_object(Bucket=self.bucket, Key=self.key(name))

    def _read(self, key: str) -> bytes | None:
        with reachable(self.bucket):
            try:
                return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise

    def _put_first(self, key: str, content: bytes) -> bool:
        """Write the object unless there is one, and return whether there was none."""
        with reachable(self.bucket):
            try:
                self.s3.put_object(Bucket=self.bucket, Key=key, Body=content, ContentType=_JSON, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] in _TAKEN:
                    return False
                raise
        return True
