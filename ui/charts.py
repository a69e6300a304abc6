"""The charts: Okabe and Ito's colours, which colour-blind people tell apart, and never without a text beside them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
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


_ZERO: Final = alt.Axis(values=[0], labels=False, ticks=False, domain=False, grid=True, gridColor=GREY)


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
    reach = 1.3 * max(row["share"] for row in rows)
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(150)),
        x=alt.X("share:Q", title=None, axis=None, scale=alt.Scale(domain=[0, reach])),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR).encode(color=alt.Color("color:N", scale=None))
    text = base.mark_text(align="left", dx=6, fontWeight=600, **_LABEL).encode(text="text:N")
    return (bar + text).properties(height=34 * len(rows))


def contributions(rows: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """What raises to the right, what lowers to the left: rows of `name` (two lines), `value`, `text` and `color`."""
    reach = 1.7 * max((abs(row["value"]) for row in rows), default=1.0) or 1.0
    base = alt.Chart(alt.InlineData(values=list(rows))).encode(
        y=alt.Y("name:N", sort=None, title=None, axis=_names(190)),
        x=alt.X("value:Q", title=None, axis=_ZERO, scale=alt.Scale(domain=[-reach, reach])),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    bar = base.mark_bar(**_BAR).encode(color=alt.Color("color:N", scale=None))
    right = base.transform_filter("datum.value >= 0").mark_text(align="left", dx=5, **_LABEL).encode(text="text:N")
    left = base.transform_filter("datum.value < 0").mark_text(align="right", dx=-5, **_LABEL).encode(text="text:N")
    return (bar + right + left).properties(height=44 * len(rows))


def histogram(counts: Sequence[Mapping[str, Any]], x: str, y: str) -> alt.Chart:
    """Counts of patients by risk: rows of `low`, `high` (shares) and `count`."""
    return (
        alt.Chart(alt.InlineData(values=list(counts)))
        .transform_calculate(none="0")
        .mark_rect(color=BLUE, stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", title=x, axis=alt.Axis(format="%", grid=False, tickCount=8)),
            x2="high:Q",
            y=alt.Y("count:Q", title=y, axis=alt.Axis(tickCount=4, format="~s")),
            y2="none:Q",
            tooltip=[alt.Tooltip("text:N", title=" ")],
        )
        .properties(height=220)
    )


def over_time(
    rows: Sequence[Mapping[str, Any]], y: str, *, start: datetime, end: datetime, step: timedelta, stacked: bool
) -> alt.Chart | alt.LayerChart:
    """Series over time, told apart by colour and by shape or place: rows of `time`, `label`, `value` and `text`.

    `time` is in milliseconds; what is stacked is a count of the `step` that begins there. A row may have its `color`.
    """
    labels = list(dict.fromkeys(row["label"] for row in rows))
    color = alt.Color(
        "label:N",
        title=None,
        sort=labels,
        scale=alt.Scale(domain=labels, range=_colors(rows)),
        legend=alt.Legend(orient="top", columns=2, labelFontSize=13, symbolType="square" if stacked else "circle"),
    )
    span = alt.Scale(domain=[_utc(start), _utc(end)], type="utc")
    # Half a day and more is told by the day, too.
    form = "%H:%M" if end - start <= timedelta(hours=12) else "%d/%m %H:%M"
    axis = alt.Axis(format=form, tickCount=5, grid=False, labelFlush=True)
    numbers = alt.Axis(tickCount=4, format="~s" if stacked else "~r")
    values = _stacked(rows, 1000 * step.total_seconds()) if stacked else list(rows)
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X("time:T", title=None, scale=span, axis=axis),
        color=color,
        tooltip=[alt.Tooltip("label:N", title=" "), alt.Tooltip("text:N", title=" ")],
    )
    if stacked:
        shown = base.mark_rect(stroke="white", strokeWidth=0.5).encode(
            x2="end:T", y=alt.Y("low:Q", title=y, axis=numbers), y2="high:Q"
        )
    else:
        line = base.encode(y=alt.Y("value:Q", title=y, axis=numbers))
        shown = line.mark_line(strokeWidth=2) + line.mark_point(size=30, filled=True).encode(
            shape=alt.Shape("label:N", sort=labels, legend=None)
        )
    return shown.properties(height=250)


def _colors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each label, in the order in which they come: its own, or the next."""
    own = {row["label"]: row.get("color") for row in rows}
    return [color or _SERIES[place % len(_SERIES)] for place, color in enumerate(own.values())]


def _utc(time: datetime) -> alt.DateTime:
    return alt.DateTime(year=time.year, month=time.month, date=time.day, hours=time.hour, minutes=time.minute, utc=True)


def _stacked(rows: Sequence[Mapping[str, Any]], width: float) -> list[dict[str, Any]]:
    """Each row on those before it of the same time."""
    heights: defaultdict[float, float] = defaultdict(float)
    found = []
    for row in rows:
        low = heights[row["time"]]
        heights[row["time"]] = low + row["value"]
        found.append({**row, "end": row["time"] + width, "low": low, "high": low + row["value"]})
    return found
