"""Locust as a library: holds a number of users and records every request."""

import time
from collections.abc import Callable
from typing import Any

import gevent
from locust import events
from locust.env import Environment
from locust.html import get_html_report
from locust.stats import stats_history

from tests.load.capacity import Held
from tests.load.locustfile import TIMEOUT_SECONDS, Ward, waiting
from tests.load.measured import Request, held_of, quantile

_MOST_SETTLING = 6
_LONGEST_SECONDS = 2 * TIMEOUT_SECONDS + 5  # to connect, and to answer


class Driver:
    """A context manager that stops its users at the end."""

    def __init__(self, url: str, settle: float, seconds: float, calm_ms: float, tell: Callable[[Held], None]) -> None:
        """`seconds` is the duration of a measurement. Before it, users settle for `settle` seconds, until p95
        is at most `calm_ms`, so that cold starts are not measured."""
        self._settle, self._seconds, self._calm_ms, self._tell = settle, seconds, calm_ms, tell
        self._environment = Environment(user_classes=[Ward], events=events, host=url, stop_timeout=_LONGEST_SECONDS)
        self._runner = self._environment.create_local_runner()
        self._environment.events.request.add_listener(self._record)
        self._requests: list[Request] = []
        self._history = gevent.spawn(stats_history, self._runner)

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, *_: object) -> None:
        self._history.kill()
        self._runner.quit()

    def hold(self, users: int, confirms: bool = False) -> Held:
        """Adds or removes a hundred users a second; above that Locust warns."""
        self._requests.clear()
        self._runner.start(users, spawn_rate=100)
        self._wait_until_calm()
        began, worked = time.time(), time.process_time()
        gevent.sleep(self._seconds)
        ended, worked = time.time(), time.process_time() - worked
        unanswered = self._wait_for_answers(ended)
        held = held_of(users, [*self._requests, *unanswered], began, ended, worked, confirms)
        self._tell(held)
        return held

    def _wait_for_answers(self, asked_until: float) -> list[Request]:
        """Waits for answers to requests of the measured time: late answers count, and missing ones are failures."""
        last = asked_until + _LONGEST_SECONDS
        while time.time() < last and any(asked <= asked_until for _, asked in waiting.values()):
            gevent.sleep(0.05)
        now = time.time()
        return [
            Request(kind, asked, 1000 * (now - asked), True) for kind, asked in waiting.values() if asked <= asked_until
        ]

    def _wait_until_calm(self) -> None:
        for _ in range(_MOST_SETTLING):
            known = len(self._requests)
            gevent.sleep(self._settle)
            took = sorted(one.took for one in self._requests[known:])
            if took and quantile(took, 0.95) <= self._calm_ms:
                return

    def html(self) -> str:
        """Locust's own report of all requests."""
        page: str = get_html_report(self._environment, show_download_link=False)
        return page

    def _record(
        self, name: str, response_time: float, exception: Exception | None, start_time: float, **_: Any
    ) -> None:
        self._requests.append(Request(name, start_time, response_time, exception is not None))
