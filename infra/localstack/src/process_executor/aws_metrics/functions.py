"""What Lambda publishes, by function."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from localstack.aws.api.lambda_ import TooManyRequestsException
from localstack.services.lambda_.invocation import version_manager
from localstack.services.lambda_.invocation.lambda_models import InvocationResult, VersionIdentifier
from localstack.services.lambda_.invocation.version_manager import LambdaVersionManager
from localstack.utils.patch import patch
from localstack.utils.threads import FuncThread, start_thread

from process_executor.aws_metrics.figures import put


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
    put(version.account, version.region, "AWS/Lambda", figures, {"FunctionName": version.function_name})


def invoke_version(
    original: Callable[..., InvocationResult], self: LambdaVersionManager, **arguments: Any
) -> InvocationResult:
    """As the original; an invocation that finds no free concurrency is a throttle, and no invocation."""
    try:
        return original(self, **arguments)
    except TooManyRequestsException:
        version = self.function_version.id
        dimensions = {"FunctionName": version.function_name}
        put(version.account, version.region, "AWS/Lambda", {"Throttles": (1, "Count")}, dimensions)
        raise


@cache
def publish() -> None:
    """Puts it in place, once, and takes LocalStack's own away."""
    patch(LambdaVersionManager.invoke)(invoke_version)
    version_manager.start_thread = _start_thread


def _start_thread(method: Callable[..., Any], **options: Any) -> FuncThread | None:
    """As LocalStack's, but for those that would record an invocation: the executor counts it, with `count_invocation`.

    LocalStack keeps every thread that it has started, and the system a stack for each: after some 32,000 invocations
    there would be no more, and every further one would fail.
    """
    if options.get("name", "").startswith("record-cloudwatch-metric"):
        return None
    return start_thread(method, **options)
