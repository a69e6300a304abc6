"""A window of the monitor: how the model's inputs drift, and how good the forecasts are by group of patients."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit as st
from readmission.domain import spreadsheet

from ui import charts, palette
from ui.services import over_time
from ui.services.over_time import Figure, Group, Input, Source, Window
from ui.texts import DASH, Texts
from ui.views import card_plots, page

_CHARTED: Final = 10
_NEW_SHOWN: Final = 5
_METRIC: Final = "auc_early"


def input_name(t: Texts, feature: str) -> str:
    """The name of one of the model's inputs: in English as the model card writes it."""
    return card_plots.input_name(t, feature) if t.translates else feature


def show(t: Texts, window: Window, limit: float | None) -> None:
    """The inputs that differ most from the training rows; `limit` is that of the population stability index."""
    st.subheader(t("over_time.drift"), anchor=False)
    if not window.inputs:
        why = window.why_no_drift if not t.translates else ""
        st.caption(f"{t('over_time.no_drift')}{f' ({why}.)' if why else ''}")
        return
    st.markdown(t("over_time.drift_text"))
    rows = [_bar(t, one) for one in over_time.worst(window.inputs, _CHARTED) if one.psi is not None]
    if rows:
        above = sum(one.beyond for one in window.inputs)
        alt = t("over_time.drift_alt", count=len(window.inputs), above=above)
        page.chart(t, charts.against_limit(rows, t("over_time.psi"), limit), alt)
    if window.forecast_psi is not None:
        st.caption(t("over_time.forecast_psi", psi=t.number(window.forecast_psi, 3)))
    worst = over_time.worst(window.inputs, len(window.inputs))
    page.as_table(t, [_row(t, one) for one in worst], t("over_time.drift"))


def _bar(t: Texts, one: Input) -> dict[str, Any]:
    psi = one.psi or 0.0
    color = palette.VERMILION if one.beyond else palette.SKY
    return {"name": input_name(t, one.name), "value": psi, "text": t.number(psi, 3), "color": color}


def _row(t: Texts, one: Input) -> dict[str, str]:
    more = [t("over_time.more_new", count=len(one.new) - _NEW_SHOWN)] if len(one.new) > _NEW_SHOWN else []
    return {
        t("column.input"): input_name(t, one.name),
        t("over_time.psi"): DASH if one.psi is None else t.number(one.psi, 3),
        t("column.missing"): _share(t, one.missing),
        t("column.missing_before"): _share(t, one.missing_before),
        t("column.new"): spreadsheet.cell(", ".join([*one.new[:_NEW_SHOWN], *more])),
    }


def _share(t: Texts, share: float | None) -> str:
    return DASH if share is None else t.percent(share)


def groups(t: Texts, window: Window) -> None:
    """The quality by age, gender and race, where the clean rows know them."""
    st.subheader(t("over_time.groups"), anchor=False)
    if not window.groups:
        st.caption(t("over_time.no_groups"))
        return
    st.markdown(t("over_time.groups_text"))
    attributes = [one for one in over_time.ATTRIBUTES if any(group.by == one for group in window.groups)]
    ordered = [group for one in attributes for group in sorted(window.groups, key=_place) if group.by == one]
    bars = [
        {
            "name": _group_name(t, group),
            "series": t(f"over_time.{source}"),
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "text": _figure(t, figure),
        }
        for group in ordered
        for source in over_time.SOURCES
        if (figure := group.quality[source].get(_METRIC))
    ]
    if bars:
        order = [t(f"over_time.{source}") for source in over_time.SOURCES]
        alt = t("over_time.groups_alt", count=len(ordered))
        page.chart(t, charts.groups(bars, t(f"figure.{_METRIC}"), order), alt)
    page.as_table(t, [_group_row(t, group) for group in ordered], t("over_time.groups"))


def _place(group: Group) -> tuple[bool, str]:
    """The youngest first: their band begins with a word, the others with a number."""
    return not group.value.startswith("under"), group.value


def _group_name(t: Texts, group: Group) -> str:
    value = t.translation_or(f"group.{group.value}", group.value) if t.translates else group.value
    return f"{t(f'over_time.by_{group.by}')}: {value}"


def _group_row(t: Texts, group: Group) -> dict[str, str]:
    return {
        t("column.group"): _group_name(t, group),
        t("column.forecasts"): t.number(group.rows),
        t("column.labels"): t.number(group.labels),
        t("over_time.realised"): _cell(t, group.quality, "realised"),
        t("over_time.estimated"): _cell(t, group.quality, "estimated"),
    }


def _cell(t: Texts, quality: Mapping[Source, Mapping[str, Figure]], source: Source) -> str:
    figure = quality[source].get(_METRIC)
    return _figure(t, figure) if figure else DASH


def _figure(t: Texts, figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return t.number(figure.value, 3)
    return f"{t.number(figure.value, 3)} ({t.number(figure.low, 3)}{DASH}{t.number(figure.high, 3)})"
