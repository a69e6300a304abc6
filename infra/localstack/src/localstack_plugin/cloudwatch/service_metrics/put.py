"""Publishes the figures of an AWS service."""

from collections.abc import Mapping
from datetime import UTC, datetime

from localstack_plugin.cloudwatch.shared import publisher


def put(
    account: str,
    region: str,
    namespace: str,
    figures: Mapping[str, tuple[float, str]],
    dimensions: Mapping[str, str],
) -> None:
    """Publish figures, given as name: (value, unit), with the current time and the same dimensions."""
    now = datetime.now(UTC)
    pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    data = [
        {"MetricName": name, "Dimensions": pairs, "Timestamp": now, "Unit": unit, "Value": float(value)}
        for name, (value, unit) in figures.items()
    ]
    publisher().put(account, region, namespace, data)
