"""Publishes metrics in the background: those in functions' output and those of AWS services."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import batched
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Any

from localstack_plugin.cloudwatch.aggregation import combined
from localstack_plugin.cloudwatch.emf import MalformedEmf, may_be_emf, metrics_of

LOG = logging.getLogger(__name__)

# The most items that PutMetricData accepts in one call.
MAX_DATA = 1000
MAX_QUEUED = 10_000
# How much is read from the queue before publishing: publishing many together costs little more than publishing one.
_MAX_AT_ONCE = 500

Publish = Callable[[str, str, str, list[dict[str, Any]]], None]


@dataclass(frozen=True)
class _Log:
    """A function's output, which may contain EMF lines."""

    account: str
    region: str
    text: str

    def metrics(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for line in self.text.split("\n"):
            try:
                yield from metrics_of(line)
            except MalformedEmf as error:
                LOG.warning("Log line with malformed embedded metrics: %s: %.200s", error, line)


@dataclass(frozen=True)
class _Items:
    """MetricData items of one namespace."""

    account: str
    region: str
    namespace: str
    data: list[dict[str, Any]]

    def metrics(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((self.namespace, datum) for datum in self.data)


class MetricsPublisher:
    """A thread that reads metrics from a bounded queue and publishes them.

    `publish(account, region, namespace, data)` puts at most MAX_DATA items. Requests never wait: metrics that arrive
    when the queue is full or the publisher is closed are dropped, and their number is logged.
    """

    def __init__(self, publish: Publish, max_queued: int = MAX_QUEUED) -> None:
        self._publish = publish
        self._queue: Queue[_Log | _Items | None] = Queue(max_queued)
        self._dropped = 0
        self._dropped_lock = Lock()
        self._closed = False
        self._thread = Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def submit(self, account: str, region: str, output: str) -> None:
        """Publish the metrics in a function's output (complete lines) for the function's account and region."""
        if may_be_emf(output):
            self._enqueue(_Log(account, region, output))

    def put(self, account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
        """Publish MetricData items; each needs a Timestamp."""
        self._enqueue(_Items(account, region, namespace, data))

    def close(self) -> None:
        """Publish the queued metrics, then stop."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _enqueue(self, item: _Log | _Items) -> None:
        try:
            if self._closed:
                raise Full
            self._queue.put_nowait(item)
        except Full:
            with self._dropped_lock:
                self._dropped += 1

    def _run(self) -> None:
        ended = False
        while not ended:
            items = self._next()
            ended = None in items
            self._publish_all(item for item in items if item)
            self._report_dropped()

    def _next(self) -> list[_Log | _Items | None]:
        items = [self._queue.get()]
        while len(items) < _MAX_AT_ONCE:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                break
        return items

    def _publish_all(self, items: Iterable[_Log | _Items]) -> None:
        data = defaultdict(list)
        for item in items:
            for namespace, datum in item.metrics():
                data[item.account, item.region, namespace].append(datum)
        for (account, region, namespace), single in data.items():
            for batch in batched(combined(single), MAX_DATA, strict=False):
                try:
                    self._publish(account, region, namespace, list(batch))
                except Exception:  # whatever the error, the thread must go on with the other metrics
                    LOG.exception("Cannot put %d metric items into namespace %s", len(batch), namespace)

    def _report_dropped(self) -> None:
        with self._dropped_lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            LOG.warning("Dropped the metrics of %d requests or invocations: the queue was full", dropped)
