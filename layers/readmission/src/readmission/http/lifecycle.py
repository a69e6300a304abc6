"""The life of a server process: its liveness probe, and how it leaves without losing a request."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readmission.http import headers

LIVE: Final = "/live"


class Lifecycle:
    """Answers the liveness probe, and drains the server after SIGTERM.

    `/live` is answered as long as the event loop runs, whatever the model registry does. After SIGTERM the server goes
    on to answer for `drain_seconds`; `draining` is called first, so that the readiness probe can fail. Each answer then
    closes its connection. After that the server's own handler of the signal stops it.

    The server has to send the lifespan events of ASGI, and to handle SIGTERM itself.
    """

    def __init__(self, app: ASGIApp, drain_seconds: float, draining: Callable[[], None]) -> None:
        self._app, self._drain_seconds, self._draining = app, drain_seconds, draining
        self._leaves = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._listen()
            await self._app(scope, receive, send)
            return
        answer = self._app
        if scope["path"] == LIVE and scope["method"] in ("GET", "HEAD"):
            answer = JSONResponse({"status": "alive"}, headers=headers.SECURITY)
        await answer(scope, receive, self._closing(send))

    def _listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Only the main thread gets signals.
        loop = asyncio.get_running_loop()
        stop = signal.getsignal(signal.SIGTERM)
        if not callable(stop):
            return  # The server does not stop by this signal.

        def leave(number: int, frame: FrameType | None) -> None:
            if self._leaves:
                stop(number, frame)  # the second time: at once
                return
            self._leaves = True
            self._draining()
            loop.call_soon_threadsafe(loop.call_later, self._drain_seconds, stop, number, None)

        signal.signal(signal.SIGTERM, leave)

    def _closing(self, send: Send) -> Send:
        async def send_and_close(message: Message) -> None:
            # Looked at now: the signal may have come since the request.
            if self._leaves and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        return send_and_close
