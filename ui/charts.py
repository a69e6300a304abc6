"""The charts; every one also has a text alternative."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

import altair as alt

from ui.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

_SERIES: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY)
_LABEL: Final[dict[str, Any]] = {"fontSize": 13, "color": "#1D2A35"}
_BAR: Final[dict[str, Any]] = {"cornerRadiusEnd": 3, "height": {"band": 0.68}}
_SHORT_LABEL: Final = 16  # characters
# Pixels; Streamlit's legends have this much room between their rows.
_PLOT_HEIGHT: Final = 220
_LEGEND_ROW_HEIGHT: Final = 30
_ZERO: Final = alt.Axis(values=[0], labels=False, ticks=False, domain=False, grid=True, gridColor=GREY)
# Vega writes numbers as in US English by default.
_NUMBERS: Final[Mapping[str, dict[str, Any]]] = {
    "es": {
        "decimal": ",",
        "thousands": "\N{NARROW NO-BREAK SPACE}",
        "grouping": [3],
        "currency": ["", "\N{NO-BREAK SPACE}€"],
        "percent": "\N{NO-BREAK SPACE}%",
    },
}

type Chart = alt.Chart | alt.LayerChart
type Lines = Mapping[str, Mapping[str, Sequence[float]]]
"""The coordinates `x` and `y` of the points of each line, by label."""


def localized(chart: Chart, language: str) -> Chart:
    """The chart with numbers on its axes as the language writes them."""
    numbers = _NUMBERS.get(language)
    if numbers is None:
        return chart
    configured: Chart = chart.configure(locale=alt.Locale(number=alt.NumberLocale(**numbers)))
    return configured


def _names(width: int) -> alt.Axis:
    """An axis of names next to their bars; `|` breaks the line."""
    return alt.Axis(
        labelExpr="split(datum.label, '|')",
        labelLimit=width,
        labelFontSize=12.5,
        labelLineHeight=16,
        labelColor="#1D2A35",
        ticks=False,
        domain=False,
        labelPadding=8,
    )


def bars(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Bars of shares: each row has a `name`, a `share` from 0 to 1, its `text` and a `color`."""
    reach = 1.3 * max(row["share"] for row in rows)
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(190)),
        x=alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, reach])),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR).encode(color=alt.Color("color:N", scale=None))
    text = base.mark_text(align="left", dx=6, fontWeight=600, **_LABEL).encode(text="text:N")
    chart: alt.LayerChart = (bar + text).properties(height=34 * len(rows))
    return chart


def contributions(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """Contributions, positive to the right: rows of `name` (two lines), `value`, `text` and `color`."""
    reach = 1.7 * max((abs(row["value"]) for row in rows), default=1.0) or 1.0
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(200)),
        x=alt.X("value:Q", title=None, axis=_ZERO, scale=alt.Scale(domain=[-reach, reach])),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR).encode(color=alt.Color("color:N", scale=None))
    right = base.transform_filter("datum.value >= 0").mark_text(align="left", dx=5, **_LABEL).encode(text="text:N")
    left = base.transform_filter("datum.value < 0").mark_text(align="right", dx=-5, **_LABEL).encode(text="text:N")
    chart: alt.LayerChart = (bar + right + left).properties(height=44 * len(rows))
    return chart


def histogram(counts: Sequence[Mapping[str, Any]], x: str, y: str) -> alt.Chart:
    """Patients by risk: rows of `low`, `high` (shares), `count` and `text`."""
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=list(counts)))
        .transform_calculate(none="0")
        .mark_rect(color=BLUE, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", title=x, axis=alt.Axis(format="%", grid=False, tickCount=8)),
            x2="high:Q",
            y=alt.Y("count:Q", title=y, axis=alt.Axis(tickCount=4, format=",~f")),
            y2="none:Q",
            tooltip=[alt.Tooltip("text:N", title=" ")],
        )
        .properties(height=220)
    )
    return chart


