"""The users of the API. `make load-ui`, or `locust -f tests/load/locustfile.py` after `eval "$(make -s env)"`.

A user asks, waits for the answer, thinks for THINK seconds on average (1; exponentially distributed, so that arrivals
are as irregular as those of strangers), and asks again.
"""

import os
import random
import ssl
import time
from itertools import count
from typing import Any

import gevent
from locust import FastHttpUser, events, task

from tests.load import mix, patients, target

TIMEOUT_SECONDS = 20.0
_PATIENTS = 500

_known = patients.read(_PATIENTS, patients.archive_of_environment())
_seeds, _numbers = count(), count()
waiting: dict[int, float] = {}
"""When (epoch, s) each request was asked that has no answer yet."""


class Ward(FastHttpUser):
    network_timeout = connection_timeout = TIMEOUT_SECONDS
    insecure = False
    think_seconds = 1.0

    def wait_time(self) -> float:
        return random.expovariate(1 / self.think_seconds) if self.think_seconds else 0.0

    def on_start(self) -> None:
        self._mix = mix.Mix(_known, seed=next(_seeds))
        gevent.sleep(self.wait_time())  # users who come at once do not ask at once

    @task(mix.PREDICT)
    def predict(self) -> None:
        self._ask(self._mix.predict())

    @task(mix.BATCH)
    def batch(self) -> None:
        self._ask(self._mix.batch())

    @task(mix.REFUSED)
    def refused(self) -> None:
        self._ask(self._mix.refused())

    @task(mix.HEALTH)
    def health(self) -> None:
        self._ask(self._mix.health())

    def _ask(self, asked: mix.Asked) -> None:
        number = next(_numbers)
        waiting[number] = time.time()
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
    """The host of the command line, if any; else as `target.find` says, also of Locust's own variable."""
    host, of_environment = environment.host, os.environ.get("LOCUST_HOST")
    known = target.find(None, os.environ | {"API_URL": host}) if host and host == of_environment else target.find(host)
    tls = ssl.create_default_context(cafile=known.ca_file)
    Ward.host = known.url
    Ward.think_seconds = float(os.environ.get("THINK") or 1)
    Ward.default_headers = {"x-api-key": known.key, "Content-Type": "application/json"}
    Ward.ssl_context_factory = staticmethod(lambda: tls)
