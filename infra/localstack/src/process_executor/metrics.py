"""Publishes the metrics in functions' logs, off the invocations' path."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import batched
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Any

from process_executor.emf import MalformedEmf, may_be_emf, metrics_of

LOG = logging.getLogger(__name__)

# PutMetricData takes no more items in one call.
MAX_DATA = 1000
MAX_QUEUED_LOGS = 10_000
# Logs read before publishing: a call for many invocations costs LocalStack little more than one for each.
_MAX_LOGS_AT_ONCE = 200

Publish = Callable[[str, str, str, list[dict[str, Any]]], None]


@dataclass(frozen=True)
class _Log:
    account: str
    region: str
    text: str


class MetricsPublisher:
    """One thread that reads logs from a bounded queue and publishes their metrics.

    `publish(account, region, namespace, data)` puts at most MAX_DATA items. Logs that find the queue full, or
    the publisher closed, are counted and the count is logged; invocations never wait.
    """

    def __init__(self, publish: Publish, max_queued: int = MAX_QUEUED_LOGS) -> None:
        self._publish = publish
        self._queue: Queue[_Log | None] = Queue(max_queued)
        self._dropped = 0
        self._dropped_lock = Lock()
        self._closed = False
        self._thread = Thread(target=self._run, name="lambda-metrics", daemon=True)
        self._thread.start()

    def submit(self, account: str, region: str, log: str) -> None:
        """Publish the metrics in `log`, if any, for the function's account and region."""
        if not may_be_emf(log):
            return
        try:
            if self._closed:
                raise Full
            self._queue.put_nowait(_Log(account, region, log))
        except Full:
            with self._dropped_lock:
                self._dropped += 1

    def close(self) -> None:
        """Publish what is queued, then end."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            logs = self._next_logs()
            ended = None in logs
            self._publish_all(log for log in logs if log)
            self._report_dropped()

    def _next_logs(self) -> list[_Log | None]:
        logs = [self._queue.get()]
        while len(logs) < _MAX_LOGS_AT_ONCE:
            try:
                logs.append(self._queue.get_nowait())
            except Empty:
                break
        return logs

    def _publish_all(self, logs: Iterable[_Log]) -> None:
        data = defaultdict(list)
        for log in logs:
            for namespace, datum in _metrics(log.text):
                data[log.account, log.region, namespace].append(datum)
        for (account, region, namespace), items in data.items():
            for batch in batched(items, MAX_DATA, strict=False):
                try:
                    self._publish(account, region, namespace, list(batch))
                except Exception:  # of any kind: the thread must go on for the others
                    LOG.exception("Cannot put %d items of metrics to namespace %s", len(batch), namespace)

    def _report_dropped(self) -> None:
        with self._dropped_lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            LOG.warning("The metrics in the logs of %d invocations are lost: too many at once", dropped)


def _metrics(text: str) -> Iterable[tuple[str, dict[str, Any]]]:
    for line in text.split("\n"):
        try:
            yield from metrics_of(line)
        except MalformedEmf as error:
            LOG.warning("Log line with malformed embedded metrics: %s: %.200s", error, line)
