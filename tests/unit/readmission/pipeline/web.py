"""A web of fake servers, each of which is the other end of a pair of connected sockets."""

import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

import pytest

PUBLIC = "93.184.215.14"


def response(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """An answer of HTTP/1.1, with no headers but these."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


@dataclass
class Web:
    """`names` are the addresses of hosts; `answers` are what is sent on one connection after the other, in pieces."""

    names: dict[str, list[str]] = field(default_factory=dict)
    answers: list[Iterable[bytes] | Exception] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    connected: list[tuple[str, int]] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def resolve(self, host: str, port: int, type: int) -> list[Any]:
        addresses = self.names.get(host, [PUBLIC] if host.endswith("example.org") else [])
        if not addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, type, 0, "", (address, port)) for address in addresses]

    def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        assert 0 < timeout <= 60
        self.connected.append(address)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self.sockets.append(ours)
        Thread(target=self._serve, args=(theirs, answer), daemon=True).start()
        return ours

    def _serve(self, connection: socket.socket, answer: Iterable[bytes]) -> None:
        # The client may go away at any time.
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            self.requests.append(request.decode())
            for piece in answer:
                connection.sendall(piece)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    made = Web()
    monkeypatch.setattr(socket, "getaddrinfo", made.resolve)
    monkeypatch.setattr(socket, "create_connection", made.connect)
    return made
