"""Removes the base path of a custom domain from API Gateway's events.

A domain may map a base path to the API's stage: `https://api.hospital.example/readmission/health`. The event's path is
then `/readmission/health`, while `resource` and `pathParameters` say what the gateway matched.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

type _Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def strip(event: Mapping[str, Any]) -> dict[str, Any]:
    """The proxy event (REST API, payload 1.0) with its path below the stage."""
    path, matched = str(event.get("path") or ""), str(event.get("resource") or "")
    for name, value in (event.get("pathParameters") or {}).items():
        matched = matched.replace(f"{{{name}+}}", str(value)).replace(f"{{{name}}}", str(value))
    ending = path.rstrip("/") or "/"
    # A path that ends otherwise was encoded in another way, and is right without a base path.
    if len(matched) > 1 and matched.startswith("/") and ending.endswith(matched.rstrip("/")):
        return {**event, "path": path[len(ending) - len(matched.rstrip("/")) :]}
    return dict(event)


def stripped(handler: _Handler) -> _Handler:
    """Decorates a handler behind API Gateway."""

    @wraps(handler)
    def stripping(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return handler(strip(event), context)

    return stripping
