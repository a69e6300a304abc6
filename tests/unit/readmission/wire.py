"""An HTTP server at the end of a socket that is none: the real clients speak to it, and nothing touches a network."""

import io
import socket
from collections.abc import Callable
from typing import Any

import pytest
import urllib3.util.connection


def http(status: int, body: bytes = b"", content_type: str = "application/json") -> bytes:
    """An answer."""
    head = f"HTTP/1.1 {status} Reason\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Connection: close\r\n\r\n".encode() + body


class Wire:
    """What is behind every address: `answer`, bytes or an error, whatever is asked, but first those of `answers`.

    `asked` holds the request lines, `sent` all that was sent.
    """

    def __init__(self) -> None:
        self.answer: bytes | Exception = http(404)
        self.answers: list[bytes] = []
        self.asked: list[str] = []
        self.sent = ""

    def connect(self, *_: Any, **__: Any) -> "_Socket":
        if isinstance(self.answer, Exception):
            raise self.answer
        return _Socket(self.answers.pop(0) if self.answers else self.answer, self._take)

    def _take(self, data: bytes) -> None:
        self.sent += data.decode("latin-1")
        if data.startswith((b"GET ", b"POST ")):
            self.asked.append(data.partition(b"\r\n")[0].decode())

    def install(self, patch: pytest.MonkeyPatch) -> "Wire":
        """Put it under `urllib.request` and `requests`."""
        patch.setattr(socket, "create_connection", self.connect)
        patch.setattr(urllib3.util.connection, "create_connection", self.connect)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        return self


class _Socket:
    def __init__(self, answer: bytes, take: Callable[[bytes], None]) -> None:
        self._answer = answer
        self.sendall = take

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._answer))  # type: ignore[arg-type]

    def settimeout(self, _: Any) -> None:
        return

    def setsockopt(self, *_: Any) -> None:
        return

    def shutdown(self, _: Any) -> None:
        return

    def close(self) -> None:
        return
