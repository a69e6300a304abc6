"""What every request and answer has, as ASGI middleware around all else."""

import traceback
from collections.abc import Callable
from logging import Logger
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readmission.http import request_id
from readmission.serving import problems
from readmission.serving.model_cache import ModelCache
from readmission.telemetry.metrics import ROUTES

_POLICY: Final = b"content-security-policy"
_SECURITY: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# A page, as /docs, brings a policy of its own.
_NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'"


class Envelope:
    """Gives each request an id, and each answer that id and the headers that protect it."""

    def __init__(self, app: ASGIApp, correlate: Callable[[str], None]) -> None:
        self._app = app
        self._correlate = correlate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = request_id_of(scope)
        scope[problems.REQUEST_ID] = name
        self._correlate(name)

        async def enveloped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), *_SECURITY, (request_id.HEADER.encode(), name.encode())]
                if not any(name == _POLICY for name, _ in headers):
                    headers.append((_POLICY, _NOTHING))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, enveloped)


class AccessLog:
    """Logs a line for each request: nothing that came with it but its method and, if it is one of ours, its route."""

    def __init__(self, app: ASGIApp, logger: Logger, model_cache: ModelCache) -> None:
        self._app = app
        self._logger = logger
        self._model_cache = model_cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = perf_counter()
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self._app(scope, receive, noted)
        served = self._model_cache.served
        line = {
            "method": scope["method"] if scope["method"] in _METHODS else "other",
            "route": scope["path"] if scope["path"] in ROUTES else "other",
            "status": status,
            "duration_ms": round((perf_counter() - begun) * 1000, 3),
            "model_version": served.version.number if served else None,
        }
        self._logger.info("answered", extra=line)


class Unexpected:
    """Answers 500 to what nobody expected, and logs where it happened."""

    def __init__(self, app: ASGIApp, logger: Logger) -> None:
        self._app = app
        self._logger = logger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            # Not the exception's own text: it may hold a value, and values are a patient's.
            stack = "".join(traceback.format_tb(error.__traceback__))
            self._logger.error("unexpected %s at\n%s", type(error).__qualname__, stack)
            # Answers are sent whole, after all that can fail: none has been begun.
            answer = problems.response(scope, 500, "something went wrong here; the log tells it by this request_id")
            await answer(scope, receive, send)


def request_id_of(scope: Scope) -> str:
    """The client's id of the request when it is a sane one, else API Gateway's, else a new one."""
    given = dict(scope["headers"]).get(request_id.HEADER.encode(), b"").decode("latin-1")
    gateway = (scope.get("aws.event") or {}).get("requestContext") or {}
    return request_id.choose(given, str(gateway.get("requestId", "")))
