"""The exported metrics: their Prometheus names, types and label values.

This project's metrics come from the table in `readmission.telemetry.metrics`; AWS's are listed here.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Final

from readmission.telemetry import metrics
from readmission.telemetry.exporter.cloudwatch import Filter, Metric, Series, Statistic
from readmission.telemetry.metrics import (
    API_FUNCTIONS,
    LE,
    METRICS,
    NAMESPACE,
    SERVICE,
    STEP_FUNCTIONS,
    Kind,
    bucket_of,
    le_text,
    listed_values,
    prometheus_name,
)

LAMBDA: Final = "AWS/Lambda"
STATES: Final = "AWS/States"
API_GATEWAY: Final = "AWS/ApiGateway"
STAGE: Final = "v1"

_MODEL_VERSION: Final = "model_version"
_FUNCTION_NAME: Final = "function_name"
_STATISTICS: Final[Mapping[Kind, tuple[Statistic, ...]]] = {
    "counter": ("Sum",),
    "summary": ("SampleCount", "Sum"),
    "histogram": ("Sum",),
    "gauge": ("Maximum",),
}


@dataclass(frozen=True, slots=True)
class Stack:
    """The stack whose metrics are exported. The ARN of its state machine is empty if it is unknown."""

    name: str
    state_machine_arn: str


@dataclass(frozen=True, slots=True, eq=False)
class MetricFamily:
    """A CloudWatch metric and the Prometheus metric family that it becomes.

    `labels` are the Prometheus names of `dimensions`, in the same order. Values are divided by `divisor` to get base
    units. `buckets` are the upper bounds of a histogram, including infinity.
    """

    namespace: str
    metric: str
    kind: Kind
    name: str
    help: str
    dimensions: tuple[str, ...]
    labels: tuple[str, ...]
    divisor: float = 1
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One label set of a family; `values` are in the order of its dimensions."""

    family: MetricFamily
    values: tuple[str, ...]

    def series(self) -> Iterator[Series]:
        """Every CloudWatch series that it is computed from."""
        for statistic in _STATISTICS[self.family.kind]:
            yield self.statistic(statistic)
        for bound in self.family.buckets:
            yield self.bucket(bound)

    def statistic(self, statistic: Statistic) -> Series:
        return Series(self._metric(self.family.metric), statistic)

    def bucket(self, bound: float) -> Series:
        """The number of observations up to this bound and above the previous one."""
        return Series(self._metric(bucket_of(self.family.metric), (LE, le_text(bound))), "Sum")

    def _metric(self, name: str, *more: tuple[str, str]) -> Metric:
        dimensions = sorted((*zip(self.family.dimensions, self.values, strict=True), *more))
        return Metric(self.family.namespace, name, tuple(dimensions))


def _own(metric: metrics.Metric) -> MetricFamily:
    labels = (SERVICE, *metric.dimensions)
    return MetricFamily(
        namespace=NAMESPACE,
        metric=metric.name,
        kind=metric.kind,
        name=prometheus_name(metric),
        help=metric.help,
        dimensions=labels,
        labels=labels,
        buckets=(*metric.buckets, inf) if metric.kind == "histogram" else (),
    )


def _aws(namespace: str, prefix: str, labels: Mapping[str, str], *rows: tuple[str, str, str]) -> Iterator[MetricFamily]:
    """`rows` are CloudWatch name, Prometheus name and help. AWS measures durations in milliseconds."""
    for metric, name, text in rows:
        time = name.endswith("_seconds")
        yield MetricFamily(
            namespace,
            metric,
            "summary" if time else "counter",
            f"{prefix}_{name}",
            text,
            tuple(labels),
            tuple(labels.values()),
            1000 if time else 1,
        )