def over_time(
    rows: Sequence[Mapping[str, Any]], y: str, *, start: datetime, end: datetime, step: timedelta, stacked: bool
) -> Chart:
    """Series over time, distinguished by colour and by shape or position: rows of `time`, `label`, `value`, `text`.

    `time` is in milliseconds. Stacked values count events in the `step` that starts at `time`. A row may have a
    `color`.
    """
    labels = list(dict.fromkeys(row["label"] for row in rows))
    # Two long labels do not fit next to each other on a phone.
    columns = 2 if max(map(len, labels)) <= _SHORT_LABEL else 1
    # Streamlit draws the legend within the height of the chart.
    height = _PLOT_HEIGHT + _LEGEND_ROW_HEIGHT * ceil(len(labels) / columns)
    color = alt.Color(
        "label:N",
        title=None,
        sort=labels,
        scale=alt.Scale(domain=labels, range=_colors(rows)),
        legend=alt.Legend(
            orient="top",
            columns=columns,
            labelFontSize=13,
            labelLimit=280,
            symbolType="square" if stacked else "circle",
        ),
    )
    span = alt.Scale(domain=[_utc(start), _utc(end)], type="utc")
    # Labels need the day once the range can cross midnight twice.
    form = "%H:%M" if end - start <= timedelta(hours=12) else "%d/%m %H:%M"
    axis = alt.Axis(format=form, tickCount=5, grid=False, labelFlush=True)
    numbers = alt.Axis(tickCount=4, format=",~f" if stacked else "~r")
    values = _stacked(rows, 1000 * step.total_seconds()) if stacked else list(rows)
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("time:T", title=None, scale=span, axis=axis),
        color=color,
        tooltip=[alt.Tooltip("label:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    if stacked:
        rectangles = base.mark_rect(stroke="white", strokeWidth=0.5)
        counts = rectangles.encode(x2="end:T", y=alt.Y("low:Q", title=y, axis=numbers), y2="high:Q")
        chart: Chart = counts.properties(height=height)
        return chart
    line = base.encode(y=alt.Y("value:Q", title=y, axis=numbers))
    points = line.mark_point(size=30, filled=True).encode(shape=alt.Shape("label:N", sort=labels, legend=None))
    lines: Chart = (line.mark_line(strokeWidth=2) + points).properties(height=height)
    return lines


def differences(rows: Sequence[Mapping[str, Any]], x: str) -> alt.LayerChart:
    """Differences with their intervals, oldest first: rows of `name`, `value`, `low`, `high` and `text`."""
    reach = 1.1 * max(abs(row[end]) for row in rows for end in ("low", "high")) or 1.0
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(190)),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    # The same for all layers: Vega joins different titles.
    same: dict[str, Any] = {
        "title": x,
        "scale": alt.Scale(domain=[-reach, reach]),
        "axis": alt.Axis(tickCount=5, format="+~r", grid=False),
    }
    interval = base.mark_rule(color=BLUE, strokeWidth=2).encode(x=alt.X("low:Q", **same), x2="high:Q")
    point = base.mark_point(color=BLUE, filled=True, size=70).encode(x=alt.X("value:Q", **same))
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=GREY).encode(x=alt.X("zero:Q", **same))
    chart: alt.LayerChart = (zero + interval + point).properties(height=34 * len(rows) + 40)
    return chart


def estimates(rows: Sequence[Mapping[str, Any]], y: str, order: Sequence[str]) -> alt.LayerChart:
    """Values with intervals side by side, by window: rows of `window`, `series`, `value`, `low`, `high`, `text`.

    `low` and `high` may be None. `order` has the series; each has a colour and a shape of its own.
    """
    windows = list(dict.fromkeys(row["window"] for row in rows))
    base = _series_of(rows, order).encode(
        x=alt.X("window:N", sort=windows, title=None, axis=alt.Axis(labelAngle=-40, labelLimit=110, grid=False)),
        xOffset=alt.XOffset("series:N", sort=list(order)),
    )
    # The same for all layers: Vega joins different titles.
    same: dict[str, Any] = {"title": y, "scale": alt.Scale(zero=False, padding=8)}
    interval = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", **same), y2="high:Q")
    point = base.mark_point(filled=True, size=80).encode(
        y=alt.Y("value:Q", **same), shape=alt.Shape("series:N", sort=list(order), legend=None)
    )
    chart: alt.LayerChart = (interval + point).properties(height=280)
    return chart


def groups(rows: Sequence[Mapping[str, Any]], x: str, order: Sequence[str]) -> alt.LayerChart:
    """The same by group, one below the other: rows of `name` in place of `window`."""
    base = _series_of(rows, order).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(190)),
        yOffset=alt.YOffset("series:N", sort=list(order)),
    )
    same: dict[str, Any] = {"title": x, "scale": alt.Scale(zero=False, padding=8), "axis": alt.Axis(tickCount=5)}
    interval = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", **same), x2="high:Q")
    point = base.mark_point(filled=True, size=70).encode(
        x=alt.X("value:Q", **same), shape=alt.Shape("series:N", sort=list(order), legend=None)
    )
    names = {row["name"] for row in rows}
    chart: alt.LayerChart = (interval + point).properties(height=40 * len(names) + 40)
    return chart


