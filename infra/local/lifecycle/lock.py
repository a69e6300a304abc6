"""Only one command at a time may change the platform in a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from infra.local.servers import processes
from infra.local.settings import Settings


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Waits until no other `up`, `down` or `clean` is at work in the same folder. Creates the folders.

    The kernel releases the lock when its process dies.
    """
    while True:
        settings.create_directories()
        file = settings.run / "lock"
        with file.open("a+") as lock:
            _acquire(lock)
            # `clean` may have deleted the folder while this command waited. Then there is a new file to lock.
            if _is_still(file, lock):
                _write_holder(lock)
                yield
                return


def _acquire(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"Waiting for {_holder(lock)}, which is changing this platform ...", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def _is_still(file: Path, lock: TextIO) -> bool:
    return file.exists() and os.path.samestat(file.stat(), os.fstat(lock.fileno()))


def _write_holder(lock: TextIO) -> None:
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    pid = lock.read()
    return processes.describe(int(pid) if pid.isdigit() else None)
