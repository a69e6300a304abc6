"""The Lambda Runtime API as a socket: HTTP/1.1 on loopback, for one runtime process.

There is no thread: whoever waits for the process polls the sockets' file descriptors and calls `receive` for
those that are ready.
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
    """Something other than the HTTP that runtimes speak arrived."""


@dataclass(frozen=True)
class Request:
    """One call of the runtime; `path` without the API's prefix, e.g. "/invocation/next"."""

    method: str
    path: str
    body: bytes
    connection: socket.socket

    def reply(self, status: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer with `status` ("200 OK"). One packet: a second one would wait for the first one's ACK.

        A runtime that has ended or does not read is no error here: whoever waits for it learns so.
        """
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
            self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)


class RuntimeApi:
    """Listens on a free loopback port; `descriptors` are to be polled, and change with `receive`."""

    def __init__(self, send_timeout: float) -> None:
        """`send_timeout`: seconds a runtime may take to read an event."""
        self._send_timeout = send_timeout
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def descriptors(self) -> set[int]:
        return {self._listener.fileno(), *self._connections}

    def receive(self, descriptor: int) -> Request | None:
        """Read what is ready on `descriptor`; the request, when it is complete now."""
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
    """Take the first request off `buffer`; None while it is incomplete."""
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
