"""The logger and the meter of every function, and the decorators that measure its handler."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from time import perf_counter
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from readmission.telemetry import metrics

# The dimensions of a series, in order, and the values to write for it: metric name, unit, value.
type _Dimensions = tuple[tuple[str, str], ...]
type _Values = list[tuple[str, str, float]]


def logger(service: str) -> Logger:
    """The structured JSON logger of a function."""
    return Logger(service=service)


class EmfMeter:
    """Writes the metrics of a function to its log in Embedded Metric Format (EMF).

    During `invocation`, metrics are collected and written at its end, as one line per set of dimensions. Outside it,
    for example on the thread that polls the model registry, every metric is written at once.

    Raises `ValueError` for a name or dimensions that are not in the table, which is a bug.
    """

    def __init__(self, service: str) -> None:
        self._service = service
        self._is_cold = True
        self._lock = Lock()
        self._providers: dict[_Dimensions, AmazonCloudWatchEMFProvider] = {}
        # A context variable: new threads do not inherit it, but the tasks of an asyncio application do.
        self._collected: ContextVar[dict[_Dimensions, _Values] | None] = ContextVar("collected", default=None)

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Add to a counter."""
        self._add(metrics.BY_NAME[name], dimensions, (name, "Count", value))

    def observe(self, name: str, seconds: float, **dimensions: str) -> None:
        """Add a duration to a summary or a histogram."""
        metric = metrics.BY_NAME[name]
        seconds = round(seconds, 6)
        self._add(metric, dimensions, (name, metric.unit, seconds))
        if metric.kind == "histogram":
            bucket = metrics.bucket_for(metric, seconds)
            self._add(metric, dimensions, (metrics.bucket_of(name), "Count", 1), (metrics.LE, bucket))

    def set(self, name: str, value: float, **dimensions: str) -> None:
        """Set a gauge."""
        metric = metrics.BY_NAME[name]
        self._add(metric, dimensions, (name, metric.unit, value))

    @contextmanager
    def invocation(self, function_name: str) -> Iterator[None]:
        """Collect the metrics of one invocation, and count the environment's first one as a cold start."""
        if self._is_cold:
            self._is_cold = False
            self.count(metrics.COLD_STARTS, function_name=function_name)  # at once: the invocation may time out
        collected: dict[_Dimensions, _Values] = {}
        token = self._collected.set(collected)
        try:
            yield
        finally:
            self._collected.reset(token)
            self._write(collected)

    def _add(
        self,
        metric: metrics.Metric,
        dimensions: dict[str, str],
        value: tuple[str, str, float],
        *more: tuple[str, str],
    ) -> None:
        if dimensions.keys() != metric.dimensions.keys() or self._service not in metric.services:
            raise ValueError(f"{self._service} has no metric {metric.name} with the dimensions {', '.join(dimensions)}")
        series = ((metrics.SERVICE, self._service), *dimensions.items(), *more)
        collected = self._collected.get()
        if collected is None:
            self._write({series: [value]})
        else:
            collected.setdefault(series, []).append(value)

    def _write(self, collected: dict[_Dimensions, _Values]) -> None:
        lines: list[str] = []
        with self._lock:
            for series, values in collected.items():
                # Providers are kept, because creating one takes longer than everything else here.
                provider = self._providers.get(series) or self._providers.setdefault(
                    series, AmazonCloudWatchEMFProvider(namespace=metrics.NAMESPACE, dimension_set=dict(series))
                )
                for name, unit, value in values:
                    provider.add_metric(name, unit, value)
                if provider.metric_set:  # Powertools itself writes a set that has reached EMF's limit of 100 values
                    lines.append(json.dumps(provider.serialize_metric_set()) + "\n")
                    provider.metric_set.clear()
        # In one call, so that lines of several threads do not mix.
        sys.stdout.write("".join(lines))


def step[Event, Result](
    logger: Logger, meter: EmfMeter
) -> Callable[[Callable[[Event, Any], Result]], Callable[[Event, Any], Result]]:
    """Decorates the handler of a pipeline step: measures duration and outcome, and logs the exception of a failure."""

    def decorate(handler: Callable[[Event, Any], Result]) -> Callable[[Event, Any], Result]:
        @wraps(handler)
        def measured(event: Event, context: Any) -> Result:
            with meter.invocation(context.function_name):
                start = perf_counter()
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
                    meter.observe(metrics.STEP_DURATION, perf_counter() - start)

        return measured

    return decorate


def logged[Event, Result](
    logger: Logger, meter: EmfMeter
) -> Callable[[Callable[[Event, Any], Result]], Callable[[Event, Any], Result]]:
    """Decorates a handler that is neither a step nor behind the gateway: writes its metrics, and logs its exception."""

    def decorate(handler: Callable[[Event, Any], Result]) -> Callable[[Event, Any], Result]:
        @wraps(handler)
        def measured(event: Event, context: Any) -> Result:
            with meter.invocation(context.function_name):
                try:
                    return handler(event, context)
                except Exception as error:
                    logger.exception("failed", extra={"error": type(error).__name__})
                    raise

        return measured

    return decorate


type _ProxyHandler = Callable[[dict[str, Any], Any], dict[str, Any]]


def api(meter: EmfMeter) -> Callable[[_ProxyHandler], _ProxyHandler]:
    """Decorates a handler behind API Gateway: counts requests by route and status, and measures their duration."""

    def decorate(handler: _ProxyHandler) -> _ProxyHandler:
        @wraps(handler)
        def measured(event: dict[str, Any], context: Any) -> dict[str, Any]:
            with meter.invocation(context.function_name):
                start = perf_counter()
                response = handler(event, context)
                # The resource stands for paths that contain an id.
                known = (one for one in (event["path"], event.get("resource")) if one in metrics.ROUTES)
                route = next(known, metrics.OTHER)
                meter.observe(metrics.REQUEST_DURATION, perf_counter() - start, route=route)
                meter.count(metrics.REQUESTS, route=route, status=str(response["statusCode"]))
                return response

        return measured

    return decorate