def _series_of(rows: Sequence[Mapping[str, Any]], order: Sequence[str]) -> alt.Chart:
    shown = [name for name in order if any(row["series"] == name for row in rows)]
    palette = dict(zip(order, _SERIES, strict=False))
    color = alt.Color(
        "series:N",
        title=None,
        sort=shown,
        scale=alt.Scale(domain=shown, range=[palette[name] for name in shown]),
        legend=alt.Legend(orient="top", columns=2, labelFontSize=13, symbolType="circle"),
    )
    chart: alt.Chart = alt.Chart(alt.InlineData(values=list(rows))).encode(
        color=color, tooltip=[alt.Tooltip("series:N", title=" "), alt.Tooltip("text:N", title=" ")]
    )
    return chart


def against_limit(rows: Sequence[Mapping[str, Any]], x: str, limit: float | None) -> alt.LayerChart:
    """Bars with a line at the limit: rows of `name`, `value`, `text` and `color`."""
    reach = 1.3 * max(*(row["value"] for row in rows), limit or 0.0) or 1.0
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(200)),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    same: dict[str, Any] = {
        "title": x,
        "scale": alt.Scale(domain=[0, reach]),
        "axis": alt.Axis(tickCount=4, format="~r", grid=False),
    }
    bar = base.mark_bar(**_BAR).encode(x=alt.X("value:Q", **same), color=alt.Color("color:N", scale=None))
    text = base.mark_text(align="left", dx=6, **_LABEL).encode(x=alt.X("value:Q", **same), text="text:N")
    chart: alt.LayerChart = bar + text
    if limit is not None:
        line = alt.Chart(alt.InlineData(values=[{"limit": limit}]))
        chart += line.mark_rule(strokeDash=[4, 3], color="#1D2A35").encode(x=alt.X("limit:Q", **same))
    sized: alt.LayerChart = chart.properties(height=34 * len(rows) + 40)
    return sized


def curves(lines: Lines, dotted: Lines, x: str, y: str) -> alt.Chart:
    """Curves of shares over shares by label: solid ones, and dotted ones to compare them with."""
    labels = [*lines, *dotted]
    rows = [
        {"label": label, "x": across, "y": up, "order": order}
        for label, line in {**lines, **dotted}.items()
        for order, (across, up) in enumerate(zip(line["x"], line["y"], strict=True))
    ]
    # A dotted line has the colour of the solid one that it belongs to, or grey.
    paired = [BLUE, VERMILION] if len(dotted) > 1 else [GREY]
    color = alt.Scale(domain=labels, range=[BLUE, VERMILION, *paired])
    dash = alt.Scale(domain=labels, range=[*([[1, 0]] * len(lines)), *([[2, 4]] * len(dotted))])
    legend = alt.Legend(orient="top", columns=1, labelFontSize=13, labelLimit=420, symbolType="stroke")
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("x:Q", title=x, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)),
        y=alt.Y("y:Q", title=y, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)),
        color=alt.Color("label:N", title=None, sort=labels, scale=color, legend=legend),
        strokeDash=alt.StrokeDash("label:N", title=None, sort=labels, scale=dash, legend=legend),
        order="order:Q",
    )
    chart: alt.Chart = base.mark_line(strokeWidth=2).properties(height=420)
    return chart


def reliability(bins: Mapping[str, Sequence[Mapping[str, float]]], perfect: str, x: str, y: str) -> alt.LayerChart:
    """Observed shares over mean probabilities by label, with intervals, and the line where both are equal."""
    rows = [{"label": label, **one} for label, found in bins.items() for one in found]
    top = min(1.0, 1.1 * max(max(one["probability"], one["high"]) for found in bins.values() for one in found))
    color = alt.Color(
        "label:N",
        title=None,
        scale=alt.Scale(domain=[*bins, perfect], range=[BLUE, VERMILION, GREY]),
        legend=alt.Legend(orient="top", columns=1, labelFontSize=13, labelLimit=420),
    )
    span = alt.Scale(domain=[0, top])
    axis = alt.Axis(format="%", tickCount=5)
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("probability:Q", title=x, scale=span, axis=axis), color=color
    )
    points = base.mark_line(point=alt.OverlayMarkDef(size=45)).encode(
        y=alt.Y("observed:Q", title=y, scale=span, axis=axis)
    )
    # The same titles in all layers: Vega joins different ones.
    intervals = base.mark_rule().encode(y=alt.Y("low:Q", title=y), y2="high:Q")
    equal = [{"label": perfect, "probability": end, "observed": end} for end in (0, top)]
    line = (
        alt.Chart(alt.InlineData(values=equal))
        .mark_line(strokeDash=[2, 4])
        .encode(x=alt.X("probability:Q", title=x), y=alt.Y("observed:Q", title=y), color=color)
    )
    chart: alt.LayerChart = (line + intervals + points).properties(height=420)
    return chart


