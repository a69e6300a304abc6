"""Texts and JSON documents in Secrets Manager."""

import json
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import ConfigurationError, ReadmissionError

# Short, because in a VPC without a way to Secrets Manager no answer comes: the function must still have time to say so.
CONFIG: Final = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

# Secrets Manager's answers that no retry changes.
_PERMANENT: Final = ("ResourceNotFoundException", "AccessDeniedException", "InvalidRequestException")


def text(secret: str, holds: str, unavailable: type[ReadmissionError]) -> str:
    """The text of a secret. `holds` says in errors what the secret is for.

    Raises `unavailable` if Secrets Manager does not answer, and `ConfigurationError` if the secret does not exist, may
    not be read, or is binary.
    """
    try:
        response = boto3.client("secretsmanager", config=CONFIG).get_secret_value(SecretId=secret)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = ConfigurationError if code in _PERMANENT else unavailable
        raise kind(f"the secret {secret!r} with {holds} cannot be read: {code}") from error
    except BotoCoreError as error:
        raise unavailable(f"the secret {secret!r} with {holds} cannot be read: {error}") from error
    if "SecretString" not in response:
        raise ConfigurationError(f"the secret {secret!r} with {holds} must be a text")
    found: str = response["SecretString"]
    return found


def read(secret: str, holds: str, required: tuple[str, ...], unavailable: type[ReadmissionError]) -> dict[str, Any]:
    """The document of a secret, with at least the `required` fields. `holds` says in errors what the secret is for.

    Raises `unavailable` if Secrets Manager does not answer, and `ConfigurationError` if the secret does not exist, may
    not be read, is not a JSON object, or lacks a field.
    """
    try:
        document: dict[str, Any] = json.loads(text(secret, holds, unavailable))
        missing = [name for name in required if name not in document]
    except (TypeError, ValueError):
        raise ConfigurationError(f"the secret {secret!r} must be a JSON object") from None
    if missing:
        raise ConfigurationError(f"the secret {secret!r} with {holds} lacks {', '.join(missing)}")
    return document
