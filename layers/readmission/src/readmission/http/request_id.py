"""The id of a request: what its answer, its problem document and its lines in the log are found by."""

import re
from typing import Final
from uuid import uuid4

HEADER: Final = "x-request-id"

_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def choose(client: str, gateway: str) -> str:
    """The client's own when it is a sane one, else API Gateway's, else a new one."""
    for candidate in (client, gateway):
        if _SANE.fullmatch(candidate):
            return candidate
    return str(uuid4())
