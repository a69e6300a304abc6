"""Sentences for errors that any command can meet: a server that has gone, and a full disk."""

import errno
import http.client
import urllib.error

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as AwsConnectionError
from pg8000.exceptions import DatabaseError, InterfaceError

GONE = (
    AwsConnectionError,
    HTTPClientError,
    S3UploadFailedError,
    InterfaceError,
    ConnectionError,
    TimeoutError,
    urllib.error.URLError,
    http.client.HTTPException,
)
"""What clients raise if a server does not answer, or stops while it does."""
FULL = (errno.ENOSPC, errno.EDQUOT)
_STOPPING = ("57P01", "57P02", "57P03")
"""Postgres' codes: it shuts down, another process of it crashed, it is starting or stopping."""


def is_gone(error: BaseException) -> bool:
    """Whether the error says that a server has gone, or is about to."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
    if isinstance(error, DatabaseError) and not isinstance(error, InterfaceError):
        return bool(error.args) and isinstance(error.args[0], dict) and error.args[0].get("C") in _STOPPING
    return isinstance(error, GONE)


def sentence(error: BaseException) -> str | None:
    """What is wrong and what to do next; None for an unexpected error."""
    if isinstance(error, OSError) and error.errno in FULL:
        where = f" ({error.filename})" if error.filename else ""
        return f"The disk is full{where}. Make space, then run the same command again."
    if is_gone(error):
        return (
            f"A server of the platform does not answer: {error or type(error).__name__}\n"
            "To see which: make status. To start what is down: make up. Then run the same command again."
        )
    return None
