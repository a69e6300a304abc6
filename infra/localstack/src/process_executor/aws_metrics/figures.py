"""Figures of now, as data for PutMetricData."""

from collections.abc import Mapping
from datetime import UTC, datetime

from process_executor.host import host


def put(
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