METRIC_FAMILIES: Final = (
    *map(_own, METRICS),
    *_aws(
        LAMBDA,
        "aws_lambda",
        {"FunctionName": _FUNCTION_NAME},
        ("Invocations", "invocations", "invocations of a function"),
        ("Errors", "errors", "invocations that failed"),
        ("Throttles", "throttles", "invocations that AWS throttled"),
        ("Duration", "duration_seconds", "duration of an invocation"),
    ),
    *_aws(
        STATES,
        "aws_states",
        {"StateMachineArn": "state_machine"},
        ("ExecutionsStarted", "executions_started", "pipeline executions started"),
        ("ExecutionsSucceeded", "executions_succeeded", "pipeline executions that succeeded"),
        ("ExecutionsFailed", "executions_failed", "pipeline executions that failed"),
        ("ExecutionsTimedOut", "executions_timed_out", "pipeline executions that timed out"),
        ("ExecutionsAborted", "executions_aborted", "pipeline executions that were aborted"),
        ("ExecutionTime", "execution_time_seconds", "duration of a pipeline execution"),
    ),
    *_aws(
        API_GATEWAY,
        "aws_apigateway",
        {"ApiName": "api", "Stage": "stage"},
        ("Count", "requests", "requests to the gateway"),
        ("4XXError", "4xx_errors", "requests answered with a status from 400 to 499"),
        ("5XXError", "5xx_errors", "requests answered with a status from 500 to 599"),
        ("Latency", "latency_seconds", "duration of a request, including the function"),
        ("IntegrationLatency", "integration_latency_seconds", "duration of the function as measured by the gateway"),
    ),
)

# The histogram that each bucket metric belongs to.
_OBSERVED: Final = {bucket_of(metric.name): metric.name for metric in METRICS if metric.buckets}
_BY_METRIC: Final = {(family.namespace, family.metric): family for family in METRIC_FAMILIES}


def filters(stack: Stack) -> Iterator[Filter]:
    """Filters that list all metrics of the stack, and possibly others, which are ignored."""
    yield Filter(NAMESPACE)
    yield Filter(LAMBDA, (("FunctionName", None),))
    yield Filter(API_GATEWAY, (("ApiName", _api(stack)), ("Stage", STAGE)))
    if stack.state_machine_arn:
        yield Filter(STATES, (("StateMachineArn", stack.state_machine_arn),))


def versions(listed: Iterable[Metric]) -> set[str]:
    """The model versions that occur in any metric."""
    return {value for metric in listed for name, value in metric.dimensions if name == _MODEL_VERSION}


def expected(stack: Stack, versions: Collection[str]) -> Iterator[Item]:
    """Every item whose labels are known in advance, for these model versions, whether it has data or not."""
    for metric in METRICS:
        family = _BY_METRIC[NAMESPACE, metric.name]
        for service in metric.services:
            allowed = (_allowed(metric, name, service, stack, versions) for name in metric.dimensions)
            yield from (Item(family, (service, *values)) for values in product(*allowed))
    resources: dict[str, list[tuple[str, ...]]] = {
        LAMBDA: [(_function(stack, service),) for service in (*STEP_FUNCTIONS, *API_FUNCTIONS)],
        STATES: [(stack.state_machine_arn,)] if stack.state_machine_arn else [],
        API_GATEWAY: [(_api(stack), STAGE)],
    }
    for family in METRIC_FAMILIES:
        yield from (Item(family, values) for values in resources.get(family.namespace, ()))


def found(listed: Iterable[Metric]) -> Iterator[Item]:
    """The items of this project's metrics in the list, whatever their labels."""
    for metric in listed:
        values = dict(metric.dimensions)
        name = _OBSERVED.get(metric.name, metric.name) if values.pop(LE, None) else metric.name
        family = _BY_METRIC.get((metric.namespace, name))
        if family and metric.namespace == NAMESPACE and values.keys() == set(family.dimensions):
            yield Item(family, tuple(values[dimension] for dimension in family.dimensions))


def _allowed(
    metric: metrics.Metric, dimension: str, service: str, stack: Stack, versions: Collection[str]
) -> Collection[str]:
    if dimension == _MODEL_VERSION:
        return versions
    if dimension == _FUNCTION_NAME:
        return (_function(stack, service),)
    return listed_values(metric, dimension, service)


def _function(stack: Stack, service: str) -> str:
    return f"{stack.name}-{service}"


def _api(stack: Stack) -> str:
    return f"{stack.name}-api"
