"""`make monitor`: runs the monitor, and shows what it found."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local import aws
from infra.local.commands.functions import invoke
from infra.local.commands.history import user
from infra.local.errors import LocalError
from infra.local.settings import Settings
from infra.local.stack import NAME, Stack
from infra.local.terminal import table

FUNCTION = f"{NAME}-monitor"
NOTE = (
    "AUC is that of early readmission: realised by labels, and estimated from the forecasts alone, with the interval\n"
    "in which the realised one should be. PSI is the largest of all inputs. A version judges deliveries that it has\n"
    "not learned from; with *, only their test rows."
)


def monitor(settings: Settings, stack: Stack) -> str:
    """Runs the monitor; returns its windows as a table, and its alerts. Raises LocalError as `invoke` does."""
    result = invoke(settings, FUNCTION, {"started_by": user("runs the monitor")})
    return shown(_document(settings, stack.data_bucket, result["key"]))


def shown(document: Mapping[str, Any]) -> str:
    """The document for people."""
    if not document["windows"]:
        if document["version"] is None:
            return "No version is in production, so there is nothing to judge by. To train one: make pipeline"
        return "Nothing has been delivered or forecast that could be looked at. To deliver data: make pipeline"
    head = ("WINDOW", "SITE", "VERSION", "FORECASTS", "LABELS", "AUC", "ESTIMATED", "PSI", "ALERTS")
    lines = [table([head, *map(_row, document["windows"])]), "", NOTE]
    for window in document["windows"]:
        lines += _alerts(window)
    return "\n".join(lines)


def _row(window: Mapping[str, Any]) -> tuple[str, ...]:
    drift = window["drift"]
    largest = max((one["psi"] for one in drift["inputs"]), default=None) if drift else None
    return (
        window["name"],
        window["site"] or "-",
        f"{window['version']}{'*' if window['only_test_rows'] else ''}",
        f"{window['forecasts']:,}",
        f"{window['labels']:,}",
        _figure(window["realised"], interval=False),
        _figure(window["estimated"], interval=True),
        "-" if largest is None else f"{largest:.3f}",
        str(len(window["alerts"]) or "-"),
    )


def _figure(figures: Mapping[str, Any] | None, *, interval: bool) -> str:
    found = (figures or {}).get("auc_early") or {}
    if found.get("value") is None:
        return "-"
    limits = f" ({found['low']:.3f} to {found['high']:.3f})" if interval and found["low"] is not None else ""
    return f"{found['value']:.3f}{limits}"


def _alerts(window: Mapping[str, Any]) -> Iterator[str]:
    for alert in window["alerts"]:
        what = f"{alert['code']} of {alert['subject']}: {alert['value']:.4g}, limit {alert['limit']:.4g}"
        yield f"\n{window['name']}, version {window['version']}: {what}\n  {alert['what_to_do']}"


def _document(settings: Settings, bucket: str, key: str) -> dict[str, Any]:
    try:
        content = aws.client(settings, "s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"The monitor's document s3://{bucket}/{key} cannot be read: {error}") from error
    document: dict[str, Any] = json.loads(content)
    return document
