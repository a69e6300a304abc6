"""`make soak`: whether the memory of predict and of LocalStack stays flat over many requests through the gateway.

Exits 1 if one of them still grows in the second half, or if a request was not answered rightly.
"""

import argparse
import http.client
import json
import os
import ssl
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import linear_regression
from urllib.parse import urlsplit

import psutil

from infra.local import settings, stack
from infra.local.errors import LocalError
from infra.local.servers import processes, supervision
from infra.local.settings import Settings
from infra.local.terminal import table
from tests.arguments import positive
from tests.load import patients, target
from tests.load.mix import SHARES, Asked, Mix

MOST_GROWTH = 1.0
"""MB per 10,000 requests, in the second half."""
_MB = 1_000_000
_PATIENTS = 500
_TIMEOUT_SECONDS = 30.0
_MOST_KEPT_SECONDS = 4.0
"""LocalStack closes an idle connection after 5 s."""


@dataclass(frozen=True, slots=True)
class Sample:
    """After so many requests and seconds: the resident memory of the largest process of predict and of LocalStack (MB),
    how many processes predict has, and how many requests have failed."""

    requests: int
    seconds: float
    predict_mb: float
    localstack_mb: float
    instances: int
    failures: int


def growth(samples: Sequence[Sample], server: str) -> float:
    """MB per 10,000 requests of `predict_mb` or `localstack_mb` over the second half of the requests, by least squares.
    Raises ValueError if that half has less than two samples."""
    half = [sample for sample in samples if sample.requests >= samples[-1].requests / 2]
    if len(half) < 2:
        raise ValueError("too few samples in the second half")
    line = linear_regression([sample.requests for sample in half], [getattr(sample, server) for sample in half])
    return line.slope * 10_000


class Client:
    """One client that keeps its connection. Not thread-safe."""

    def __init__(self, known: target.Target, mix: Mix, seed: int) -> None:
        self._address = urlsplit(known.url)
        self._headers = {"x-api-key": known.key, "Content-Type": "application/json"}
        self._ca_file = known.ca_file
        self._mix, self._random = mix, Random(seed)
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def ask(self) -> str | None:
        """Sends the next request of the mix; what is wrong with its answer."""
        kind = self._random.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        asked: Asked = getattr(self._mix, kind)()
        try:
            connection = self._connected()
            connection.request(asked.method, f"{self._address.path}{asked.path}", asked.body, self._headers)
            answer = connection.getresponse()
            complaint = asked.complaint(answer.status, answer.read().decode())
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return f"{type(error).__name__}: {error}"
        self._used = time.monotonic()
        return complaint

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _connected(self) -> http.client.HTTPConnection:
        if time.monotonic() - self._used > _MOST_KEPT_SECONDS:
            self.close()
        if not self._connection:
            self._connection = self._new_connection()
        return self._connection

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        tls = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=tls)


class Soak:
    """Sends requests from several clients, and samples the memory in between."""

    def __init__(self, loaded: Settings, clients: Sequence[Client]) -> None:
        self._settings, self._clients = loaded, clients
        self._complaints: list[str] = []
        self._began = time.monotonic()

    @property
    def complaints(self) -> Sequence[str]:
        return self._complaints

    def run(self, requests: int, every: int, minutes: float) -> list[Sample]:
        """One sample at the start, then one after each `every` requests; shorter if it takes so many minutes."""
        samples = [self._sample(0)]
        with ThreadPoolExecutor(len(self._clients)) as pool:
            for sent in range(every, requests + 1, every):
                shares = [every // len(self._clients)] * len(self._clients)
                shares[0] += every - sum(shares)
                for complaints in pool.map(_ask, self._clients, shares):
                    self._complaints += complaints
                samples.append(self._sample(sent))
                print(f"soak        {_words(samples[-1])}", file=sys.stderr, flush=True)
                if time.monotonic() - self._began > 60 * minutes:
                    break
        return samples

    def _sample(self, sent: int) -> Sample:
        predict = [
            process.handle.memory_info().rss
            for process in processes.ours(self._settings)
            if processes.function_of(process) == f"{stack.NAME}-predict" and process.alive()
        ]
        pid = supervision.states(self._settings)["localstack"].pid
        return Sample(
            requests=sent,
            seconds=round(time.monotonic() - self._began, 1),
            predict_mb=round(max(predict, default=0) / _MB, 1),
            localstack_mb=round(psutil.Process(pid).memory_info().rss / _MB, 1),
            instances=len(predict),
            failures=len(self._complaints),
        )


def _ask(client: Client, requests: int) -> list[str]:
    return [complaint for _ in range(requests) if (complaint := client.ask())]


def _words(sample: Sample) -> str:
    return (
        f"{sample.requests:>6} requests, {sample.seconds:5.0f} s: predict {sample.predict_mb:.1f} MB,"
        f" LocalStack {sample.localstack_mb:.1f} MB, {sample.failures} failed"
    )


def main() -> int:
    asked = _arguments()
    loaded = settings.load()
    if not supervision.runs(loaded, "localstack"):
        raise LocalError("LocalStack does not run as part of this platform, so its memory cannot be measured.")
    known = target.find(None, {name: value for name, value in os.environ.items() if name != "API_URL"})
    patients_known = patients.read(_PATIENTS, patients.archive_of_environment())
    clients = [Client(known, Mix(patients_known, seed), seed) for seed in range(asked.clients)]
    soak = Soak(loaded, clients)
    samples = soak.run(asked.requests, asked.every, asked.minutes)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(sample) for sample in samples], indent=1))
    print(_report(samples, soak.complaints))
    grew = any(growth(samples, server) > MOST_GROWTH for server in ("predict_mb", "localstack_mb"))
    return int(grew or bool(soak.complaints))


def _report(samples: Sequence[Sample], complaints: Sequence[str]) -> str:
    rows = [
        (
            str(one.requests),
            f"{one.seconds:.0f}",
            f"{one.predict_mb:.1f}",
            str(one.instances),
            f"{one.localstack_mb:.1f}",
        )
        for one in samples
    ]
    grown = [
        f"{name} grows by {growth(samples, server):.2f} MB per 10,000 requests in the second half; limit: {MOST_GROWTH}"
        for name, server in (("predict", "predict_mb"), ("LocalStack", "localstack_mb"))
    ]
    failed = f"{len(complaints)} requests failed" + (f", such as: {complaints[0]}" if complaints else "")
    header = ("REQUESTS", "SECONDS", "PREDICT MB", "PROCESSES", "LOCALSTACK MB")
    return "\n".join([table([header, *rows]), "", *grown, failed])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--requests", type=positive, default=50_000)
    parser.add_argument("--every", type=positive, default=2_500, help="requests between two samples")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after the sample that comes later than that")
    parser.add_argument("--clients", type=positive, default=2, help="clients that ask at the same time")
    parser.add_argument("--json", type=Path, help="also write the samples to this file")
    asked = parser.parse_args()
    if asked.requests < 4 * asked.every:
        parser.error("--requests must be at least four times --every")
    return asked


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LocalError, ValueError) as error:
        sys.exit(str(error))
