"""A problem document (RFC 9457): the one shape of every error that an HTTP client gets from this project's functions.

The type is always `about:blank`: the status alone tells the kind of a problem, and the title is that status's name.
"""

from http import HTTPStatus
from typing import Any, Final

MEDIA_TYPE: Final = "application/problem+json"


def problem_document(status: int, detail: str, instance: str, request_id: str | None) -> dict[str, Any]:
    """What is answered for a request to the path `instance`."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
    }