def decision_curve(
    points: Sequence[Mapping[str, Any]], labels: Sequence[str], x: str, y: str, threshold: float | None = None
) -> alt.LayerChart:
    """Net benefit of the model, with its interval, of calling everybody, and of calling nobody, with their `labels`.

    `points` are those of the evaluation document. `threshold` is marked.
    """
    model, everybody, nobody = labels
    top = 1.15 * max(0.001, *(point["net_benefit_high"] for point in points))
    ends = alt.Scale(domain=[-top / 4, top], nice=False)
    color = alt.Color(
        "label:N",
        title=None,
        sort=list(labels),
        scale=alt.Scale(domain=list(labels), range=[BLUE, VERMILION, GREY]),
        legend=alt.Legend(orient="top", columns=1, labelFontSize=13, labelLimit=420, symbolType="stroke"),
    )
    across = alt.X(
        "threshold:Q",
        title=x,
        scale=alt.Scale(domain=[0, points[-1]["threshold"]], nice=False),
        axis=alt.Axis(format="%", tickCount=6),
    )
    # The same titles in all layers: Vega joins different ones.
    up: dict[str, Any] = {
        "title": y,
        "scale": ends,
        "axis": alt.Axis(tickCount=5, labelExpr="format(100 * datum.value, '~r')"),
    }
    values = [
        {"threshold": point["threshold"], "label": label, "benefit": benefit}
        for point in points
        for label, benefit in ((model, point["net_benefit"]), (everybody, point["treat_all"]), (nobody, 0.0))
    ]
    band = (
        alt.Chart(alt.InlineData(values=list(points)))
        .mark_area(color=BLUE, opacity=0.2, clip=True)
        .encode(x=across, y=alt.Y("net_benefit_low:Q", **up), y2="net_benefit_high:Q")
    )
    lines = (
        alt.Chart(alt.InlineData(values=values))
        .mark_line(strokeWidth=2, clip=True)
        .encode(x=across, y=alt.Y("benefit:Q", **up), color=color)
    )
    layers = band + lines
    if threshold is not None:
        marked = alt.Chart(alt.InlineData(values=[{"threshold": threshold}]))
        layers += marked.mark_rule(strokeDash=[4, 3], clip=True).encode(x=across)
    chart: alt.LayerChart = layers.properties(height=320)
    return chart


def effects(rows: Sequence[Mapping[str, Any]], x: str, color: str) -> alt.LayerChart:
    """Bars with intervals: rows of `name`, `value`, `low`, `high` and `text`, in this order."""
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(260)),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR, color=color).encode(x=alt.X("value:Q", title=x, axis=alt.Axis(tickCount=4)))
    interval = base.mark_rule(color=GREY).encode(x=alt.X("low:Q", title=x), x2="high:Q")
    chart: alt.LayerChart = (bar + interval).properties(height=24 * len(rows) + 20)
    return chart


def _colors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A colour per label, in order of appearance: its own, or the next of the palette."""
    own = {row["label"]: row.get("color") for row in rows}
    return [color or _SERIES[index % len(_SERIES)] for index, color in enumerate(own.values())]


def _utc(time: datetime) -> alt.DateTime:
    return alt.DateTime(year=time.year, month=time.month, date=time.day, hours=time.hour, minutes=time.minute, utc=True)


def _stacked(rows: Sequence[Mapping[str, Any]], width: float) -> list[dict[str, Any]]:
    """Each row stacked on the earlier rows of the same time."""
    heights: defaultdict[float, float] = defaultdict(float)
    stacked = []
    for row in rows:
        low = heights[row["time"]]
        heights[row["time"]] = low + row["value"]
        stacked.append({**row, "end": row["time"] + width, "low": low, "high": low + row["value"]})
    return stacked
