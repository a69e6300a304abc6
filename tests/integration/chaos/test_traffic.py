"""The load that `make chaos` puts on the gateway, against a server whose answers the test controls."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import certifi
import pytest

from infra.local.stack import Stack
from tests.chaos.system import wait_until
from tests.chaos.traffic import NO_ANSWER, Answer, Traffic
from tests.load import patients


@contextmanager
def _api(status: int | None, content: bytes) -> Iterator[str]:
    """Answers everything alike; without a status, it closes the connection instead."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if status is None:
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(status: int | None, content: bytes) -> list[Answer]:
    began = time.monotonic()
    with _api(status, content) as url:
        stack = Stack("api", "key", url, "", "", "", {})
        with Traffic(lambda: stack, certifi.where(), patients.read(5), seed=1) as traffic:
            assert wait_until(lambda: len(traffic.between(began, time.monotonic())) >= 3, 60)
            return traffic.between(began, time.monotonic())


@pytest.mark.parametrize(("status", "seen"), [(502, 502), (404, 404), (None, NO_ANSWER)])
def test_a_server_error_and_no_answer_are_failures(status: int | None, seen: int) -> None:
    found = answers(status, b"{}")
    assert {answer.status for answer in found} == {seen}
    assert all(answer.failed and not answer.wrong for answer in found)


def test_a_success_without_a_forecast_is_a_wrong_answer() -> None:
    assert any(answer.wrong and not answer.failed for answer in answers(200, b"{}"))
