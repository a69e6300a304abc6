"""The users of the API. `make load-ui`, or `locust -f tests/load/locustfile.py` after `eval "$(make -s env)"`.

A user asks, waits for the answer, thinks for THINK seconds on average (1; exponentially distributed, so that arrivals
are as irregular as those of strangers), and asks again.
"""

import logging
import os
import random
import ssl
import time
from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar

import gevent
from locust import FastHttpUser, events
from locust.exception import StopUser

from infra.local.errors import LocalError
from tests.load import mix, patients, target

TIMEOUT_SECONDS = 20.0
_PATIENTS = 500

_known = patients.read(_PATIENTS, patients.archive_of_environment())
_seeds, _numbers = count(), count()
waiting: dict[int, tuple[str, float]] = {}
"""The kind of each unanswered request, and when it was sent (epoch, s)."""
# Locust also reads its host from there, but the command line decides the target (see `target`).
os.environ.pop("LOCUST_HOST", None)


def _asking(kind: str) -> Callable[["Ward"], None]:
    def task(user: "Ward") -> None:
        user.ask(kind)

    task.__name__ = kind  # Locust's page shows it
    return task


class Ward(FastHttpUser):
    tasks: ClassVar = {_asking(kind): share for kind, share in mix.SHARES.items()}
    network_timeout = connection_timeout = TIMEOUT_SECONDS
    insecure = False
    think_seconds = 1.0
    refusal = ""

    def wait_time(self) -> float:
        return random.expovariate(1 / self.think_seconds) if self.think_seconds else 0.0

    def on_start(self) -> None:
        self._mix = mix.Mix(_known, seed=next(_seeds))
        gevent.sleep(self.wait_time())  # spreads the first requests

    def ask(self, kind: str) -> None:
        """Send a request of this kind, and judge its answer."""
        asked: mix.Asked = getattr(self._mix, kind)()
        if self.refusal:
            raise StopUser(self.refusal)
        number = next(_numbers)
        waiting[number] = asked.name, time.time()
        try:
            self._judge(asked)
        finally:
            del waiting[number]

    def _judge(self, asked: mix.Asked) -> None:
        with self.client.request(
            asked.method, asked.path, name=asked.name, data=asked.body, catch_response=True
        ) as answer:
            complaint = asked.complaint(answer.status_code, answer.text or "")
            if complaint:
                answer.failure(complaint)
            else:
                answer.success()


@events.test_start.add_listener
def go_to_the_target(environment: Any, **_: Any) -> None:
    """The host from the command line or from Locust's page, if any; otherwise the result of `target.find`.

    Locust ignores what a listener raises, so the refusal is kept where the users see it.
    """
    try:
        known = target.find(environment.host)
    except LocalError as error:
        Ward.refusal = str(error)
        environment.process_exit_code = 1
        logging.error(error)
        return
    tls = ssl.create_default_context(cafile=known.ca_file)
    Ward.host, Ward.refusal = known.url, ""
    Ward.think_seconds = float(os.environ.get("THINK") or 1)
    Ward.default_headers = {"x-api-key": known.key, "Content-Type": "application/json"}
    Ward.ssl_context_factory = staticmethod(lambda: tls)
