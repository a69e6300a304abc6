"""Translates log lines in CloudWatch's Embedded Metric Format (EMF) into items for PutMetricData.

Specification: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/
CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

MAX_DIMENSIONS = 30
MAX_VALUES = 100


class MalformedEmf(Exception):
    """The line claims to be EMF but is not valid; the message says why."""


def may_be_emf(text: str) -> bool:
    """A quick check: False only if the text contains no EMF line."""
    return '"_aws"' in text and '"CloudWatchMetrics"' in text


def metrics_of(line: str) -> list[tuple[str, dict[str, Any]]]:
    """(namespace, MetricData item) for each metric and dimension set of the line; empty if it is not EMF.

    Raises MalformedEmf if any part of the line is invalid.
    """
    if not (may_be_emf(line) and line.lstrip().startswith("{")):
        return []
    try:
        document = json.loads(line, parse_constant=_reject_constant)
        metadata = document["_aws"]
        timestamp = datetime.fromtimestamp(metadata["Timestamp"] / 1000, UTC)
        return [
            (directive["Namespace"], datum | {"Timestamp": timestamp})
            for directive in metadata["CloudWatchMetrics"]
            for datum in _data(document, directive)
        ]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise MalformedEmf(str(error)) from error
    except KeyError as error:
        raise MalformedEmf(f"{error} is missing") from error


def _data(document: dict[str, Any], directive: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """MetricData items of one directive, without Timestamp."""
    dimension_sets = [_dimensions(document, names) for names in directive.get("Dimensions") or [[]]]
    for metric in directive["Metrics"]:
        datum = {
            "MetricName": metric["Name"],
            "Unit": metric.get("Unit", "None"),
            "StorageResolution": metric.get("StorageResolution", 60),
            **_values(metric["Name"], document[metric["Name"]]),
        }
        for dimensions in dimension_sets:
            yield datum | {"Dimensions": dimensions}


def _dimensions(document: dict[str, Any], names: list[str]) -> list[dict[str, str]]:
    if len(names) > MAX_DIMENSIONS:
        raise MalformedEmf(f"{len(names)} dimensions in a set, at most {MAX_DIMENSIONS} are allowed")
    for name in names:
        if not isinstance(document[name], str):
            raise MalformedEmf(f"dimension {name!r} is not a string")
    return [{"Name": name, "Value": document[name]} for name in names]


def _values(name: str, value: Any) -> dict[str, Any]:
    """A single number as Value, an array as Values with Counts."""
    values = value if isinstance(value, list) else [value]
    if not 1 <= len(values) <= MAX_VALUES:
        raise MalformedEmf(f"metric {name!r} has {len(values)} values, 1 to {MAX_VALUES} are allowed")
    if not all(_is_number(item) for item in values):
        raise MalformedEmf(f"metric {name!r} is not numeric")
    if not isinstance(value, list):
        return {"Value": float(value)}
    counts = Counter(float(item) for item in values)
    return {"Values": list(counts), "Counts": [float(count) for count in counts.values()]}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _reject_constant(name: str) -> None:
    raise MalformedEmf(f"{name} is not JSON")
