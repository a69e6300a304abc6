"""What a lost connection to Postgres raises, whenever it is lost."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from readmission import settings
from readmission.errors import DatabaseUnavailable
from readmission.pipeline import synthetic
from readmission.pipeline.ingest import ingest
from readmission.storage import database
from readmission.storage.database import connect, transaction

from tests.integration.readmission.conftest import BUCKETS, CachedCredentials, Stores

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as the kernel does for a process that was killed


class Proxy:
    """Stands between a client and Postgres; resets the connection once the client has sent `limit` bytes."""

    def __init__(self, target: tuple[str, int], limit: int) -> None:
        self.target, self.limit = target, limit
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()
                self._forth(client, server)

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        sent = 0
        with suppress(OSError):
            while sent < self.limit and (data := client.recv(4096)):
                sent += len(data)
                server.sendall(data)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.close()
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # `_back` waits for the server, so to close it would not end it
        server.close()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(4096):
                client.sendall(data)


@pytest.fixture
def breaking(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """From its call on, connections go through a proxy that breaks them after so many bytes."""
    known = dict(database._credentials(settings.DatabaseSettings.from_environment().secret))
    proxies: list[Proxy] = []

    def use(limit: int) -> None:
        proxies.append(Proxy((known["host"], int(known["port"])), limit))
        broken = known | {"host": "127.0.0.1", "port": proxies[-1].port}
        monkeypatch.setattr(database, "_credentials", CachedCredentials(broken))

    yield use
    for proxy in proxies:
        proxy.close()


@pytest.mark.parametrize("limit", [10, 100, 600, 3_000, 20_000, 200_000, 700_000])
def test_a_connection_that_is_lost_during_a_load_is_unavailable_and_a_second_try_loads_everything(
    stores: Stores, breaking: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    rows = list(synthetic.rows(3000, seed=2))
    planned = stores.deliver(rows)
    breaking(limit)
    event = {"manifest": planned["manifest"], "batch": 1}
    with (
        pytest.raises(DatabaseUnavailable),
        connect("raw", settings.DatabaseSettings.from_environment()) as raw,
    ):
        ingest(event, BUCKETS[0], stores.s3, raw)  # type: ignore[arg-type]
    assert stores.raw.run("SELECT count(*) FROM diabetes_raw") == [[0]]
    monkeypatch.undo()
    assert stores.ingest(planned)[0]["added"] == 3000


def test_a_backend_that_is_ended_is_unavailable_at_the_next_statement_and_ever_after(stores: Stores) -> None:
    with (
        pytest.raises(DatabaseUnavailable),
        connect("raw", settings.DatabaseSettings.from_environment()) as raw,
        transaction(raw),
    ):
        ((pid,),) = raw.run("SELECT pg_backend_pid()")
        stores.raw.run("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
        try:
            raw.run("SELECT 1")
        except Exception:
            raw.run("SELECT 1")
