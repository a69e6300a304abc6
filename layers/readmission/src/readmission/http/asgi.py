"""Problem documents and request ids of an ASGI application."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Scope

from readmission.http import request_id
from readmission.http.problems import MEDIA_TYPE, FieldError, problem_document

REQUEST_ID: Final = "readmission.http.request_id"  # the key of the request id in an ASGI scope


def choose_request_id(scope: Scope) -> str:
    """The id of a request: the client's if it is valid, else API Gateway's, else a new one."""
    sent = dict(scope["headers"]).get(request_id.HEADER.encode(), b"").decode("latin-1")
    gateway = (scope.get("aws.event") or {}).get("requestContext") or {}
    return request_id.choose(sent, str(gateway.get("requestId", "")))


def problem_response(
    scope: Scope,
    status: int,
    detail: str,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem document that answers the request of `scope`."""
    instance = quote(scope["path"], errors="replace")
    document = problem_document(status, detail, instance, scope.get(REQUEST_ID), errors)
    return Response(to_json(document), status, headers, MEDIA_TYPE)
