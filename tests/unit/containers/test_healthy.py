"""The health check of the images."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infra.containers import healthy


@pytest.fixture
def status(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """What a server on PORT answers for each path."""
    answers: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[self.path])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PORT", str(server.server_port))
        yield answers
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("answer", "code"), [(200, 0), (401, 0), (404, 0), (500, 1), (503, 1)])
def test_a_server_that_fails_is_not_healthy(status: dict[str, int], answer: int, code: int) -> None:
    status["/"] = answer
    assert healthy.main("/") == code


def test_a_server_that_is_not_there_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setenv("STREAMLIT_SERVER_PORT", "9")
    assert healthy.main("/") == 1
