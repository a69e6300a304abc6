"""Promotion decisions: the versions in the ledger, how they compare, and rollback."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from readmission.client import Decision


class RollbackRefused(Exception):
    """The function rejected the rollback; `error` is its error name, `message` its error message."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Difference:
    """One version minus another on the same test rows, with the 95 % interval."""

    value: float
    low: float
    high: float


def training_runs(decisions: Sequence[Decision]) -> dict[str, str]:
    """Versions, newest first, with the ids of their training runs."""
    runs: dict[str, str] = {}
    for decision in decisions:
        runs.setdefault(decision["version"], decision["mlflow_run_id"])
    return dict(sorted(runs.items(), key=lambda run: -int(run[0])))


def in_production(decisions: Sequence[Decision]) -> Decision | None:
    """The newest promotion or rollback, whose version is in production. `decisions` are newest first."""
    return next((decision for decision in decisions if decision["decision"] != "refused"), None)


def differences(decisions: Sequence[Decision], version: str, other: str) -> dict[str, Difference]:
    """What a promotion measured as `version` minus `other`, by metric; empty if they were never compared."""
    for decision in decisions:
        pair = (decision["version"], decision["previous_version"])
        measured = decision["metrics"].get("difference") or {}
        if measured and set(pair) == {version, other}:
            sign = 1 if pair == (version, other) else -1
            return {
                name: Difference(sign * one["value"], *sorted((sign * one["low"], sign * one["high"])))
                for name, one in measured.items()
                if isinstance(one, dict) and {"value", "low", "high"} <= one.keys()
            }
    return {}


def roll_back(client: Any, function: str, version: str, reason: str) -> dict[str, Any]:
    """The function's answer. Raises RollbackRefused, and botocore's errors."""
    event = {"rollback": {"version": version, "reason": reason or None}}
    response = client.invoke(FunctionName=function, Payload=json.dumps(event))
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise RollbackRefused(answer.get("errorType", "Error"), answer.get("errorMessage", ""))
    result: dict[str, Any] = answer
    return result
