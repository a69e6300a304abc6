"""A small mixed load on the gateway while faults happen: one client that asks, waits for the answer, and asks again."""

import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from threading import Event, Thread
from types import TracebackType
from typing import Self

from infra.local.stack import Stack
from tests.load.mix import SHARES, Asked, Mix
from tests.load.patients import Patient

TIMEOUT_SECONDS = 20.0
NO_ANSWER = 0
"""The status of a request that could not connect, or whose connection broke."""


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was sent (time.monotonic), its kind, status, and what is wrong with the answer, if anything."""

    sent: float
    kind: str
    status: int
    complaint: str | None

    @property
    def failed(self) -> bool:
        """No forecast or refusal came: an error of a server, or nothing at all."""
        return self.complaint is not None and not self.wrong

    @property
    def wrong(self) -> bool:
        """Answered as if all were well, but not rightly: this is never allowed."""
        return self.complaint is not None and 200 <= self.status < 300


class Traffic:
    """A context manager: asks from entry to exit, in its own thread."""

    def __init__(self, stack: Callable[[], Stack], ca_file: str, patients: Sequence[Patient], seed: int) -> None:
        """`stack` is asked anew for each request, because a new LocalStack has another address."""
        self._stack = stack
        self._ca_file = ca_file
        self._mix = Mix(patients, seed)
        self._random = Random(seed)
        self._answers: list[Answer] = []
        self._ending = Event()
        self._thread = Thread(target=self._ask_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(TIMEOUT_SECONDS + 5)

    def between(self, since: float, until: float) -> list[Answer]:
        """The answers to requests sent in that time (time.monotonic)."""
        return [answer for answer in list(self._answers) if since <= answer.sent <= until]

    def _ask_on(self) -> None:
        while not self._ending.is_set():
            kind = self._random.choices(tuple(SHARES), tuple(SHARES.values()))[0]
            asked: Asked = getattr(self._mix, kind)()
            sent = time.monotonic()
            status, text = self._send(asked)
            self._answers.append(Answer(sent, asked.name, status, asked.complaint(status, text)))
            self._ending.wait(self._random.uniform(0.1, 0.5))

    def _send(self, asked: Asked) -> tuple[int, str]:
        known = self._stack()
        request = urllib.request.Request(
            f"{known.api_url}{asked.path}", asked.body.encode() if asked.body else None, method=asked.method
        )
        request.add_header("x-api-key", known.api_key)
        request.add_header("Content-Type", "application/json")
        try:
            # Read for each request: a new LocalStack may have another certificate.
            context = ssl.create_default_context(cafile=self._ca_file)
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):
            return NO_ANSWER, ""
