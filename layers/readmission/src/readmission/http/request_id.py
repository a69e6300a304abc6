"""Request ids: every answer, problem document and log line of a request carries the same id."""

import re
from typing import Final
from uuid import uuid4

HEADER: Final = "x-request-id"

_VALID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def choose(client: str, gateway: str) -> str:
    """The client's id if it is valid, else API Gateway's, else a new one."""
    for candidate in (client, gateway):
        if _VALID.fullmatch(candidate):
            return candidate
    return str(uuid4())
