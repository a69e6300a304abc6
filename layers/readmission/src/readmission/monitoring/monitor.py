"""The monitor: how good the forecasts are on what has arrived since, and how far it is from what the model learned.

A delivery is judged by the version that served when it arrived, which has not learned from it: so the figures are those
of forecasts, also after another version has learned from these rows and taken over. If there was no such version, or it
is gone, the version in Production judges the delivery's test rows, which no version learns from. Logged forecasts are
judged as they were answered, in windows of days, for each version.

The result is one document (`FORMAT`), in S3 and among the artifacts of the version in Production. It names no patient.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING, Any, Final, cast

from pg8000.native import Connection

from readmission.domain.payloads import DataKind, MonitorEvent, MonitorResult
from readmission.evaluation import quality
from readmission.evaluation.reference import Drift
from readmission.monitoring import alerts, rows
from readmission.monitoring.alerts import Alert
from readmission.monitoring.rows import Days, Rows
from readmission.monitoring.versions import Judge, Judges
from readmission.monitoring.windows import Window
from readmission.pipeline import data_report, deliveries
from readmission.pipeline.deliveries import Delivery
from readmission.promotion import ledger
from readmission.registry import names
from readmission.registry.rest import RestClient
from readmission.settings import MonitorSettings
from readmission.storage import monitor_document
from readmission.telemetry import metrics

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FORMAT: Final = "readmission-monitor"
FORMAT_VERSION: Final = 1
WINDOWS: Final = 12
"""Of each kind, the newest so many are looked at."""
_TIMEOUT_SECONDS: Final = 30


def monitor(event: MonitorEvent, clean: Connection, s3: "S3Client", settings: MonitorSettings) -> dict[str, Any]:
    """Make the document, and write it to S3 and MLflow.

    Raises `DatabaseUnavailable`, `TrackingUnavailable`, `StorageUnavailable`, and `ScorerInvalid` if the version in
    Production cannot be used.
    """
    mlflow = RestClient(settings.model, _TIMEOUT_SECONDS)
    judges = Judges(mlflow)
    production = judges.production()
    # Without a version in Production there is nothing to judge by, but deliveries to list.
    kind = cast(DataKind, production.data_kind) if production else deliveries.kind_to_clean(clean)
    told = _told(clean, kind)
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "model_name": settings.model.name,
        "data_kind": kind,
        "version": production.number if production else None,
        "started_by": event.get("started_by") or event.get("execution") or "",
        "limits": {name: getattr(settings.limits, name) for name in settings.limits.__slots__},
        "windows": list(_Watch(clean, settings, judges, production, told).windows(kind)) if production else [],
        "deliveries": told,
    }
    content = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    if production:
        mlflow.write_artifact(mlflow.run(production.run_id), names.MONITOR, content)
    monitor_document.write(s3, settings.data_bucket, settings.model.name, str(document["made_at"]), content)
    return document


def result_of(document: Mapping[str, Any]) -> MonitorResult:
    """What a caller of the function gets: the numbers of windows, and of alerts in the newest of them."""
    return MonitorResult(
        made_at=document["made_at"],
        version=document["version"],
        windows=len(document["windows"]),
        alerts=sum(len(window["alerts"]) for window in newest(document)),
        key=monitor_document.key_of(document["model_name"], document["made_at"]),
    )


def newest(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The windows that say how things are now: the newest delivery of each site, and the newest days in Production."""
    return [window for window in document["windows"] if window["newest"]]


def measures(document: Mapping[str, Any]) -> Iterator[tuple[str, float, dict[str, str]]]:
    """The gauges of the document: name, value and dimensions.

    A figure is that of the newest days or, if they have none, of the newest delivery; drift is the largest.
    """
    latest_first = sorted(newest(document), key=lambda window: str(window["to"]), reverse=True)
    windows = sorted(latest_first, key=lambda window: window["kind"] != "days")
    for basis, metric in product(("realised", "estimated"), quality.METRICS):
        figures = (window[basis][metric]["value"] for window in windows if window[basis])
        if (value := next((figure for figure in figures if figure is not None), None)) is not None:
            yield metrics.MONITORED_QUALITY, value, {"basis": basis, "metric": metric}
    drifts = [window["drift"] for window in windows if window["drift"]]
    if drifts:
        largest = max(one["psi"] for drift in drifts for one in drift["inputs"])
        yield metrics.MONITORED_DRIFT, largest, {"of": "inputs"}
        yield metrics.MONITORED_DRIFT, max(drift["forecasts"]["psi"] for drift in drifts), {"of": "forecasts"}


