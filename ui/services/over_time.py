"""The monitoring document: how good the forecasts are by window, what drifts, and what to do about it.

Numbers are None where the monitor could not tell, and parts of a document may be missing: an earlier release wrote it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

type Source = Literal["realised", "estimated"]
type Kind = Literal["delivery", "days"]

SOURCES: Final[tuple[Source, ...]] = ("realised", "estimated")
METRICS: Final = ("auc_early", "log_loss", "calibration_error_early", "top_decile_precision")
KINDS: Final[tuple[Kind, ...]] = ("delivery", "days")
ATTRIBUTES: Final = ("age", "gender", "race")
ALERTS: Final = (
    "realised_quality",
    "estimated_quality",
    "input_drift",
    "forecast_drift",
    "new_categories",
    "missing",
    "delivery_quality",
)
SUBJECTS: Final = ("forecasts", "invalid rows", "columns")
"""What alerts are about, besides inputs and metrics."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its interval: of what was realised at 95 %, of an estimate where the realised value should be."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """How an input of the model differs from the version's training rows. `psi` is its population stability index.

    `beyond` is whether the monitor alerts about it: it allows for chance, and for what the version has learned from.
    """

    name: str
    psi: float | None
    missing: float | None
    missing_before: float | None
    new: tuple[str, ...]
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """What is beyond a limit: the input, the metric or the delivery (`subject`), its value and the limit."""

    code: str
    subject: str
    value: float | None
    limit: float | None
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Group:
    """The quality of the forecasts for the patients with one `value` of an attribute: race, gender or age."""

    by: str
    value: str
    rows: int
    labels: int
    quality: Mapping[Source, Mapping[str, Figure]]


@dataclass(frozen=True, slots=True)
class Window:
    """The forecasts of a delivery, or of some days: from `begin` until `end`, which are equal for a delivery.

    `newest` is whether the window says how things are now, `only_test_rows` whether only those rows of a delivery were
    judged that no version learns from, and `why_no_drift` why there are no `inputs`, in English.
    """

    kind: str
    name: str
    site: str | None
    version: str
    begin: datetime
    end: datetime
    newest: bool
    only_test_rows: bool
    forecasts: int
    labels: int
    quality: Mapping[Source, Mapping[str, Figure]]
    inputs: tuple[Input, ...] | None
    forecast_psi: float | None
    why_no_drift: str
    groups: tuple[Group, ...]
    alerts: tuple[Alert, ...]

    def newest_quality(self, metric: str) -> tuple[Source, Figure] | None:
        """The realised figure, else the estimated one."""
        for source in SOURCES:
            if figure := self.quality[source].get(metric):
                return source, figure
        return None


@dataclass(frozen=True, slots=True)
class Monitored:
    """The newest result of the monitor. `windows` are oldest first, `deliveries` newest first."""

    made_at: datetime
    data_kind: str
    started_by: str
    limits: Mapping[str, Any]
    windows: tuple[Window, ...]
    deliveries: tuple[Mapping[str, Any], ...]

    def of(self, kind: str) -> list[Window]:
        """The windows of a kind, oldest first."""
        return [window for window in self.windows if window.kind == kind]

    def kinds(self) -> list[Kind]:
        """The kinds of window that there are."""
        return [kind for kind in KINDS if self.of(kind)]

    def now(self) -> list[Window]:
        """The windows that say how things are now."""
        return [window for window in self.windows if window.newest]

    @property
    def psi_limit(self) -> float | None:
        """The population stability index from which on an input counts as drifting, chance aside."""
        found = self.limits.get("psi")
        return None if found is None else float(found)


def read(document: Mapping[str, Any]) -> Monitored:
    """Raises KeyError or ValueError for another document."""
    windows = [_window(one) for one in document["windows"]]
    deliveries = sorted(document.get("deliveries") or [], key=lambda one: str(one["delivered_at"]), reverse=True)
    return Monitored(
        made_at=datetime.fromisoformat(document["made_at"]),
        data_kind=document["data_kind"],
        started_by=document.get("started_by") or "",
        limits=document.get("limits") or {},
        windows=tuple(sorted(windows, key=lambda one: (one.end.isoformat(), one.name, one.version))),
        deliveries=tuple(deliveries),
    )


def worst(inputs: Sequence[Input], count: int) -> list[Input]:
    """The inputs that differ most, the worst first; an input without an index comes last."""
    return sorted(inputs, key=lambda one: (one.psi is None, -(one.psi or 0.0), one.name))[:count]


def _window(one: Mapping[str, Any]) -> Window:
    drift = one.get("drift")
    alerts = tuple(_alert(each) for each in one.get("alerts") or [])
    beyond = {alert.subject for alert in alerts if alert.code == "input_drift"}
    return Window(
        kind=one["kind"],
        name=str(one["name"]),
        site=one.get("site"),
        version=str(one["version"]),
        begin=datetime.fromisoformat(one["from"]),
        end=datetime.fromisoformat(one["to"]),
        newest=bool(one.get("newest")),
        only_test_rows=bool(one.get("only_test_rows")),
        forecasts=one["forecasts"],
        labels=one["labels"],
        quality=_quality(one),
        inputs=tuple(_input(each, beyond) for each in drift.get("inputs") or []) if drift else None,
        forecast_psi=(drift.get("forecasts") or {}).get("psi") if drift else None,
        why_no_drift=one.get("why_no_drift") or "",
        groups=tuple(_group(each) for each in one.get("groups") or []),
        alerts=alerts,
    )


def _quality(one: Mapping[str, Any]) -> dict[Source, dict[str, Figure]]:
    return {source: _figures(one.get(source) or {}) for source in SOURCES}


def _figures(found: Mapping[str, Any]) -> dict[str, Figure]:
    known = {name: found[name] for name in METRICS if found.get(name)}
    return {
        name: Figure(one["value"], one.get("low"), one.get("high"))
        for name, one in known.items()
        if one.get("value") is not None
    }


def _input(one: Mapping[str, Any], beyond: Collection[str]) -> Input:
    return Input(
        name=one["name"],
        psi=one.get("psi"),
        missing=one.get("missing_share"),
        missing_before=one.get("reference_missing_share"),
        new=tuple(str(value) for value in one.get("new_categories") or ()),
        beyond=one["name"] in beyond,
    )


def _group(one: Mapping[str, Any]) -> Group:
    return Group(one["by"], str(one["value"]), one["rows"], one["labels"], _quality(one))


def _alert(one: Mapping[str, Any]) -> Alert:
    return Alert(one["code"], str(one["subject"]), one.get("value"), one.get("limit"), one.get("what_to_do") or "")
