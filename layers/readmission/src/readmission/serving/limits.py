"""A limit on the size of a request's body, as ASGI middleware."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readmission.serving import problems


class BodyLimit:
    """Answers 413 to a body over `max_bytes`, or over its path's own limit, whatever its Content-Length claims."""

    def __init__(self, app: ASGIApp, max_bytes: int, paths: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._paths.get(scope["path"], self._max_bytes)
        # The body is small, so it is read whole before the application sees any of it.
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > limit:
                refusal = problems.response(scope, 413, f"the body is larger than {limit} bytes")
                await refusal(scope, receive, send)
                return
            if not message.get("more_body", False):
                break

        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self._app(scope, replay, send)