def _told(clean: Connection, kind: DataKind) -> list[dict[str, Any]]:
    """The newest deliveries of that kind, oldest first, with the share of invalid rows and the check's comparison."""
    found = []
    for line in reversed(deliveries.read(clean, 4 * WINDOWS)):
        if line["data_kind"] != kind or line["status"] not in ("accepted", "refused"):
            continue
        delivery_id = line["delivery_id"]
        ids = {batch.batch_id for batch in deliveries.batches_of(clean, [delivery_id])[delivery_id]}
        total = data_report.total_of(clean, ids)
        found.append(
            {
                **{name: line[name] for name in ("delivery_id", "site", "delivered_at", "taken_on", "status", "rows")},
                "invalid_share": round(data_report.share(total["quarantined"], total["rows"]), 6),
                "comparison": line["comparison"],
            }
        )
    return found


class _Read:
    """The deliveries that have been read, and how far each is from the reference of a version that learned from it.

    A version that judges many deliveries is compared once with each that it learned from.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = {}
        self._drifts: dict[tuple[str, str], Sequence[Drift]] = {}

    def learned_by(self, judge: Judge) -> Iterator[Sequence[Drift]]:
        """The drift of each delivery that the version has learned from; none without a reference."""
        for delivery_id, stays in self.rows.items():
            if judge.reference is None or delivery_id not in (judge.learned or ()):
                continue
            key = (judge.number, delivery_id)
            if key not in self._drifts:
                self._drifts[key] = judge.reference.inputs(stays.columns)
            yield self._drifts[key]


@dataclass(frozen=True, slots=True)
class _Watch:
    """One run of the monitor, with a version in Production."""

    clean: Connection
    settings: MonitorSettings
    judges: Judges
    production: Judge
    told: Sequence[Mapping[str, Any]]

    def windows(self, kind: DataKind) -> Iterator[dict[str, Any]]:
        """The windows as JSON: first the deliveries, then the days, each oldest first."""
        yield from self._of_deliveries(kind)
        yield from self._of_days()

    def _of_deliveries(self, kind: DataKind) -> Iterator[dict[str, Any]]:
        accepted = deliveries.newest_accepted(self.clean, kind, WINDOWS)
        read = _Read()
        last_of_site = {one.site: one.delivery_id for one in accepted}
        for one in accepted:
            judge = self._judge_of(one)
            unseen = judge.may_have_learned(one.delivery_id)
            arrived = rows.of_delivery(self.clean, one, self.settings.rows, unseen=unseen)
            if not len(arrived):  # all of its encounters had been delivered before
                continue
            read.rows[one.delivery_id] = arrived
            window = Window.judged(arrived, judge)
            closest = window.closest(list(read.learned_by(judge)))
            found = [*window.alerts(closest, self.settings.limits), *self._of_checks(one)]
            yield {
                "kind": "delivery",
                "name": one.delivery_id,
                "site": one.site,
                "from": one.delivered_at,
                "to": one.delivered_at,
                "newest": last_of_site[one.site] == one.delivery_id,
                "only_test_rows": unseen,
                **window.as_json(closest),
                "alerts": [alert.as_json() for alert in found],
            }

    def _judge_of(self, delivery: Delivery) -> Judge:
        """The version that served when the delivery arrived, if it can still be asked and has not learned from it."""
        served = ledger.serving_at(self.clean, self.settings.model.name, delivery.delivered_at)
        judge = self.judges.find(*served) if served else None
        if judge is None or judge.may_have_learned(delivery.delivery_id) or judge.data_kind != delivery.data_kind:
            return self.production
        return judge

    def _of_checks(self, delivery: Delivery) -> Iterator[Alert]:
        """How the delivery's quality compares with that of the accepted ones of the site before it."""
        same = [one for one in self.told if one["site"] == delivery.site and one["status"] == "accepted"]
        ids = [one["delivery_id"] for one in same]
        if delivery.delivery_id not in ids:
            return
        own, earlier = same[ids.index(delivery.delivery_id)], same[: ids.index(delivery.delivery_id)]
        before = sum(one["rows"] for one in earlier)
        invalid = sum(one["rows"] * one["invalid_share"] for one in earlier)
        notable = (own["comparison"] or {}).get("notable", [])
        share = invalid / before if before else None
        yield from alerts.of_delivery(own["invalid_share"], own["rows"], share, notable, self.settings.limits)

    def _of_days(self) -> Iterator[dict[str, Any]]:
        model, settings = self.settings.model.name, self.settings
        found = rows.windows_of_days(self.clean, model, settings.window_days, WINDOWS)
        last = next((one for one in found if one.version == self.production.number), None)
        for one in reversed(found):
            judge = self.judges.find(one.version)
            if judge is None:
                continue  # somebody deleted the version, and nobody can be forecast by it any more
            logged = rows.of_days(self.clean, model, one, settings.rows, settings.label_due_days)
            window = Window.judged(logged, judge)
            yield {
                "kind": "days",
                "name": _name(one),
                "site": None,
                "from": str(one.first),
                "to": str(one.end),
                "newest": one is last,
                "only_test_rows": False,
                **window.as_json({}),
                "alerts": [alert.as_json() for alert in window.alerts({}, settings.limits)],
            }


def _name(window: Days) -> str:
    return str(window.first) if window.days == 1 else f"{window.first} to {window.end - 1}"
