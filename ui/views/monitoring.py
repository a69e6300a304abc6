"""Health and usage of the deployed application: traffic, latency, errors, forecasts, and data quality."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import streamlit as st
from readmission.telemetry import metrics

from ui import charts, palette
from ui.services import aws, configuration, measurements
from ui.services.measurements import Measurements, Point, Window
from ui.texts import DASH, Texts
from ui.views import page

# Time range and step; CloudWatch's shortest period is a minute.
_SPANS: Final = {
    "hour": (timedelta(hours=1), timedelta(minutes=1)),
    "six_hours": (timedelta(hours=6), timedelta(minutes=5)),
    "day": (timedelta(days=1), timedelta(minutes=30)),
    "week": (timedelta(days=7), timedelta(hours=3)),
}


def show() -> None:
    t = page.texts()
    page.heading(t, "monitoring")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        span = st.segmented_control(
            t("monitoring.span"),
            list(_SPANS),
            default="hour",
            required=True,
            format_func=lambda one: t(f"monitoring.{one}"),
            key="monitoring_span",
            persist_state="session",
        )
        st.button(t("monitoring.again"), icon=":material/refresh:")
    window = Window.last(*_SPANS[span], datetime.now(UTC))
    with page.explained(t):
        source, name = _source()
        with st.spinner(t("monitoring.asking", source=name)):
            found = measurements.measure(source, window)
        st.caption(t("monitoring.source", source=name, step=t.seconds(window.step.total_seconds())))
        if found.empty:
            st.info(t("monitoring.nothing"))
        else:
            _figures(t, found)
            _charts(t, found, window)


def _source() -> tuple[measurements.Source, str]:
    """Prometheus if its URL is set, otherwise CloudWatch, which every deployment has."""
    url = configuration.load().prometheus_url
    if url:
        return measurements.Prometheus(url), "Prometheus"
    return measurements.CloudWatch(aws.client("cloudwatch")), "CloudWatch"


def _figures(t: Texts, found: Measurements) -> None:
    requests = measurements.total(found.requests)
    failed = measurements.total(point for point in found.requests if point.label >= "500")
    refused = measurements.total(point for point in found.requests if "400" <= point.label < "500")
    rows = measurements.total(point for point in found.rows if point.label == metrics.ROWS_CLEANED)
    quarantined = measurements.total(point for point in found.rows if point.label == metrics.ROWS_QUARANTINED)
    single, _ = measurements.FORECAST_ROUTES
    median = [point.value for point in found.latency[single] if point.label == "p50"]
    columns = st.columns(5)
    columns[0].metric(t("monitoring.requests"), t.number(requests), border=True)
    columns[1].metric(t("monitoring.errors"), _share(t, failed, requests), border=True)
    columns[2].metric(t("monitoring.refused"), _share(t, refused, requests), border=True)
    latest = _latency(t, median[-1]) if median else DASH
    columns[3].metric(t("monitoring.median"), latest, border=True, help=t("monitoring.help.median"))
    share = _share(t, quarantined, rows + quarantined)
    columns[4].metric(t("monitoring.quarantine"), share, border=True, help=t("monitoring.help.quarantine"))


def _latency(t: Texts, seconds: float) -> str:
    """Short enough for a fifth of the page."""
    milliseconds = round(1000 * seconds, 1)
    if milliseconds >= 1000:
        return t.seconds(seconds)
    return f"{t.number(milliseconds, 1 if milliseconds < 100 else 0)} ms"


def _of_route(t: Texts, label: str) -> str:
    route, _, measure = label.partition(" ")
    return f"{route}, {t(f'measured.{measure}')}"


def _share(t: Texts, some: float, of: float) -> str:
    return t.percent(some / of, 2) if of else DASH


def _charts(t: Texts, found: Measurements, window: Window) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        _chart(t, "traffic", found.requests, window, lambda label: f"HTTP {label}")
        _chart(t, "by_class", found.predictions, window, lambda label: t(f"class.{label}"))
        _chart(t, "rows", found.rows, window, lambda label: t(f"measured.{label}"))
    with right:
        milliseconds = [
            Point(point.time, f"{route} {point.label}", 1000 * point.value)
            for route, points in found.latency.items()
            for point in points
        ]
        _chart(t, "latency", milliseconds, window, lambda label: _of_route(t, label), stacked=False)
        _chart(t, "by_version", found.versions, window, lambda label: t("model.version", version=label))
        _chart(t, "validation", found.validation_errors, window, str)


def _chart(
    t: Texts, name: str, points: Sequence[Point], window: Window, label: Callable[[str], str], stacked: bool = True
) -> None:
    st.header(t(f"monitoring.{name}"), anchor=False)
    if not points:
        st.caption(t("monitoring.no_points"))
        return
    labels = sorted({point.label for point in points}, reverse=name == "by_class")
    digits = 0 if stacked else 1
    rows: list[dict[str, Any]] = [
        {
            "time": point.time.timestamp() * 1000,
            "label": label(point.label),
            "value": point.value,
            "color": palette.CLASSES.get(point.label),
            "text": f"{point.time:%H:%M}: {t.number(point.value, digits)}",
        }
        for point in sorted(points, key=lambda point: (labels.index(point.label), point.time))
    ]
    unit = t(f"monitoring.unit_{name}")
    chart = charts.over_time(rows, unit, start=window.start, end=window.end, step=window.step, stacked=stacked)
    page.chart(t, chart, f"{t(f'monitoring.{name}')}. {_summary(t, points, label, stacked)}")
    table = [
        {t("column.when"): t.moment(point.time), t("column.series"): label(point.label), unit: point.value}
        for point in points
    ]
    page.as_table(t, table, t(f"monitoring.{name}"), {unit: lambda value: t.number(value, digits)})


def _summary(t: Texts, points: Sequence[Point], label: Callable[[str], str], stacked: bool) -> str:
    """The chart as text: totals of stacked counts, otherwise the latest values."""
    shown: dict[str, float] = {}
    for point in points:
        shown[point.label] = point.value + (shown.get(point.label, 0.0) if stacked else 0.0)
    return "; ".join(f"{label(name)}: {t.number(value, 0 if stacked else 1)}" for name, value in shown.items())
