"""The Lambda Runtime API for one runtime process: HTTP/1.1 on a loopback socket.

It has no thread: the caller polls the sockets' file descriptors and calls `receive` for those that are ready.
"""

import re
import socket
from contextlib import suppress
from dataclasses import dataclass

PREFIX = "/2018-06-01/runtime"
_REQUEST_LINE = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n")
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNK = 1 << 18


class ProtocolError(Exception):
    """The bytes received are not an HTTP request that a runtime would send."""


@dataclass(frozen=True)
class Request:
    """One request of the runtime; `path` without the API's prefix, for example "/invocation/next"."""

    method: str
    path: str
    body: bytes
    connection: socket.socket

    def reply(self, status: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Send a response with `status` ("200 OK"), in one packet: a second would wait for the first one's ACK.

        A runtime that has exited or does not read is not an error here: waiting for the process reveals it.
        """
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
            self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


class RuntimeApi:
    """Listens on a free loopback port. The caller polls `descriptors`, which change with `receive`."""

    def __init__(self, send_timeout: float) -> None:
        """`send_timeout`: how long (s) a runtime may take to read an event."""
        self._send_timeout = send_timeout
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def descriptors(self) -> set[int]:
        return {self._listener.fileno(), *self._connections}

    def receive(self, descriptor: int) -> Request | None:
        """Read from `descriptor`, which is ready; returns the request if that completes it."""
        if descriptor == self._listener.fileno():
            self._accept()
            return None
        connection, buffer = self._connections[descriptor]
        try:
            chunk = connection.recv(_CHUNK)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            del self._connections[descriptor]
            connection.close()
            return None
        buffer += chunk
        return _take_request(connection, buffer)

    def close(self) -> None:
        self._listener.close()
        for connection, _ in self._connections.values():
            connection.close()
        self._connections.clear()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(self._send_timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection, bytearray()


def _take_request(connection: socket.socket, buffer: bytearray) -> Request | None:
    """Remove the first request from `buffer` and return it; None while it is incomplete."""
    head_length = buffer.find(b"\r\n\r\n")
    if head_length < 0:
        return None
    line = _REQUEST_LINE.match(buffer)
    if not line:
        raise ProtocolError(f"Not a Runtime API request: {bytes(buffer[:200])!r}")
    length = _CONTENT_LENGTH.search(buffer, 0, head_length)
    body_start = head_length + 4
    end = body_start + (int(length[1]) if length else 0)
    if len(buffer) < end:
        return None
    method, path = line[1].decode(), line[2].decode()
    request = Request(method, path.removeprefix(PREFIX), bytes(buffer[body_start:end]), connection)
    del buffer[:end]
    return request
