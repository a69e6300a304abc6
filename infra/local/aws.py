"""boto3 clients for the platform's LocalStack."""

import os
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from infra.local.environment import without_files
from infra.local.settings import Settings

REGION = "us-east-1"
ANSWER_SECONDS = 60


def environment(settings: Settings) -> dict[str, str]:
    """The variables that point any AWS client at LocalStack."""
    return {
        "AWS_ENDPOINT_URL": settings.localstack_url,
        # boto3 reads the former, the AWS CLI and other SDKs the latter.
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **without_files(),
    }


def client(settings: Settings, service: str, seconds: int = ANSWER_SECONDS) -> Any:
    """Always reaches LocalStack: it ignores the caller's profiles, proxies and endpoints."""
    without_configuration = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    # boto3's stubs type `client` by the literal name of the service.
    session: Any = boto3.Session(
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name=REGION,
        botocore_session=botocore.session.Session(session_vars=without_configuration),
    )
    config = Config(
        connect_timeout=3,
        read_timeout=seconds,
        retries={"total_max_attempts": 2},
        proxies={},
        s3={"addressing_style": "path"},
    )
    return session.client(service, endpoint_url=settings.localstack_url, config=config)
