"""ASGI middleware for every request: request ids, security headers, the access log, unexpected errors, and HEAD."""

import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readmission.http import headers, request_id
from readmission.http.access_log import access_line
from readmission.http.asgi import REQUEST_ID, choose_request_id, problem_response
from readmission.http.problems import UNEXPECTED
from readmission.telemetry import metrics
from readmission.telemetry.logs import Logger
from readmission.telemetry.metrics import Meter

_POLICY: Final = headers.CONTENT_POLICY.lower().encode()
_DEFAULT_POLICY: Final = (_POLICY, headers.DEFAULT_POLICY.encode())
_SECURITY: Final = tuple((name.lower().encode(), value.encode()) for name, value in headers.SECURITY.items())


type Endpoint = Callable[[Request], Awaitable[Response]]


class Direct:
    """Answers a POST without a query to one of `endpoints` (path: endpoint) by the endpoint alone.

    FastAPI's routing takes several times as long as a forecast. These endpoints need nothing of it, as they read bodies
    and write answers themselves; where they have parameters, all are of the query and may be left out. `on_error`
    answers the exceptions `errors`, as FastAPI does; all others are raised.
    """

    def __init__(
        self,
        app: ASGIApp,
        endpoints: Mapping[str, Endpoint],
        errors: tuple[type[Exception], ...],
        on_error: Callable[[Request, Exception], Awaitable[Response]],
    ) -> None:
        self._app, self._endpoints, self._errors, self._on_error = app, endpoints, errors, on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        simple = scope["type"] == "http" and scope["method"] == "POST" and not scope["query_string"]
        endpoint = self._endpoints.get(scope["path"]) if simple else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            answer = await endpoint(request)
        except self._errors as error:
            answer = await self._on_error(request, error)
        await answer(scope, receive, send)


class Envelope:
    """Gives every request an id, and every answer that id and the security headers."""

    def __init__(self, app: ASGIApp, correlate: Callable[[str], None]) -> None:
        self._app = app
        self._correlate = correlate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chosen = scope[REQUEST_ID] = choose_request_id(scope)
        self._correlate(chosen)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = [*message.get("headers", []), *_SECURITY, (request_id.HEADER.encode(), chosen.encode())]
                if not any(name == _POLICY for name, _ in sent):
                    sent.append(_DEFAULT_POLICY)
                message = {**message, "headers": sent}
            await send(message)

        await self._app(scope, receive, send_with_headers)


class AccessLog:
    """Logs one line for each request, with the version that is served."""

    def __init__(self, app: ASGIApp, logger: Logger, model_version: Callable[[], str | None]) -> None:
        self._app = app
        self._logger = logger
        self._model_version = model_version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, receive, send_and_note)
        line = access_line(scope["method"], scope["path"], status, start)
        self._logger.info("answered", extra={**line, "model_version": self._model_version()})


class Measured:
    """Counts requests by route and status and measures their duration, as `observability.api` does on Lambda.

    Paths that are not among `routes` are counted as "other".
    """

    def __init__(self, app: ASGIApp, meter: Meter, routes: Collection[str]) -> None:
        self._app, self._meter, self._routes = app, meter, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        status = 0
        route = scope["path"] if scope["path"] in self._routes else metrics.OTHER

        async def measure_and_send(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                # Before it is sent: who has the answer finds it counted.
                self._meter.observe(metrics.REQUEST_DURATION, perf_counter() - start, route=route)
                self._meter.count(metrics.REQUESTS, route=route, status=str(status))
            await send(message)

        await self._app(scope, receive, measure_and_send)


class UnexpectedErrors:
    """Answers an unexpected exception with status 500, and logs where it was raised."""

    def __init__(self, app: ASGIApp, logger: Logger) -> None:
        self._app = app
        self._logger = logger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            # The exception's message may contain a patient's values, so only its type and stack are logged.
            stack = "".join(traceback.format_tb(error.__traceback__))
            self._logger.error("unexpected %s at\n%s", type(error).__qualname__, stack)
            # Answers are sent only once they are complete, so this one has not started yet.
            answer = problem_response(scope, HTTPStatus.INTERNAL_SERVER_ERROR, UNEXPECTED)
            await answer(scope, receive, send)


class HeadRequests:
    """Answers HEAD as GET, without the body. The headers are those of GET, the length among them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_without_body)
