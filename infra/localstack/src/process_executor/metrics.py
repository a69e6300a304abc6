"""Publishes metrics, those in functions' output and AWS's own, off the requests' path."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import Any

from process_executor.emf import MAX_VALUES, MalformedEmf, may_be_emf, metrics_of

LOG = logging.getLogger(__name__)

# PutMetricData takes no more items in one call.
MAX_DATA = 1000
MAX_QUEUED = 10_000
# What is read before publishing: together it costs little more than one alone.
_MAX_AT_ONCE = 500
_MINUTE = 60

Publish = Callable[[str, str, str, list[dict[str, Any]]], None]


@dataclass(frozen=True)
class _Log:
    """Output of a function, EMF lines among it."""

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
class _Figures:
    """Data of one namespace that is no output of a function."""

    account: str
    region: str
    namespace: str
    data: list[dict[str, Any]]

    def metrics(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((self.namespace, datum) for datum in self.data)


class MetricsPublisher:
    """One thread that reads metrics from a bounded queue and publishes them.

    `publish(account, region, namespace, data)` puts at most MAX_DATA items. What finds the queue full, or the
    publisher closed, is counted and the count is logged; requests never wait.
    """

    def __init__(self, publish: Publish, max_queued: int = MAX_QUEUED) -> None:
        self._publish = publish
        self._queue: Queue[_Log | _Figures | None] = Queue(max_queued)
        self._dropped = 0
        self._dropped_lock = Lock()
        self._closed = False
        self._thread = Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def submit(self, account: str, region: str, output: str) -> None:
        """Publish the metrics in a function's output, whole lines, for the function's account and region."""
        if may_be_emf(output):
            self._enqueue(_Log(account, region, output))

    def put(self, account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
        """Publish MetricData items; each has a Timestamp."""
        self._enqueue(_Figures(account, region, namespace, data))

    def close(self) -> None:
        """Publish what is queued, then end."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _enqueue(self, item: _Log | _Figures) -> None:
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

    def _next(self) -> list[_Log | _Figures | None]:
        items = [self._queue.get()]
        while len(items) < _MAX_AT_ONCE:
            try:
                items.append(self._queue.get_nowait())
            except Empty:
                break
        return items

    def _publish_all(self, items: Iterable[_Log | _Figures]) -> None:
        data = defaultdict(list)
        for item in items:
            for namespace, datum in item.metrics():
                data[item.account, item.region, namespace].append(datum)
        for (account, region, namespace), single in data.items():
            for batch in batched(combined(single), MAX_DATA, strict=False):
                try:
                    self._publish(account, region, namespace, list(batch))
                except Exception:  # of any kind: the thread must go on for the others
                    LOG.exception("Cannot put %d items of metrics to namespace %s", len(batch), namespace)

    def _report_dropped(self) -> None:
        with self._dropped_lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            LOG.warning("The metrics of %d requests or invocations are lost: too many at once", dropped)


def combined(data: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same values in fewer items: one for all of a metric and minute, or second if its resolution is 1."""
    counts: dict[tuple[Any, ...], Counter[float]] = defaultdict(Counter)
    for datum in data:
        resolution = datum.get("StorageResolution", _MINUTE)
        dimensions = tuple((dimension["Name"], dimension["Value"]) for dimension in datum["Dimensions"])
        seconds = int(datum["Timestamp"].timestamp())
        moment = seconds - seconds % resolution
        key = (datum["MetricName"], dimensions, datum.get("Unit", "None"), resolution, moment)
        values = datum.get("Values") or [datum["Value"]]
        for value, count in zip(values, datum.get("Counts") or [1] * len(values), strict=True):
            counts[key][value] += count
    for (name, dimensions, unit, resolution, moment), values in counts.items():
        for some in batched(values.items(), MAX_VALUES, strict=False):
            yield {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                "Unit": unit,
                "StorageResolution": resolution,
                "Timestamp": datetime.fromtimestamp(moment, UTC),
                "Values": [value for value, _ in some],
                "Counts": [float(count) for _, count in some],
            }
