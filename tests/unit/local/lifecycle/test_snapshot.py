"""LocalStack's answers about snapshots, from a server that gives them."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra.local import settings
from infra.local.lifecycle import snapshot


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[int, str], settings.Settings]]:
    """`answering(status, text)`: the settings of a platform whose LocalStack answers so."""
    servers: list[HTTPServer] = []

    def start(status: int, text: str) -> settings.Settings:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return settings.load({"LOCAL_DIR": str(tmp_path), "LOCALSTACK_PORT": str(server.server_port)})

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_snapshot_is_saved_or_localstack_says_why_not(answering: Callable[[int, str], settings.Settings]) -> None:
    assert snapshot.save(answering(200, ""), "key") is None
    assert snapshot.save(answering(422, "a topic"), "key") == "a topic"


def test_without_a_snapshot_nothing_is_restored(answering: Callable[[int, str], settings.Settings]) -> None:
    assert snapshot.restore(answering(200, ""), "key")
    assert not snapshot.restore(answering(404, "another key"), "key")


@pytest.mark.parametrize("status", [409, 500])
def test_a_localstack_that_may_have_a_part_is_not_used(
    answering: Callable[[int, str], settings.Settings], status: int
) -> None:
    with pytest.raises(snapshot.NotRestored, match="not empty"):
        snapshot.restore(answering(status, "not empty"), "key")


def test_neither_is_one_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(snapshot.NotRestored):
        snapshot.restore(settings.load({"LOCAL_DIR": str(tmp_path), "LOCALSTACK_PORT": "9"}), "key")


def test_a_deployment_whose_snapshot_gets_no_answer_says_so_and_does_not_fail(tmp_path: Path) -> None:
    reason = snapshot.save(settings.load({"LOCAL_DIR": str(tmp_path), "LOCALSTACK_PORT": "9"}), "key")
    assert reason and "refused" in reason


def test_servers_of_others_keep_no_snapshots(tmp_path: Path) -> None:
    database = {"DATABASE_HOST": "localhost", "DATABASE_USER": "a", "DATABASE_PASSWORD": "b"}
    loaded = settings.load({"LOCAL_DIR": str(tmp_path), "SERVERS": "external", "LOCALSTACK_PORT": "9", **database})
    assert (snapshot.save(loaded, "key"), snapshot.restore(loaded, "key")) == (None, False)
