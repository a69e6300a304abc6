"""A PostgreSQL server of its own, without the rest of the platform."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from infra.local import settings
from infra.local.servers import postgres
from infra.local.settings import Settings
from tests.platforms import free_ports


def superuser(loaded: Settings, database: str = "postgres") -> Connection:
    return postgres.connect(postgres._superuser(loaded), database)


@contextmanager
def running(folder: Path, options: Sequence[str] = ()) -> Iterator[Settings]:
    """A new cluster below `folder`, with further options of the server's command line."""
    (port,) = free_ports(1)
    loaded = settings.load({"LOCAL_DIR": str(folder), "POSTGRES_PORT": str(port)})
    loaded.create_directories()
    postgres.create_cluster(loaded)
    with subprocess.Popen([*postgres.server_command(loaded), *options], cwd="/") as server:
        try:
            _wait(loaded, server)
            yield loaded
        finally:
            server.terminate()


def _wait(loaded: Settings, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert server.poll() is None, "Postgres has ended"
        with suppress(InterfaceError, DatabaseError, OSError):
            superuser(loaded).close()
            return
        time.sleep(0.1)
    raise AssertionError("Postgres does not answer")
