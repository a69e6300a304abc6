"""The files of a scoring job, as its steps write them. What a step has to find again is written once and never changed.

A step that is repeated, or runs beside itself, therefore goes on from what the first one wrote.
"""

import json
from collections.abc import Callable
from typing import IO, Any, Final

from botocore.exceptions import ClientError

from readmission.errors import StorageUnavailable
from readmission.storage import job_files
from readmission.storage.s3 import reachable

# Somebody else has written the object, or is writing it at this moment.
_TAKEN: Final = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_JSON: Final = "application/json"


class JobFiles(job_files.JobFiles):
    """The objects of a job. Every method raises `StorageUnavailable`."""

    __slots__ = ()

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
        found = self.read_at(key)
        if found is None:
            content = json.dumps(make()).encode()
            found = content if self._put_first(key, content) else self.read_at(key)
        if found is None:
            raise StorageUnavailable(f"{key} is being written by another step")
        return json.loads(found)

    def replace(self, key: str, document: Any) -> None:
        """Write the JSON document to an object that is not the job's own."""
        with reachable(self.bucket):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(document).encode(), ContentType=_JSON)

    def delete(self, prefix: str) -> None:
        """Delete the job's files below this prefix."""
        for name in list(self.names(prefix)):
            with reachable(self.bucket):
                self.s3.delete_object(Bucket=self.bucket, Key=self.key(name))

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
