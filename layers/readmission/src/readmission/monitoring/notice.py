"""The event `MonitorAlert`, by which EventBridge can start a training when a limit is exceeded."""

import json
from collections.abc import Mapping
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from readmission.errors import EventNotSent
from readmission.monitoring.monitor import newest

SOURCE: Final = "readmission"
DETAIL_TYPE: Final = "MonitorAlert"
CONFIG: Final = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
# What training again may help against, the most serious first.
_HELPS: Final = ("realised_quality", "estimated_quality", "input_drift", "forecast_drift", "new_categories", "missing")


def of(document: Mapping[str, Any], stack: str) -> dict[str, Any] | None:
    """The detail of the event: the most serious alert about the version in Production; None if there is none.

    Another version's alert calls for nothing, because the version that took over has learned from those rows.
    """
    found = [
        {"window": window["name"], "version": window["version"], **alert}
        for window in newest(document)
        if window["version"] == document["version"]
        for alert in window["alerts"]
        if alert["code"] in _HELPS
    ]
    if not found:
        return None
    worst = min(found, key=lambda alert: _HELPS.index(alert["code"]))
    names = ("version", "window", "code", "subject", "value", "limit")
    return {"stack": stack, "model_name": document["model_name"], **{name: worst[name] for name in names}}


def send(detail: Mapping[str, Any]) -> None:
    """Put the event on the account's default bus. Raises `EventNotSent`."""
    entry = {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}
    try:
        answer = boto3.client("events", config=CONFIG).put_events(Entries=[entry])
    except (BotoCoreError, ClientError) as error:
        raise EventNotSent(f"EventBridge did not take the event {DETAIL_TYPE}: {error}") from error
    if answer["FailedEntryCount"]:
        raise EventNotSent(
            f"EventBridge did not take the event {DETAIL_TYPE}: {answer['Entries'][0].get('ErrorCode', 'unknown')}"
        )
