"""What all execution environments of one LocalStack share."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from localstack.aws.connect import connect_to

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
    """The one host of this process, made when LocalStack first handles a function."""
    folder = WorkingFolder()
    metrics = MetricsPublisher(_put_metric_data)
    return Host(folder, CodeStore(folder.path), Runtimes.from_environment(), metrics)


def _put_metric_data(account: str, region: str, namespace: str, data: list[dict[str, Any]]) -> None:
    client = connect_to(aws_access_key_id=account, region_name=region).cloudwatch
    client.put_metric_data(Namespace=namespace, MetricData=data)
