"""Step Functions' metrics, by state machine."""

from collections.abc import Callable
from functools import cache

from localstack.aws.api.stepfunctions import ExecutionStatus
from localstack.services.stepfunctions.backend.execution import Execution
from localstack.utils.patch import patch

from localstack_plugin.cloudwatch.service_metrics.put import put

_ENDS = {
    ExecutionStatus.SUCCEEDED: "ExecutionsSucceeded",
    ExecutionStatus.FAILED: "ExecutionsFailed",
    ExecutionStatus.TIMED_OUT: "ExecutionsTimedOut",
    ExecutionStatus.ABORTED: "ExecutionsAborted",
}


def execution_changed(original: Callable[..., None], self: Execution) -> None:
    """Publishes the start or end of an execution, then calls the original, which sends it to EventBridge."""
    if self.exec_status == ExecutionStatus.RUNNING:
        figures = {"ExecutionsStarted": (1.0, "Count")}
    else:
        milliseconds = (self.stop_date - self.start_date).total_seconds() * 1000
        figures = {_ENDS[self.exec_status]: (1.0, "Count"), "ExecutionTime": (round(milliseconds), "Milliseconds")}
    put(self.account_id, self.region_name, "AWS/States", figures, {"StateMachineArn": self.state_machine_arn})
    original(self)


@cache
def install() -> None:
    """Further calls do nothing."""
    patch(Execution.publish_execution_status_change_event)(execution_changed)
