"""The model in production with its card, the decision history, version comparison, and rollback."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import streamlit as st
from readmission.client import Decision, Figure, ModelDescription
from readmission.domain import spreadsheet

from ui.services import promotions
from ui.texts import DASH, Texts
from ui.views import compare, decisions, deliveries, model_card, page, roll_back, thresholds, trend

_LARGEST_LIMIT: Final = 100
_HEADLINES: Final = ("auc_early", "log_loss", "early_calibration_slope", "early_ece")


def show() -> None:
    t = page.texts()
    page.heading(t, "model")
    production, history = st.container(), st.container()
    known: list[Decision] = []
    with history, page.explained(t):
        known = page.gateway().history(_LARGEST_LIMIT)
    with production, page.explained(t):
        _production(t, page.gateway().model(), known)
    if known:
        with history:
            _history(t, known)
        compare.show(t, known)
        roll_back.show(t, known)


def _production(t: Texts, model: ModelDescription, known: Sequence[Decision]) -> None:
    page.synthetic(t, model["data_kind"])
    family = t(f"family.{model['family']}")
    st.header(t("model.served", version=model["version"], family=family), anchor=False)
    if model["serves_since"]:
        since = t.moment(datetime.fromisoformat(model["serves_since"]))
        kind = t(f"kind.{model['data_kind']}")
        st.markdown(f"{t('model.since', since=since, kind=kind)} {_because(t, model, known)}")
    if challenger := model.get("challenger"):
        st.markdown(decisions.challenger(t, challenger))
    if site := model.get("recalibrated_for"):
        st.warning(t("model.recalibrated_for", site=site), icon=":material/apartment:")
    for column, name in zip(st.columns(len(_HEADLINES)), _HEADLINES, strict=True):
        if figure := model["test_metrics"].get(name):
            with column.container(border=True):
                st.metric(t(f"metric.{name}"), t.number(figure["value"], 3), help=t(f"metric_help.{name}"))
                st.caption(_interval(t, figure))
    with st.expander(t("model.card")):
        model_card.show(t, model, known)
    thresholds.show(t, model)
    deliveries.show(t, model)


def _because(t: Texts, model: ModelDescription, known: Sequence[Decision]) -> str:
    """The reason for the version in production; empty if it is known only as an English sentence to be translated."""
    decision = promotions.in_production(known)
    if decision and decision["version"] == model["version"]:
        return t("model.because", reason=decisions.reason(t, decision, known).rstrip("."))
    return t("model.because", reason=model["reason"]) if model["reason"] and not t.translates else ""


def _interval(t: Texts, figure: Figure) -> str:
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None:
        return t("model.no_interval")
    return t("model.interval", low=t.number(low, 3), high=t.number(high, 3))


def _history(t: Texts, known: Sequence[Decision]) -> None:
    st.header(t("model.history"), anchor=False)
    rows = [
        {
            t("column.when"): t.moment(datetime.fromisoformat(decision["decided_at"])),
            t("column.version"): decision["version"],
            t("column.before"): decision["previous_version"] or DASH,
            t("column.decision"): decisions.kind(t, decision),
            t("column.by"): spreadsheet.cell(decisions.actor(t, decision.get("decided_by"))),
            t("column.family"): t(f"family.{decision['family']}") if decision["family"] else DASH,
            t("column.kind"): t(f"kind.{decision['data_kind']}") if decision["data_kind"] else DASH,
            # Streamlit offers every table as a CSV, and a person may have entered the reason.
            t("column.reason"): spreadsheet.cell(decisions.reason(t, decision, known)),
            t("column.log_loss"): _log_loss(t, decision, "challenger"),
            t("column.log_loss_before"): _log_loss(t, decision, "incumbent"),
            t("column.test_rows"): _test_rows(t, decision),
        }
        for decision in known
    ]
    page.table(rows, t("model.history"))
    st.caption(t("model.history_note"))
    trend.show(t, known)


def _log_loss(t: Texts, decision: Decision, contender: str) -> str:
    value = (decision["metrics"].get(contender) or {}).get("log_loss")
    return DASH if value is None else t.number(value, 4)


def _test_rows(t: Texts, decision: Decision) -> str:
    rows = (decision["metrics"].get("test") or {}).get("rows")
    return DASH if rows is None else t.number(rows)
