"""Metrics that this process keeps for Prometheus: those of a service that runs outside Lambda.

Names, types, labels and buckets are those that the exporter gives the same service on Lambda. Each server adds the
label `replica`, so that the counters of several servers add up, and one that starts anew is a new series from 0.
"""

import socket
import time
from collections.abc import Iterable, Iterator
from itertools import product
from math import inf
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, start_http_server
from prometheus_client.core import Metric as Family
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from readmission.errors import ConfigurationError
from readmission.telemetry import metrics
from readmission.telemetry.metrics import METRICS, SERVICE, Metric, listed_values, prometheus_name

REPLICA: Final = "replica"
# Lambda alone has cold starts.
_NOT_HERE: Final = frozenset({metrics.COLD_STARTS})
_HELP: Final = {prometheus_name(metric): metric.help for metric in METRICS}


class PrometheusMeter:
    """Keeps the metrics of one service in `registry`.

    Raises `ValueError` for a name or dimensions that are not in the table, which is a bug.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._service = service
        self._metrics = {
            metric.name: _created(metric, self.registry)
            for metric in METRICS
            if service in metric.services and metric.name not in _NOT_HERE
        }
        self._series: dict[tuple[str, ...], MetricWrapperBase] = {}
        self._begin_at_zero()

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add to a counter."""
        series = self._of(name, dimensions)
        assert isinstance(series, Counter)
        series.inc(value)

    def observe(self, name: str, seconds: float, **dimensions: str) -> None:
        """Add a duration to a summary or a histogram."""
        series = self._of(name, dimensions)
        assert isinstance(series, Histogram | Summary)
        series.observe(seconds)

    def set(self, name: str, value: float, **dimensions: str) -> None:
        """Set a gauge."""
        series = self._of(name, dimensions)
        assert isinstance(series, Gauge)
        series.set(value)

    def _of(self, name: str, dimensions: dict[str, str]) -> MetricWrapperBase:
        key = (name, *dimensions, *dimensions.values())
        found = self._series.get(key)
        if found is None:
            if name not in self._metrics or dimensions.keys() != metrics.BY_NAME[name].dimensions.keys():
                raise ValueError(f"{self._service} has no metric {name} with the dimensions {', '.join(dimensions)}")
            self._make(name, dimensions)
            found = self._series[key] = self._metrics[name].labels(**{SERVICE: self._service}, **dimensions)
        return found

    def _begin_at_zero(self) -> None:
        """Make the series whose labels are known, because Prometheus cannot see a rise from nothing to 1."""
        for name in self._metrics:
            if metrics.BY_NAME[name].kind != "gauge":  # which is unknown until it is set
                self._make(name, {})

    def _make(self, name: str, given: dict[str, str]) -> None:
        """Make the series for all values that the table lists and, where it lists none, for those given: with a model
        version's first forecast, its classes without one are 0 and not missing."""
        metric = metrics.BY_NAME[name]
        choices = [
            listed_values(metric, dimension, self._service) or tuple(filter(None, [given.get(dimension)]))
            for dimension in metric.dimensions
        ]
        for values in product(*choices):
            labels = dict(zip(metric.dimensions, values, strict=True))
            self._metrics[name].labels(**{SERVICE: self._service}, **labels)


def _created(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    name, labels = prometheus_name(metric), (SERVICE, *metric.dimensions)
    match metric.kind:
        case "counter":
            return Counter(name, metric.help, labels, registry=registry)
        case "summary":
            return Summary(name, metric.help, labels, registry=registry)
        case "histogram":
            return Histogram(name, metric.help, labels, registry=registry, buckets=(*metric.buckets, inf))
        case "gauge":
            # Of several processes, the one that was set last.
            return Gauge(name, metric.help, labels, registry=registry, multiprocess_mode="mostrecent")


class Collects(Protocol):
    """What a registry and a collector have in common."""

    def collect(self) -> Iterable[Family]: ...


class Replica(Collector):
    """The metrics of another collector, with the label `replica`."""

    def __init__(self, of: Collects, name: str) -> None:
        self._of, self._name = of, name

    def collect(self) -> Iterator[Family]:
        for family in self._of.collect():
            # A collector of several processes has forgotten the texts.
            family.documentation = _HELP.get(family.name, family.documentation)
            # The exporter does not know when a counter began, and here they all began with the process.
            family.samples = [
                one._replace(labels={**one.labels, REPLICA: self._name})
                for one in family.samples
                if not one.name.endswith("_created")
            ]
            yield family


def of_processes(folder: str) -> Collects:
    """The sum of the metrics that several processes keep in `folder`, their PROMETHEUS_MULTIPROC_DIR."""
    # It registers itself, but only where nobody looks.
    found: Collects = MultiProcessCollector(CollectorRegistry(), path=folder)  # type: ignore[no-untyped-call]
    return found


def serve(collector: Collects, host: str, port: int) -> None:
    """Serve the metrics on a thread of their own until the process ends, at `/metrics`.

    Raises `ConfigurationError` if the port is taken.
    """
    registry = CollectorRegistry(auto_describe=False)
    # The start makes a restarted container, which keeps its host name, another replica.
    registry.register(Replica(collector, f"{socket.gethostname()}-{int(time.time())}"))
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigurationError(f"the metrics cannot be served on METRICS_PORT {port} of {host}: {error}") from error
