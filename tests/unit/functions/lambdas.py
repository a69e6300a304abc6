"""Loading a function's entry file, as Lambda does, and calling it."""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

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
    """What Lambda hands to a handler beside the event, as far as Powertools reads it."""

    function_name: str = "function"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:eu-central-1:000000000000:function:function"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 10_000


def metrics_in(output: str) -> dict[str, Any]:
    """The metrics among the lines that a function printed, with the service they belong to."""
    found: dict[str, Any] = {}
    for line in output.splitlines():
        entry = json.loads(line)
        if "_aws" not in entry:
            continue
        for group in entry["_aws"]["CloudWatchMetrics"]:
            assert group["Namespace"] == "Readmission"
            for metric in group["Metrics"]:
                found[metric["Name"]] = entry[metric["Name"]]
                found["service"] = entry["service"]
    return {name: value for name, value in found.items() if name != "ColdStart"}
