"""Promotion decisions: the versions in the ledger, how they compare, and rollback."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from readmission.client import Decision
from readmission.domain.payloads import RollbackRequest

from ui.services.reasons import MOVES

type Objection = Literal["never_served", "synthetic_over_real"]


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


def served(decisions: Sequence[Decision]) -> list[str]:
    """The versions that have been in production, newest first: those that a rollback may choose without force."""
    found = {decision["version"] for decision in decisions if decision["decision"] in MOVES}
    return sorted(found, key=int, reverse=True)


def data_kind(decisions: Sequence[Decision], version: str | None) -> str | None:
    """The kind of data that a version was trained on; None if the decisions do not say."""
    return next((one["data_kind"] for one in decisions if one["version"] == version), None)


def needs_force(decisions: Sequence[Decision], version: str, production: str | None) -> list[Objection]:
    """Why a rollback to the version has to be forced."""
    found: list[Objection] = [] if version in served(decisions) else ["never_served"]
    if data_kind(decisions, version) != "real" and data_kind(decisions, production) == "real":
        found.append("synthetic_over_real")
    return found


def figures(decisions: Sequence[Decision], version: str, other: str) -> dict[str, Any]:
    """A version's figures, and `rows`: the number of test rows they are on. Empty if no decision measured it.

    They are from the decision that compared it with the version `other`, or else from the newest that measured it.
    """
    for wanted in ({version, other}, {version}):
        for decision in decisions:
            pair = {"challenger": decision["version"], "incumbent": decision["previous_version"]}
            for role, number in pair.items():
                measured = decision["metrics"].get(role)
                if measured and number == version and wanted <= set(pair.values()):
                    return {**measured, "rows": (decision["metrics"].get("test") or {}).get("rows")}
    return {}


def first_decision(decisions: Sequence[Decision], version: str) -> Decision | None:
    """The oldest decision on the version: soon after its training."""
    return next((one for one in reversed(decisions) if one["version"] == version), None)


def in_production(decisions: Sequence[Decision]) -> Decision | None:
    """The newest promotion or rollback, whose version is in production. `decisions` are newest first."""
    return next((decision for decision in decisions if decision["decision"] in MOVES), None)


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


def roll_back(client: Any, function: str, request: RollbackRequest) -> dict[str, Any]:
    """The function's answer. Raises RollbackRefused, and botocore's errors."""
    response = client.invoke(FunctionName=function, Payload=json.dumps({"rollback": request}))
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise RollbackRefused(answer.get("errorType", "Error"), answer.get("errorMessage", ""))
    result: dict[str, Any] = answer
    return result
