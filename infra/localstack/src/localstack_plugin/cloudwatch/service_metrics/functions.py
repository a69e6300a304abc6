"""Lambda's metrics, by function."""

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

from localstack_plugin.cloudwatch.service_metrics.put import put


class Concurrency:
    """The number of running executions of each function."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    @contextmanager
    def one_more(self, function: str) -> Iterator[int]:
        """Counts one execution while the block runs; yields the number of running executions, this one included."""
        with self._lock:
            self._counts[function] += 1
            running = self._counts[function]
        try:
            yield running
        finally:
            with self._lock:
                self._counts[function] -= 1


def count_invocation(version: VersionIdentifier, *, is_error: bool, seconds: float, concurrency: int) -> None:
    """Publishes an invocation that the function answered, or failed to answer, within `seconds`."""
    figures = {
        "Invocations": (1, "Count"),
        "Errors": (int(is_error), "Count"),
        "Throttles": (0, "Count"),
        "Duration": (round(seconds * 1000, 2), "Milliseconds"),
        "ConcurrentExecutions": (concurrency, "Count"),
    }
    put(version.account, version.region, "AWS/Lambda", figures, {"FunctionName": version.function_name})


def invoke_version(
    original: Callable[..., InvocationResult], self: LambdaVersionManager, **arguments: Any
) -> InvocationResult:
    """Calls the original; an invocation rejected for lack of concurrency counts only as a throttle."""
    try:
        return original(self, **arguments)
    except TooManyRequestsException:
        version = self.function_version.id
        dimensions = {"FunctionName": version.function_name}
        put(version.account, version.region, "AWS/Lambda", {"Throttles": (1, "Count")}, dimensions)
        raise


@cache
def install() -> None:
    """Also disables LocalStack's own metrics. Further calls do nothing."""
    patch(LambdaVersionManager.invoke)(invoke_version)
    version_manager.start_thread = _start_thread


def _start_thread(method: Callable[..., Any], **options: Any) -> FuncThread | None:
    """LocalStack's `start_thread`, except for threads that record an invocation: `count_invocation` does that.

    LocalStack never releases its threads, and each keeps its stack: after about 32,000 invocations no more could start,
    and all further invocations would fail.
    """
    if options.get("name", "").startswith("record-cloudwatch-metric"):
        return None
    return start_thread(method, **options)
