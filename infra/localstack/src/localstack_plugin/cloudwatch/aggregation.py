"""Combines MetricData items, so that fewer are published."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import batched
from typing import Any

from localstack_plugin.cloudwatch.emf import MAX_VALUES

_MINUTE = 60


def combined(data: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same values in fewer items: one per metric and minute, or per second if its resolution is 1 s."""
    counts: dict[tuple[Any, ...], Counter[float]] = defaultdict(Counter)
    for datum in data:
        values, counted = datum.get("Values") or [datum["Value"]], counts[_key(datum)]
        for value, count in zip(values, datum.get("Counts") or [1] * len(values), strict=True):
            counted[value] += count
    for (name, dimensions, unit, resolution, start), counted in counts.items():
        for some in batched(counted.items(), MAX_VALUES, strict=False):
            yield {
                "MetricName": name,
                "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                "Unit": unit,
                "StorageResolution": resolution,
                "Timestamp": datetime.fromtimestamp(start, UTC),
                "Values": [value for value, _ in some],
                "Counts": [float(count) for _, count in some],
            }


def _key(datum: dict[str, Any]) -> tuple[Any, ...]:
    """Items with the same key can be combined."""
    resolution = datum.get("StorageResolution", _MINUTE)
    dimensions = tuple((dimension["Name"], dimension["Value"]) for dimension in datum["Dimensions"])
    seconds = int(datum["Timestamp"].timestamp())
    return datum["MetricName"], dimensions, datum.get("Unit", "None"), resolution, seconds - seconds % resolution
