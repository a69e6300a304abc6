"""Loads and calls a function's entry file like Lambda does."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

FUNCTIONS = Path(__file__).parents[3] / "functions"


def load(name: str) -> ModuleType:
    """A fresh copy of the function's module."""
    spec = importlib.util.spec_from_file_location(f"{name}_app", FUNCTIONS / name / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Context:
    """The part of Lambda's context object that Powertools reads."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:000000000000:function:function"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


type Series = tuple[str, frozenset[tuple[str, str]]]


def series(name: str, **dimensions: str) -> Series:
    """A metric with its dimensions."""
    return name, frozenset(dimensions.items())


def metrics_in(output: str) -> dict[Series, float]:
    """The sums of all metrics in the lines that a function printed."""
    found: dict[Series, float] = {}
    for line in output.splitlines():
        entry = json.loads(line)
        for group in entry.get("_aws", {}).get("CloudWatchMetrics", []):
            assert group["Namespace"] == "Readmission"
            (names,) = group["Dimensions"]
            for metric in group["Metrics"]:
                key = series(metric["Name"], **{name: entry[name] for name in names})
                found[key] = found.get(key, 0) + sum(entry[metric["Name"]])
    return found


def counters_in(output: str) -> dict[Series, float]:
    """The metrics that do not depend on time or on which tests ran before."""
    return {
        key: value for key, value in metrics_in(output).items() if "Duration" not in key[0] and key[0] != "ColdStart"
    }
