"""Decisions on what serves: figures of the versions out of the ledger, the plots of a training, and going back."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from readmission.client import Decision, Figure
from readmission.telemetry.metrics import SCORES

PLOTS: Final = ("roc", "precision_recall", "reliability", "feature_effect")
_DEPTH: Final = 2  # folders above a run's: MLflow's root and the experiment


class RollbackRefused(Exception):
    """The function said no; `error` is the error's name and `message` what it says."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(f"{error}: {message}")
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Difference:
    """The newer version less the older, on the same test rows, with its 95 % interval."""

    value: float
    low: float
    high: float


def trainings(decisions: Sequence[Decision]) -> dict[str, str]:
    """By version, newest first, the training run that it is from."""
    found: dict[str, str] = {}
    for decision in decisions:
        found.setdefault(decision["version"], decision["mlflow_run_id"])
    return dict(sorted(found.items(), key=lambda one: -int(one[0])))


def serving(decisions: Sequence[Decision]) -> str | None:
    """The version that the newest promotion or rollback put into Production."""
    return next((one["version"] for one in decisions if one["decision"] != "refused"), None)


def differences(decisions: Sequence[Decision], version: str, other: str) -> dict[str, Difference]:
    """What a promotion measured between the two, as `version` less `other`; empty when they never met."""
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
    """What serves now. Raises RollbackRefused with what the function says, and what botocore raises."""
    event = {"rollback": {"version": version, "reason": reason or None}}
    response = client.invoke(FunctionName=function, Payload=json.dumps(event))
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise RollbackRefused(answer.get("errorType", "Error"), answer.get("errorMessage", ""))
    result: dict[str, Any] = answer
    return result


def run_folder(client: Any, bucket: str, run_id: str) -> str | None:
    """Where the bucket holds the artifacts of a training run; None when it holds none."""
    for parent in _folders(client, bucket, "", _DEPTH):
        prefix = f"{parent}{run_id}/artifacts/"
        if client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("Contents"):
            return prefix
    return None


def plots(client: Any, bucket: str, folder: str) -> dict[str, bytes]:
    """The PNG files of a training run, by name."""
    there = client.list_objects_v2(Bucket=bucket, Prefix=f"{folder}plots/").get("Contents", [])
    keys = {one["Key"].rpartition("/")[2].removesuffix(".png"): one["Key"] for one in there}
    return {name: client.get_object(Bucket=bucket, Key=keys[name])["Body"].read() for name in PLOTS if name in keys}


def evaluation(client: Any, bucket: str, folder: str) -> dict[str, Figure]:
    """What the run's model scored on its own test rows."""
    test = json.loads(client.get_object(Bucket=bucket, Key=f"{folder}evaluation.json")["Body"].read())["test"]
    found: dict[str, Figure] = {}
    for name in SCORES:
        if (value := test["metrics"].get(name)) is not None:
            low, high = test["intervals"].get(name) or (None, None)
            found[name] = Figure(value=value, low=low, high=high)
    return found


def _folders(client: Any, bucket: str, parent: str, depth: int) -> Iterator[str]:
    """The folder and those below it, the nearest first."""
    yield parent
    if depth:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=parent, Delimiter="/")
        for page in pages:
            for one in page.get("CommonPrefixes", []):
                yield from _folders(client, bucket, one["Prefix"], depth - 1)
