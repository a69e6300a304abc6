"""Calls of services that may hang or fail, while a request waits: on threads of their own, and within a time limit.

Neither the event loop nor its thread pool waits for such a service. Whatever hangs there, a request waits no longer
than the limit, and after a failure only one request in a while waits at all.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

PAUSE_SECONDS: Final = 5.0
"""After a failed call, one request in this time tries again; for the others the service counts as away."""


class Resting(Exception):
    """The last call failed a short time ago, so none was made."""


class Limited:
    """Calls with a limit of `seconds`. All methods but the calls themselves run on one thread, the event loop's."""

    def __init__(self, seconds: float, threads: int, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._failing = False
        self._ask_again_at = 0.0

    def open(self, call: Callable[[], object], seconds: float) -> None:
        """Wait for `call` before there are requests. Raises what it raises, and `TimeoutError`."""
        try:
            self._threads.submit(call).result(seconds)
        except Exception:
            self._failed()
            raise
        self._failing = False

    async def call[T](self, call: Callable[[], T], more_seconds: float = 0.0) -> T:
        """What `call` returns. Raises what it raises, `TimeoutError` after the limit and these seconds, and `Resting`.

        What takes too long goes on without anyone who waits for it.
        """
        if not self._may_ask():
            raise Resting
        running = asyncio.wrap_future(self._threads.submit(call))
        try:
            found = await asyncio.wait_for(running, self._seconds + more_seconds)
        except Exception:
            self._failed()
            raise
        self._failing = False
        return found

    def _may_ask(self) -> bool:
        if not self._failing:
            return True
        now = self._clock()
        if now < self._ask_again_at:
            return False
        # The others wait for what this one finds.
        self._ask_again_at = now + PAUSE_SECONDS
        return True

    def _failed(self) -> None:
        self._failing = True
        self._ask_again_at = self._clock() + PAUSE_SECONDS
