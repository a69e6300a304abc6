"""Functions that embed metrics in their output, and queries of CloudWatch."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.localstack.server import Server, wait_for

# Source of a function: `embed` returns an EMF line with one value of the metric "Requests".
EMBED = """
import json, time
def embed(namespace, value, **dimensions):
    metrics = {"Namespace": namespace, "Dimensions": [list(dimensions)], "Metrics": [{"Name": "Requests"}]}
    aws = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metrics]}
    return json.dumps({"_aws": aws, "Requests": value, **dimensions})
"""


def query(server: Server, namespace: str, name: str, dimensions: dict[str, str], *stats: str) -> tuple[float, ...]:
    """Each statistic over yesterday and today; 0 if there is no data."""
    pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": pairs}
    answer = server.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": 86400, "Stat": stat}}
            for number, stat in enumerate(stats)
        ],
        StartTime=datetime.now(UTC) - timedelta(days=1),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
    )
    return tuple(sum(result["Values"]) for result in answer["MetricDataResults"])


def wait_for_count(server: Server, expected: float, *metric: Any) -> None:
    """Wait until so many values have arrived: metrics are published shortly after the response."""
    wait_for(lambda: query(server, *metric, "SampleCount") == (expected,), f"{expected} values of {metric}")
