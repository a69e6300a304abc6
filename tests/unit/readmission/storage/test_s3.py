"""What failures of S3 mean, and that they come before a function's time is over."""

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError
from readmission.errors import StorageUnavailable
from readmission.storage import s3

from tests.unit.readmission.builders import client_error


@pytest.mark.parametrize(
    "problem",
    [ConnectTimeoutError(endpoint_url="https://s3.example"), ReadTimeoutError(endpoint_url="https://s3.example")],
    ids=["no way to S3", "no answer"],
)
def test_an_s3_that_does_not_answer_is_a_transient_error(problem: BotoCoreError) -> None:
    with pytest.raises(StorageUnavailable, match=r"^S3, bucket data: .*s3\.example"), s3.reachable("data"):
        raise problem


@pytest.mark.parametrize("code", ["SlowDown", "InternalError", "ServiceUnavailable"])
def test_an_s3_that_fails_is_a_transient_error(code: str) -> None:
    with pytest.raises(StorageUnavailable, match=f"^S3, bucket data: {code}$"), s3.reachable("data"):
        raise client_error(code)


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey"])
def test_a_refusal_of_s3_passes_unchanged(code: str) -> None:
    with pytest.raises(ClientError, match=code), s3.reachable("data"):
        raise client_error(code)
