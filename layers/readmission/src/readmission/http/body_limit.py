"""ASGI middleware that limits the size of request bodies."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readmission.http.asgi import problem_response


class BodyLimit:
    """Answers 413 to a body of more than `max_bytes`, or of more than the limit in `paths` for its path.

    It counts the bytes received and ignores Content-Length.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, paths: Mapping[str, int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._paths.get(scope["path"], self._max_bytes)
        body = await _read(receive, limit)
        if body is None:
            refusal = problem_response(scope, 413, f"The body is larger than {limit} bytes")
            await refusal(scope, receive, send)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The whole body, or None once it exceeds `limit` bytes."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return bytes(body)
