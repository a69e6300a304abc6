"""What all execution environments of one LocalStack share."""

from dataclasses import dataclass
from functools import cache

from process_executor import cloudwatch
from process_executor.code import CodeStore
from process_executor.metrics import MetricsPublisher
from process_executor.runtimes import Runtimes
from process_executor.working_folder import WorkingFolder


@dataclass(frozen=True)
class Host:
    folder: WorkingFolder
    code: CodeStore
    runtimes: Runtimes
    metrics: MetricsPublisher


@cache
def host() -> Host:
    """The one host of this process, made at LocalStack's start, while there is one thread.

    Metrics go to CloudWatch's data and not through its API: that costs a hundredth, and works while services stop.
    """
    folder = WorkingFolder()
    metrics = MetricsPublisher(cloudwatch.store().add_metric_data)
    return Host(folder, CodeStore(folder.path), Runtimes.from_environment(), metrics)
