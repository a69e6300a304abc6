"""The S3 client of the pipeline's functions, and what its failures mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import StorageUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Short, because in a VPC without a way to S3 no answer comes: the function must still have time to say so.
CONFIG: Final = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})

_PASSING: Final = ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable")


@cache
def s3_client() -> "S3Client":
    """One client per execution environment: creating one takes as long as fetching a batch."""
    return boto3.client("s3", config=CONFIG)


@contextmanager
def reachable(bucket: str) -> Iterator[None]:
    """Raise `StorageUnavailable` if S3 does not answer or fails. Other errors of S3 pass unchanged."""
    try:
        yield
    except BotoCoreError as error:
        raise StorageUnavailable(f"S3, bucket {bucket}: {error}") from error
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _PASSING or status >= 500:
            raise StorageUnavailable(f"S3, bucket {bucket}: {code}") from error
        raise
