"""How good the forecasts are as new encounters arrive: quality, drift, groups, alerts, deliveries and decisions."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import streamlit as st
from readmission.client import ApiProblem, ChallengerDescription
from readmission.domain import spreadsheet

from ui import charts
from ui.services import over_time
from ui.services.over_time import Alert, Figure, Monitored, Source, Window
from ui.texts import DASH, Texts
from ui.views import decisions, deliveries, drift, page

_WINDOWS_SHOWN: Final = 18  # the newest
_DECISIONS_SHOWN: Final = 20
_SUBJECTS_SHOWN: Final = 10  # of one kind of alert; a delivery may differ in every input
_SHARES: Final = frozenset({"top_decile_precision"})


def show() -> None:
    t = page.texts()
    page.heading(t, "over_time")
    with page.explained(t):
        monitored = _monitored()
        if monitored is None:
            st.info(t("over_time.nothing"), icon=":material/info:")
        else:
            _monitor(t, monitored)
    with page.explained(t):
        _decisions(t)


def _monitored() -> Monitored | None:
    """None before the first result of the monitor."""
    try:
        return over_time.read(page.gateway().monitor())
    except ApiProblem as problem:
        if problem.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _monitor(t: Texts, monitored: Monitored) -> None:
    page.synthetic(t, monitored.data_kind)
    made, by = t.moment(monitored.made_at), decisions.actor(t, monitored.started_by)
    st.caption(t("over_time.made_by", made=made, by=by) if by else t("over_time.made", made=made))
    kinds = monitored.kinds()
    if not kinds:
        st.info(t("over_time.no_windows"), icon=":material/info:")
    else:
        _alerts(t, monitored)
        kind = kinds[0]
        if len(kinds) > 1:
            kind = st.segmented_control(
                t("over_time.kind"),
                kinds,
                default=kind,
                required=True,
                format_func=lambda one: t(f"over_time.{one}"),
                key="over_time_kind",
            )
        windows = monitored.of(kind)
        _quality(t, windows[-_WINDOWS_SHOWN:], kind)
        _one_window(t, monitored, windows)
    _deliveries(t, monitored)


# ---------------------------------------------------------------- alerts
def _alerts(t: Texts, monitored: Monitored) -> None:
    st.header(t("over_time.alerts"), anchor=False)
    for window in monitored.now():
        _newest_alerts(t, window)
    if not any(window.alerts for window in monitored.now()):
        st.success(t("over_time.no_alerts"), icon=":material/check_circle:")
    rows = [
        {
            t("column.window"): _title(t, window),
            t("column.alert"): _named(t, alert.code),
            t("column.subject"): spreadsheet.cell(_subject(t, alert)),
            t("column.value"): _number(t, alert.value),
            t("column.limit"): _number(t, alert.limit),
        }
        for window in reversed(monitored.windows)
        for alert in window.alerts
    ]
    if rows:
        with st.expander(t("over_time.all_alerts", count=t.number(len(rows)))):
            page.table(rows, t("over_time.alerts"))


def _newest_alerts(t: Texts, window: Window) -> None:
    """A box for each kind of alert, with what to do."""
    by_code: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in window.alerts:
        by_code[alert.code].append(alert)
    for code, alerts in by_code.items():
        shown = ", ".join(_measured(t, alert) for alert in alerts[:_SUBJECTS_SHOWN])
        more = len(alerts) - _SUBJECTS_SHOWN
        subjects = t("over_time.and_more", subjects=shown, count=t.number(more)) if more > 0 else shown
        what = f"**{_named(t, code)}** · {_title(t, window)}\n\n{subjects}"
        st.warning(f"{what}\n\n{_what_to_do(t, alerts[0])}", icon=":material/warning:")


def _named(t: Texts, code: str) -> str:
    return t(f"over_time.alert.{code}") if code in over_time.ALERTS else code


def _what_to_do(t: Texts, alert: Alert) -> str:
    return t.translation_or(f"what_to_do.{alert.code}", alert.what_to_do) if t.translates else alert.what_to_do


def _subject(t: Texts, alert: Alert) -> str:
    """The name of what is beyond its limit: an input of the model, a metric, or what the monitor calls it."""
    if alert.code in ("input_drift", "missing", "new_categories"):
        return drift.input_name(t, alert.subject)
    if alert.subject in over_time.METRICS:
        return t(f"figure.{alert.subject}")
    subject, separator, columns = alert.subject.partition(": ")
    name = t(f"over_time.subject_{subject.replace(' ', '_')}") if subject in over_time.SUBJECTS else subject
    return f"{name}{separator}{columns}"


def _measured(t: Texts, alert: Alert) -> str:
    subject = _subject(t, alert)
    # Columns are counted, which says less than their names.
    if alert.value is None or not alert.limit:
        return subject
    return t("over_time.beyond", subject=subject, value=_number(t, alert.value), limit=_number(t, alert.limit))


def _number(t: Texts, value: float | None) -> str:
    if value is None:
        return DASH
    return t.number(value, 0 if float(value).is_integer() else 3)


# ---------------------------------------------------------------- quality
def _quality(t: Texts, windows: Sequence[Window], kind: str) -> None:
    st.header(t("over_time.quality"), anchor=False)
    st.markdown(t("over_time.quality_text"))
    for column, metric in zip(st.columns(len(over_time.METRICS)), over_time.METRICS, strict=True):
        with column.container(border=True):
            _headline(t, windows[-1], metric)
    metric = st.selectbox(
        t("over_time.metric"),
        over_time.METRICS,
        format_func=lambda one: t(f"figure.{one}"),
        key=f"over_time_metric_{kind}",
    )
    labels = _labels(t, windows)
    rows = [
        {
            "window": label,
            "series": t(f"over_time.{source}"),
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "text": f"{label}: {_figure(t, metric, figure)}",
        }
        for window, label in zip(windows, labels, strict=True)
        for source in over_time.SOURCES
        if (figure := window.quality[source].get(metric))
    ]
    if not rows:
        st.caption(t("over_time.no_figures"))
    else:
        order = [t(f"over_time.{source}") for source in over_time.SOURCES]
        alt = t("over_time.quality_alt", metric=t(f"figure.{metric}"), count=len(windows))
        page.chart(t, charts.estimates(rows, t(f"figure.{metric}"), order), alt)
    page.as_table(t, [_quality_row(t, window, metric) for window in reversed(windows)], t("over_time.quality"))


def _headline(t: Texts, window: Window, metric: str) -> None:
    found = window.newest_quality(metric)
    value = _value(t, metric, found[1].value) if found else DASH
    st.metric(t(f"figure.{metric}"), value, help=t(f"figure_help.{metric}"))
    if found is None:
        st.caption(t("over_time.no_figure"))
        return
    source, figure = found
    interval = _interval(t, source, metric, figure)
    st.caption(f"{t(f'over_time.from_{source}')}{f'. {interval}' if interval else ''}")


def _interval(t: Texts, source: Source, metric: str, figure: Figure) -> str:
    """The 95 % interval of a realised figure; of an estimate, where the realised one should be."""
    if figure.low is None or figure.high is None:
        return ""
    low, high = _value(t, metric, figure.low), _value(t, metric, figure.high)
    return (
        t("model.interval", low=low, high=high) if source == "realised" else t("over_time.expected", low=low, high=high)
    )


def _quality_row(t: Texts, window: Window, metric: str) -> dict[str, str]:
    return {
        t("column.window"): _title(t, window),
        t("column.version"): window.version,
        t("column.forecasts"): t.number(window.forecasts),
        t("column.labels"): t.number(window.labels),
        t("over_time.realised"): _shown(t, window, "realised", metric),
        t("over_time.estimated"): _shown(t, window, "estimated", metric),
    }


def _shown(t: Texts, window: Window, source: Source, metric: str) -> str:
    figure = window.quality[source].get(metric)
    return _figure(t, metric, figure) if figure else DASH


def _figure(t: Texts, metric: str, figure: Figure) -> str:
    value = _value(t, metric, figure.value)
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({_value(t, metric, figure.low)}{DASH}{_value(t, metric, figure.high)})"


def _value(t: Texts, metric: str, value: float) -> str:
    return t.percent(value) if metric in _SHARES else t.number(value, 3)


# ---------------------------------------------------------------- one window
def _one_window(t: Texts, monitored: Monitored, windows: Sequence[Window]) -> None:
    """What drifts in a window, and how good the forecasts are by group: of the newest, or of another one."""
    st.header(t("over_time.one_window"), anchor=False)
    newest_first = list(reversed(windows))
    chosen = st.selectbox(
        t("over_time.window"),
        range(len(newest_first)),
        format_func=lambda index: _title(t, newest_first[index]),
        key=f"over_time_window_{windows[0].kind}",
    )
    window = newest_first[chosen]
    if window.only_test_rows:
        st.caption(t("over_time.only_test_rows"))
    drift.show(t, window, monitored.psi_limit)
    drift.groups(t, window)


def _title(t: Texts, window: Window) -> str:
    """For example: delivery of 2026-11-27 06:10 UTC, north, version 3."""
    if window.kind == "delivery":
        when = t.moment(window.end)
        return t("over_time.title_delivery", when=when, site=window.site or DASH, version=window.version)
    last = window.end - timedelta(days=1)
    return t("over_time.title_days", begin=f"{window.begin:%Y-%m-%d}", end=f"{last:%Y-%m-%d}", version=window.version)


def _labels(t: Texts, windows: Sequence[Window]) -> list[str]:
    """Short names for an axis, all different."""
    several = len({window.version for window in windows}) > 1
    sites = len({window.site for window in windows}) > 1
    labels: list[str] = []
    for window in windows:
        parts = [f"{window.end:%d/%m %H:%M}" if window.kind == "delivery" else f"{window.begin:%d/%m}"]
        parts += [window.site] if sites and window.site else []
        parts += [t("over_time.version_short", version=window.version)] if several else []
        label = " · ".join(parts)
        again = sum(one.partition(" (")[0] == label for one in labels)
        labels.append(f"{label} ({again + 1})" if again else label)
    return labels


# ---------------------------------------------------------------- deliveries and decisions
def _deliveries(t: Texts, monitored: Monitored) -> None:
    if not monitored.deliveries:
        return
    st.header(t("over_time.deliveries"), anchor=False)
    rows = [
        {
            t("column.when"): t.moment(datetime.fromisoformat(one["delivered_at"])),
            t("column.delivery"): spreadsheet.cell(one["delivery_id"]),
            t("column.site"): spreadsheet.cell(one["site"]),
            t("column.status"): t(f"delivery_status.{one.get('status') or 'accepted'}"),
            t("column.rows"): t.number(one["rows"]),
            t("column.invalid"): DASH if one.get("invalid_share") is None else t.percent(one["invalid_share"], 2),
            t("column.differs"): spreadsheet.cell(deliveries.differences(t, one.get("comparison"))),
        }
        for one in monitored.deliveries
    ]
    page.table(rows, t("over_time.deliveries"))
    st.caption(t("model.deliveries_note"))


def _tried() -> ChallengerDescription | None:
    """The version that is tried on live requests; None if there is none, or no version in production."""
    try:
        return page.gateway().model().get("challenger")
    except ApiProblem as problem:
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        raise


def _decisions(t: Texts) -> None:
    known = page.gateway().history(_DECISIONS_SHOWN)
    st.header(t("over_time.decisions"), anchor=False)
    if tried := _tried():
        st.markdown(decisions.challenger(t, tried))
    if not known:
        st.caption(t("over_time.no_decisions"))
        return
    rows = [
        {
            t("column.when"): t.moment(datetime.fromisoformat(decision["decided_at"])),
            t("column.decision"): decisions.kind(t, decision),
            t("column.version"): decision["version"],
            t("column.before"): decision["previous_version"] or DASH,
            t("column.by"): spreadsheet.cell(decisions.actor(t, decision.get("decided_by")) or DASH),
            t("column.reason"): spreadsheet.cell(decisions.reason(t, decision, known)),
        }
        for decision in known
    ]
    page.table(rows, t("over_time.decisions"))
    st.caption(t("over_time.decisions_note"))
