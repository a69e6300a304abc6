"""The S3 client of the pipeline's functions."""

from functools import cache
from typing import TYPE_CHECKING

import boto3

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@cache
def s3_client() -> "S3Client":
    """One client per execution environment: creating one takes as long as fetching a batch."""
    return boto3.client("s3")
