"""The client of `make soak`, against a server whose answers the test controls."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tests.load import patients
from tests.load.mix import BATCH_ROWS, Mix
from tests.load.soak import Client
from tests.load.target import Target

RIGHT = f'{{"early_risk": 0.1, "index":{BATCH_ROWS - 1}, "model_version": "1"}}'.encode()


@contextmanager
def _api(content: bytes, connections: list[object]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            connections.append(self.client_address)

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("content", "complaints"), [(RIGHT, {None, "status 200, not 422"}), (b"{}", {'no "early_risk" in the answer'})]
)
def test_a_client_judges_each_answer_over_one_connection(content: bytes, complaints: set[str | None]) -> None:
    connections: list[object] = []
    with _api(content, connections) as url:
        client = Client(Target(url, "key", None), Mix(patients.read(5), seed=1), seed=1)
        found = {client.ask() for _ in range(60)}
        client.close()
    assert complaints <= found
    assert (None in found) == (None in complaints)
    assert len(connections) == 1


def test_a_server_that_is_gone_is_a_complaint() -> None:
    with _api(RIGHT, []) as url:
        pass
    assert "ConnectionRefusedError" in str(Client(Target(url, "key", None), Mix(patients.read(5), 1), 1).ask())
