"""Looks at processes again and again while something else runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

_SECONDS = 0.5


@contextmanager
def repeated(sample: Callable[[], None]) -> Iterator[None]:
    """Calls `sample` every half second, in another thread."""
    done = Event()

    def watch() -> None:
        while not done.wait(_SECONDS):
            sample()

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
