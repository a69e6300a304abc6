"""The liveness probe, and draining."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from readmission.http.lifecycle import Lifecycle
from starlette.types import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        if scope["path"] == "/slow":
            os.kill(os.getpid(), signal.SIGTERM)
        await send({"type": "http.response.start", "status": 204, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b""})


class Server:
    """The parts of uvicorn that matter here: its handler of SIGTERM, and its loop."""

    def __init__(self, drain_seconds: float) -> None:
        self.drained = 0
        self.stopped = asyncio.Event()
        self.app = Lifecycle(application, drain_seconds, self._drain)

    def _drain(self) -> None:
        self.drained += 1

    def stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped.set()

    async def start(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        await self.ask(type="lifespan")

    async def ask(self, **scope: Any) -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request"}

        await self.app({"type": "http", "path": "/", "method": "GET", "headers": [], **scope}, receive, send)
        return sent


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_the_liveness_probe_is_answered_without_the_application() -> None:
    start, body = asyncio.run(Server(0).ask(path="/live"))
    assert (start["status"], body["body"]) == (200, b'{"status":"alive"}')
    assert (b"cache-control", b"no-store") in start["headers"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/live"), ("GET", "/live/"), ("GET", "/alive")])
def test_everything_else_reaches_the_application(method: str, path: str) -> None:
    assert asyncio.run(Server(0).ask(method=method, path=path))[0]["status"] == 204


def test_after_sigterm_answers_close_their_connections_until_the_server_stops() -> None:
    async def live() -> None:
        server = Server(0.2)
        await server.start()
        assert (await server.ask())[0]["headers"] == [(b"x-own", b"1")]
        os.kill(os.getpid(), signal.SIGTERM)
        assert server.drained == 1 and not server.stopped.is_set()
        assert (await server.ask())[0]["headers"] == [(b"x-own", b"1"), (b"connection", b"close")]
        await asyncio.wait_for(server.stopped.wait(), 30)

    asyncio.run(live())


def test_a_request_that_came_before_sigterm_closes_its_connection_too() -> None:
    async def live() -> None:
        server = Server(3600)
        await server.start()
        assert (b"connection", b"close") in (await server.ask(path="/slow"))[0]["headers"]

    asyncio.run(live())


def test_a_second_sigterm_stops_it_at_once() -> None:
    async def live() -> None:
        server = Server(3600)
        await server.start()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert server.drained == 1 and server.stopped.is_set()

    asyncio.run(live())


def test_a_server_on_another_thread_leaves_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def live() -> None:
        asyncio.run(Server(0).ask(type="lifespan"))

    thread = threading.Thread(target=live)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
