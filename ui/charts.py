"""The charts: Okabe and Ito's colours, which colour-blind people tell apart, and never without a text beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt

BLUE: Final = "#0072B2"
SKY: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
GREY: Final = "#8A97A1"
BANDS: Final = {"low": BLUE, "moderate": SKY, "high": ORANGE, "very high": VERMILION}
CLASSES: Final = {"<30": VERMILION, ">30": ORANGE, "NO": BLUE}
_SERIES: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, GREY)
_LABEL: Final = {"fontSize": 13, "color": "#1D2A35"}
_BAR: Final = {"cornerRadiusEnd": 3, "height": {"band": 0.68}}


def _names(width: int) -> alt.Axis:
    """Names beside their bars; a `|` begins another line."""
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
    """Shares as bars: each row has a `name`, a `share` from 0 to 1, its `text` and a `color`."""
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(150)),
        x=alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, 1.15])),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR).encode(color=alt.Color("color:N", scale=None))
    text = base.mark_text(align="left", dx=6, fontWeight=600, **_LABEL).encode(text="text:N")
    return (bar + text).properties(height=34 * len(rows))


def contributions(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """What raises to the right, what lowers to the left: rows of `name` (two lines), `value`, `text` and `color`."""
    reach = 1.45 * max((abs(row["value"]) for row in rows), default=1.0) or 1.0
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(180)),
        x=alt.X("value:Q", title=None, axis=None, scale=alt.Scale(domain=[-reach, reach])),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR).encode(color=alt.Color("color:N", scale=None))
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color=GREY).encode(x="zero:Q")
    right = base.transform_filter("datum.value >= 0").mark_text(align="left", dx=5, **_LABEL).encode(text="text:N")
    left = base.transform_filter("datum.value < 0").mark_text(align="right", dx=-5, **_LABEL).encode(text="text:N")
    return (bar + zero + right + left).properties(height=44 * len(rows))


def histogram(counts: Sequence[Mapping[str, Any]], x: str, y: str) -> alt.Chart:
    """Counts of patients by risk: rows of `low`, `high` (shares) and `count`."""
    return (
        alt.Chart(alt.InlineData(values=list(counts)))
        .mark_bar(color=BLUE, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", title=x, axis=alt.Axis(format="%", grid=False, tickCount=8)),
            x2="high:Q",
            y=alt.Y("count:Q", title=y, axis=alt.Axis(tickCount=4, format="~s")),
            tooltip=[alt.Tooltip("text:N", title=" ")],
        )
        .properties(height=220)
    )


def over_time(
    rows: Sequence[Mapping[str, Any]], y: str, *, start: Any, end: Any, seconds: int, stacked: bool
) -> alt.Chart:
    """Series over time, told apart by colour, by shape and by the legend's order: rows of `time`, `label`, `value`.

    Times are in milliseconds; `seconds` is how long the step is that a row counts.
    """
    labels = list(dict.fromkeys(row["label"] for row in rows))
    color = alt.Color(
        "label:N",
        title=None,
        sort=labels,
        scale=alt.Scale(domain=labels, range=list(_SERIES[: len(labels)])),
        legend=alt.Legend(orient="top", labelFontSize=13, symbolType="square" if stacked else "circle"),
    )
    span = alt.Scale(domain=[start.timestamp() * 1000, end.timestamp() * 1000], type="utc")
    axis = alt.Axis(format="%H:%M", tickCount=6, grid=False, labelFlush=True)
    values = [dict(row) | {"end": row["time"] + 1000 * seconds} for row in rows]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("time:T", title="UTC", scale=span, axis=axis),
        color=color,
        tooltip=[
            alt.Tooltip("label:N", title=" "),
            alt.Tooltip("text:N", title=" "),
        ],
    )
    if stacked:
        shown = base.mark_bar().encode(
            x2="end:T", y=alt.Y("value:Q", title=y, stack="zero", axis=alt.Axis(tickCount=4, format="~s"))
        )
    else:
        shown = base.mark_line(point={"size": 40}, strokeWidth=2).encode(
            y=alt.Y("value:Q", title=y, axis=alt.Axis(tickCount=4)), shape=alt.Shape("label:N", legend=None)
        )
    return shown.properties(height=220)
