"""The files of a scoring job in the data bucket, as they are read."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from readmission.domain.jobs import JOBS
from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MISSING: Final = ("NoSuchKey", "404")


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The objects of the job `job`. Every method raises `StorageUnavailable`.

    Needs the right to list the bucket: S3 otherwise denies access to an object that does not exist.
    """

    s3: "S3Client"
    bucket: str
    job: str

    def key(self, name: str) -> str:
        """The key of the job's file of that name."""
        return f"{JOBS}{self.job}/{name}"

    def read(self, name: str) -> bytes | None:
        """The content, or None if there is no such file."""
        return self.read_at(self.key(name))

    def document(self, name: str) -> Any | None:
        """The JSON document, or None if there is no such file."""
        content = self.read(name)
        return None if content is None else json.loads(content)

    def names(self, prefix: str) -> Iterator[str]:
        """The names of the job's files below this prefix, in order."""
        start = self.key("")
        with reachable(self.bucket):
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.key(prefix)):
                for one in page.get("Contents", []):
                    yield one["Key"].removeprefix(start)

    def read_at(self, key: str) -> bytes | None:
        """The content of the object with this key, or None."""
        with reachable(self.bucket):
            try:
                return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None
                raise
