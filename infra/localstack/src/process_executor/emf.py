"""Translates log lines in CloudWatch's Embedded Metric Format to data for PutMetricData.

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
    """A line says that it is EMF and is not; the message says why."""


def may_be_emf(text: str) -> bool:
    """A quick test that no EMF line fails."""
    return '"_aws"' in text and '"CloudWatchMetrics"' in text


class Lines:
    """Puts together the lines of an output that comes in pieces, so that each line is told once and whole.

    A thread of the function may be in the middle of a line when an invocation ends.
    """

    def __init__(self) -> None:
        self._begun = ""

    def add(self, text: str) -> str:
        """The lines that are complete with `text`: ended, or a whole JSON object, or not the start of one."""
        begun, self._begun = self._begun, ""
        first, line_end, _ = text.partition("\n")
        # What only looked like the start of an object must not spoil the next line.
        if begun and line_end and not _is_object(begun + first):
            begun += "\n"
        lines, _, last = (begun + text).rpartition("\n")
        if last.lstrip().startswith("{") and not _is_object(last):
            self._begun = last
            return lines
        return f"{lines}\n{last}"

    def end(self) -> str:
        """What was begun and will not go on."""
        begun, self._begun = self._begun, ""
        return begun


def metrics_of(line: str) -> list[tuple[str, dict[str, Any]]]:
    """(namespace, MetricData item) of each metric and dimension set of a line; empty when it is not EMF.

    Raises MalformedEmf: then nothing of the line counts.
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
    """MetricData items of one directive, without their time."""
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
    """One number as Value; several as Values with Counts."""
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


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _reject_constant(name: str) -> None:
    raise MalformedEmf(f"{name} is not JSON")
