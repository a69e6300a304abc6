"""The deliveries that the model in production learned from, and how each differs from those before it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import streamlit as st
from readmission.client import ModelDescription
from readmission.domain import spreadsheet

from ui.services import configuration, training_runs
from ui.services.training_runs import RunsUnavailable
from ui.texts import DASH, Texts
from ui.views import page

_COLUMNS_SHOWN: Final = 4


def show(t: Texts, model: ModelDescription) -> None:
    """Nothing for runs of earlier releases, or while MLflow is away, which the model card above explains."""
    try:
        report = _report(configuration.load().mlflow_url, model["name"], model["mlflow_run_id"])
    except RunsUnavailable:
        return
    known = (report or {}).get("deliveries", [])
    if not known:
        return
    st.header(t("model.deliveries"), anchor=False)
    if newest := _notable(known[-1]["comparison"]):
        st.warning(t("model.newest_differs", columns=", ".join(newest)))
    rows = [
        {
            t("column.when"): t.moment(datetime.fromisoformat(delivery["delivered_at"])),
            t("column.delivery"): spreadsheet.cell(delivery["delivery"]),
            t("column.site"): spreadsheet.cell(delivery["site"]),
            t("column.differs"): spreadsheet.cell(differences(t, delivery["comparison"])),
        }
        for delivery in reversed(known)
    ]
    page.table(rows, t("model.deliveries"))
    st.caption(t("model.deliveries_note"))


@st.cache_data(max_entries=8, ttl=3600, show_spinner=False)
def _report(url: str | None, model: str, run_id: str) -> dict[str, Any] | None:
    with training_runs.mlflow(url, model, configuration.load().mlflow_secret) as client:
        return training_runs.data_report(client, run_id)


def _notable(comparison: Mapping[str, Any] | None) -> list[str]:
    """The columns that differ much from earlier deliveries."""
    return list((comparison or {}).get("notable", []))


def differences(t: Texts, comparison: Mapping[str, Any] | None) -> str:
    """In which columns a delivery differs from those before it; `comparison` is None if nothing came before."""
    if comparison is None:
        return t("model.nothing_before")
    notable = _notable(comparison)
    told = [_difference(t, comparison, name) for name in notable[:_COLUMNS_SHOWN]]
    if len(notable) > _COLUMNS_SHOWN:
        told.append(t("model.more_columns", count=len(notable) - _COLUMNS_SHOWN))
    return "; ".join(told) or DASH


def _difference(t: Texts, comparison: Mapping[str, Any], name: str) -> str:
    """What changed most in a column: how many rows lack it, its mean, or the share of one of its values."""
    missing = comparison["missing"].get(name, {"before": 0.0, "now": 0.0})
    mean, share = comparison["means"].get(name), comparison["shares"].get(name)
    changed = share["most_changed"] if share else None
    if mean and abs(mean["difference"]) > abs(missing["now"] - missing["before"]):
        return t("model.mean_differs", name=name, before=t.number(mean["before"], 1), now=t.number(mean["now"], 1))
    if changed and abs(changed["now"] - changed["before"]) > abs(missing["now"] - missing["before"]):
        shares = {side: t.percent(changed[side]) for side in ("before", "now")}
        return t("model.share_differs", name=name, value=changed["value"], **shares)
    return t("model.missing_differs", name=name, **{side: t.percent(missing[side]) for side in ("before", "now")})
