"""The metrics that AWS's services publish by themselves: API Gateway, Lambda and Step Functions.

LocalStack publishes Lambda's Invocations and Errors only, each in a thread of its own.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Any

from localstack.aws.api.lambda_ import TooManyRequestsException
from localstack.aws.api.stepfunctions import ExecutionStatus
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway import RestApiGateway
from localstack.services.apigateway.next_gen.execute_api.handlers.integration import IntegrationHandler
from localstack.services.lambda_.invocation import version_manager
from localstack.services.lambda_.invocation.lambda_models import InvocationResult, VersionIdentifier
from localstack.services.lambda_.invocation.version_manager import LambdaVersionManager
from localstack.services.stepfunctions.backend.execution import Execution
from localstack.utils.patch import patch
from rolo import Response

from process_executor.host import host

_ENDS = {
    ExecutionStatus.SUCCEEDED: "ExecutionsSucceeded",
    ExecutionStatus.FAILED: "ExecutionsFailed",
    ExecutionStatus.TIMED_OUT: "ExecutionsTimedOut",
    ExecutionStatus.ABORTED: "ExecutionsAborted",
}


class Running:
    """How many executions of each function run."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def one_more(self, function: str) -> Iterator[int]:
        """Counts one for as long as the block runs, and tells how many there are with it."""
        with self._lock:
            self._counts[function] += 1
            running = self._counts[function]
        try:
            yield running
        finally:
            with self._lock:
                self._counts[function] -= 1


def count_invocation(version: VersionIdentifier, *, is_error: bool, seconds: float, running: int) -> None:
    """One invocation that the function's code, or its end, answered after `seconds`."""
    figures = {
        "Invocations": (1, "Count"),
        "Errors": (int(is_error), "Count"),
        "Throttles": (0, "Count"),
        "Duration": (round(seconds * 1000, 2), "Milliseconds"),
        "ConcurrentExecutions": (running, "Count"),
    }
    _put(version.account, version.region, "AWS/Lambda", figures, {"FunctionName": version.function_name})


def invoke_version(
    original: Callable[..., InvocationResult], self: LambdaVersionManager, **arguments: Any
) -> InvocationResult:
    """As the original; an invocation that finds no free concurrency is a throttle, and no invocation."""
    try:
        return original(self, **arguments)
    except TooManyRequestsException:
        version = self.function_version.id
        dimensions = {"FunctionName": version.function_name}
        _put(version.account, version.region, "AWS/Lambda", {"Throttles": (1, "Count")}, dimensions)
        raise


def answer_request(
    original: Callable[..., None], self: RestApiGateway, context: RestApiInvocationContext, response: Response
) -> None:
    """As the original, whatever answers: an integration, a missing API key, an exception."""
    began = time.monotonic()
    try:
        original(self, context, response)
    finally:
        if context.deployment:
            _count_request(context, response.status_code, time.monotonic() - began)


def integrate(original: Callable[..., None], self: IntegrationHandler, *arguments: Any) -> None:
    """As the original, and notes in the request's context how long it took, in seconds."""
    _, context, _ = arguments
    began = time.monotonic()
    try:
        original(self, *arguments)
    finally:
        context.integration_seconds = time.monotonic() - began


def execution_changed(original: Callable[..., None], self: Execution) -> None:
    """As the original, which tells EventBridge of an execution's start and end."""
    if self.exec_status == ExecutionStatus.RUNNING:
        figures = {"ExecutionsStarted": (1.0, "Count")}
    else:
        milliseconds = (self.stop_date - self.start_date).total_seconds() * 1000
        figures = {_ENDS[self.exec_status]: (1.0, "Count"), "ExecutionTime": (round(milliseconds), "Milliseconds")}
    _put(self.account_id, self.region_name, "AWS/States", figures, {"StateMachineArn": self.state_machine_arn})
    original(self)


def publish() -> None:
    """Puts all of it in place, and takes LocalStack's own, less exact, away."""
    patch(RestApiGateway.process_with_context)(answer_request)
    patch(IntegrationHandler.__call__)(integrate)
    patch(LambdaVersionManager.invoke)(invoke_version)
    patch(Execution.publish_execution_status_change_event)(execution_changed)
    version_manager.record_cw_metric_invocation = _count_nothing
    version_manager.record_cw_metric_error = _count_nothing


def _count_request(context: RestApiInvocationContext, status: int, seconds: float) -> None:
    figures = {
        "Count": (1, "Count"),
        "4XXError": (int(400 <= status < 500), "Count"),
        "5XXError": (int(status >= 500), "Count"),
        "Latency": (round(seconds * 1000), "Milliseconds"),
    }
    integration_seconds = context.get("integration_seconds")
    if integration_seconds is not None:
        figures["IntegrationLatency"] = (round(integration_seconds * 1000), "Milliseconds")
    deployment = context.deployment
    api = {"ApiName": deployment.rest_api.rest_api["name"]}
    for dimensions in (api, api | {"Stage": context.stage}):
        _put(deployment.account_id, deployment.region, "AWS/ApiGateway", figures, dimensions)


def _put(
    account: str,
    region: str,
    namespace: str,
    figures: Mapping[str, tuple[float, str]],
    dimensions: Mapping[str, str],
) -> None:
    """Publish figures of now, given as name: (value, unit), with the same dimensions."""
    now = datetime.now(UTC)
    pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    data = [
        {"MetricName": name, "Dimensions": pairs, "Timestamp": now, "Unit": unit, "Value": float(value)}
        for name, (value, unit) in figures.items()
    ]
    host().metrics.put(account, region, namespace, data)


def _count_nothing(**_: Any) -> None:
    """In place of LocalStack's: the executor counts each invocation, with `count_invocation`."""
