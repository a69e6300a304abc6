"""Endpoints behind API Gateway's proxy integration (REST API, payload 1.0), without a web framework."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from time import perf_counter
from typing import Any, Self

from readmission.errors import ScopeMissing, TokenInvalid
from readmission.http import cors, headers, problems, request_id
from readmission.http.access_log import access_line
from readmission.http.identity import refusal
from readmission.identity.actor import Actor
from readmission.telemetry.logs import Logger


@dataclass(frozen=True, slots=True)
class Request:
    """A proxy event. Header names are lower case; `content` is the body."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    request_id: str
    gateway: Mapping[str, Any] = field(default_factory=dict)
    """What the gateway knows of the request (`requestContext`)."""
    content: bytes = field(default=b"", repr=False)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Self:
        sent = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
        gateway = event.get("requestContext") or {}
        return cls(
            method=event.get("httpMethod", ""),
            path=event.get("path", ""),
            headers=sent,
            query=event.get("queryStringParameters") or {},
            request_id=request_id.choose(sent.get(request_id.HEADER, ""), str(gateway.get("requestId", ""))),
            gateway=gateway,
            content=_content(event),
        )


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; `respond` adds the request id and the security headers."""

    content_type: str
    body: str
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


def respond(
    event: Mapping[str, Any],
    endpoint: Callable[[Request], Response],
    logger: Logger,
    correlate: Callable[[str], None] = lambda request_id: None,
    cors_origins: Sequence[str] = (),
    *,
    identified: bool = False,
) -> dict[str, Any]:
    """Answer a proxy event with `endpoint`, and log the request. Web pages of `cors_origins` may read the answer.

    With `identified`, only for those whom the gateway's authorizer knows and whose scopes suffice.

    Never raises: `Refused` becomes its problem document, any other exception is logged and answered with status 500.
    `correlate` receives the request id before anything is logged. HEAD is answered as GET, without the body.
    """
    start = perf_counter()
    request = Request.from_event(event)
    correlate(request.request_id)
    response = _answer(request, _known(endpoint) if identified else endpoint, logger)
    logger.info("answered", extra=access_line(request.method, request.path, int(response.status), start))
    return {
        "statusCode": int(response.status),
        "headers": {
            **headers.SECURITY,
            **cors.headers(request.headers.get("origin"), cors_origins),
            headers.CONTENT_POLICY: headers.DEFAULT_POLICY,
            request_id.HEADER: request.request_id,
            "Content-Type": response.content_type,
            **response.headers,
        },
        "body": "" if request.method == "HEAD" else response.body,
    }


def _content(event: Mapping[str, Any]) -> bytes:
    body: str = event.get("body") or ""
    # Half a surrogate pair, which JSON can express, becomes bytes that are not UTF-8.
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode("utf-8", "surrogatepass")


def _known(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """The endpoint, for those who may request it."""

    def answer(request: Request) -> Response:
        try:
            Actor.from_gateway(request.gateway).require(request.path)
        except (TokenInvalid, ScopeMissing) as error:
            raise refusal(error) from None
        return endpoint(request)

    return answer


def _answer(request: Request, endpoint: Callable[[Request], Response], logger: Logger) -> Response:
    try:
        return endpoint(request)
    except problems.Refused as refused:
        if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.exception(refused.detail)
        return _problem(request, refused)
    except Exception:
        logger.exception("unexpected error")
        return _problem(request, problems.Refused(HTTPStatus.INTERNAL_SERVER_ERROR, problems.UNEXPECTED))


def _problem(request: Request, refused: problems.Refused) -> Response:
    document = problems.problem_document(
        refused.status, refused.detail, request.path, request.request_id, refused.errors
    )
    body = json.dumps(document, ensure_ascii=False)
    return Response(problems.MEDIA_TYPE, body, refused.status, refused.headers)
