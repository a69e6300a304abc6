"""Only one command at a time changes the platform of a folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from infra.local.settings import Settings


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Waits for another `up`, `down` or `clean` of the same folder to finish. Makes the folders."""
    while True:
        settings.create_directories()
        file = settings.run / "lock"
        with file.open("a") as lock:
            _acquire(lock.fileno())
            # `clean` may have removed the folder while this waited; then the new one is to be locked.
            if file.exists() and file.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield
                return


def _acquire(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another command is changing this platform; waiting for it ...", flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
