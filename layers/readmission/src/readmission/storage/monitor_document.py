"""The monitor's documents in the data bucket: one for each time, and a copy of the newest."""

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from botocore.exceptions import ClientError

from readmission.storage.s3 import reachable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_NEWEST: Final = "latest"


def key_of(model_name: str, name: str) -> str:
    """The key of the document of that time (ISO 8601)."""
    return f"monitor/{quote(model_name, safe='')}/{name}.json"


def write(s3: "S3Client", bucket: str, model_name: str, made_at: str, content: bytes) -> None:
    """Write the document, the copy last. Raises `StorageUnavailable`."""
    with reachable(bucket):
        for name in (made_at, _NEWEST):
            s3.put_object(Bucket=bucket, Key=key_of(model_name, name), Body=content, ContentType="application/json")


def newest(s3: "S3Client", bucket: str, model_name: str) -> bytes | None:
    """The newest document, None if there is none. Raises `StorageUnavailable`.

    Needs the right to list the bucket: S3 otherwise denies access to an object that does not exist.
    """
    with reachable(bucket):
        try:
            return s3.get_object(Bucket=bucket, Key=key_of(model_name, _NEWEST))["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
