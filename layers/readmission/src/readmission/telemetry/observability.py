"""The logger and the metrics that every function uses, and what is the same in all handlers."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from threading import Lock
from time import perf_counter
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from readmission.telemetry import metrics

_OTHER: Final = "other"


def logger(service: str) -> Logger:
    """The structured JSON logger of a function."""
    return Logger(service=service)


class EmfMeter:
    """Writes the metrics of a function to its log, in Embedded Metric Format: one line each.

    Each line is written at once, as the look at the registry writes from a thread of its own.
    Raises `ValueError` for a name or dimensions that the table does not have: a bug.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._is_cold = True
        self._lock = Lock()
        self._sinks: dict[tuple[str, ...], AmazonCloudWatchEMFProvider] = {}

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add to a counter."""
        self._write(metrics.BY_NAME[name], name, "Count", value, dimensions)

    def observe(self, name: str, seconds: float, **dimensions: str) -> None:
        """Note a duration in a summary or a histogram."""
        metric = metrics.BY_NAME[name]
        seconds = round(seconds, 6)
        self._write(metric, name, metric.unit, seconds, dimensions)
        if metric.kind == "histogram":
            le = {metrics.LE: metrics.bucket_for(metric, seconds)}
            self._write(metric, metrics.bucket_of(name), "Count", 1, dimensions, le)

    def set(self, name: str, value: float, **dimensions: str) -> None:
        """Tell a gauge's value."""
        metric = metrics.BY_NAME[name]
        self._write(metric, name, metric.unit, value, dimensions)

    def invoked(self, function_name: str) -> None:
        """Count the environment's first invocation."""
        if self._is_cold:
            self._is_cold = False
            self.count(metrics.COLD_STARTS, function_name=function_name)

    def _write(
        self,
        metric: metrics.Metric,
        name: str,
        unit: str,
        value: float,
        dimensions: dict[str, str],
        le: dict[str, str] | None = None,
    ) -> None:
        if dimensions.keys() != metric.dimensions.keys() or self._service not in metric.services:
            raise ValueError(f"{metric.name} of {self._service} has no dimensions {', '.join(dimensions)}")
        series = {metrics.SERVICE: self._service, **dimensions, **(le or {})}
        with self._lock:
            # Kept, since making one takes longer than all the rest.
            key = (name, *series.values())
            sink = self._sinks.get(key) or self._sinks.setdefault(
                key, AmazonCloudWatchEMFProvider(namespace=metrics.NAMESPACE, dimension_set=series)
            )
            sink.add_metric(name, unit, value)
            line = json.dumps(sink.serialize_metric_set())
            sink.metric_set.clear()
        sys.stdout.write(line + "\n")


def step[Event, Result](
    logger: Logger, meter: EmfMeter
) -> Callable[[Callable[[Event, Any], Result]], Callable[[Event, Any], Result]]:
    """Around the handler of a pipeline's step: its time, its outcome, and in the log what it fails with."""

    def decorate(handler: Callable[[Event, Any], Result]) -> Callable[[Event, Any], Result]:
        @wraps(handler)
        def measured(event: Event, context: Any) -> Result:
            meter.invoked(context.function_name)
            begun = perf_counter()
            outcome = "failed"
            try:
                result = handler(event, context)
                outcome = "succeeded"
                return result
            except Exception as error:
                logger.exception("failed", extra={"error": type(error).__name__})
                raise
            finally:
                meter.count(metrics.STEP_RUNS, outcome=outcome)
                meter.observe(metrics.STEP_DURATION, perf_counter() - begun)

        return measured

    return decorate


type _Proxy = Callable[[dict[str, Any], Any], dict[str, Any]]


def api(meter: EmfMeter) -> Callable[[_Proxy], _Proxy]:
    """Around a handler behind API Gateway: its requests by route and status, and their time."""

    def decorate(handler: _Proxy) -> _Proxy:
        @wraps(handler)
        def measured(event: dict[str, Any], context: Any) -> dict[str, Any]:
            meter.invoked(context.function_name)
            begun = perf_counter()
            response = handler(event, context)
            route = event["path"] if event["path"] in metrics.ROUTES else _OTHER
            meter.observe(metrics.REQUEST_DURATION, perf_counter() - begun, route=route)
            meter.count(metrics.REQUESTS, route=route, status=str(response["statusCode"]))
            return response

        return measured

    return decorate
