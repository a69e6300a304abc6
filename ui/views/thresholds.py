"""How many patients a team can call: the threshold for that, what it finds, and the decision curve."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from readmission.client import ModelDescription
from readmission.evaluation.workload import Interval, Plan, plan

from ui import charts
from ui.charts import Chart
from ui.services import configuration, training_runs
from ui.services.training_runs import RunsUnavailable
from ui.texts import Texts
from ui.views import page


def show(t: Texts, model: ModelDescription) -> None:
    """Nothing while MLflow is away, which the model card above explains."""
    try:
        evaluation = _evaluation(configuration.load().mlflow_url, model["name"], model["mlflow_run_id"])
    except RunsUnavailable:
        return
    if evaluation is None:
        return
    st.header(t("calls.title"), anchor=False)
    found = evaluation["test"].get("thresholds")
    if not found:
        st.caption(t("calls.earlier_release"))
        return
    st.markdown(t("calls.lead"))
    first, second = st.columns(2)
    discharges = first.number_input(t("calls.discharges"), min_value=1, max_value=100_000, value=100, step=10)
    calls = second.number_input(t("calls.calls"), min_value=1, max_value=100_000, value=20, step=1)
    base_rate = evaluation["test"]["curves"]["early"]["base_rate"]
    chosen = plan(found["workload"], base_rate, discharges, calls)
    if chosen is None:
        st.info(t("calls.too_few"))
    else:
        _plan(t, chosen)
        rows = t.number(evaluation["splits"]["test"]["rows"])
        st.caption(t("calls.note", rows=rows, rate=t.percent(base_rate)))
    st.subheader(t("calls.curve"), anchor=False)
    st.caption(t("calls.curve_note"))
    threshold = chosen.threshold if chosen else None
    page.chart(t, decision_curve(t, found["decision_curve"], threshold), t("calls.curve_alt"))
    _as_table(t, found["decision_curve"])


def decision_curve(t: Texts, points: Sequence[Mapping[str, Any]], threshold: float | None = None) -> Chart:
    """The decision curve of an evaluation document, with a threshold marked."""
    labels = [t(f"calls.{name}") for name in ("by_model", "everybody", "nobody")]
    return charts.decision_curve(points, labels, t("calls.curve_x"), t("calls.curve_y"), threshold)


@st.cache_data(max_entries=8, ttl=3600, show_spinner=False)
def _evaluation(url: str | None, model: str, run_id: str) -> dict[str, Any] | None:
    with training_runs.mlflow(url, model, configuration.load().mlflow_secret) as client:
        return training_runs.evaluation(client, run_id)


def _plan(t: Texts, chosen: Plan) -> None:
    st.markdown(t("calls.rule", threshold=t.percent(chosen.threshold), calls=t.number(chosen.calls, 1)))
    figures = {
        "hits": _figure(t, chosen.hits),
        "misses": _figure(t, chosen.misses),
        "ppv": _share(t, chosen.ppv),
        "to_call": _figure(t, chosen.to_call),
    }
    for column, (name, (value, bounds)) in zip(st.columns(len(figures)), figures.items(), strict=True):
        with column.container(border=True):
            st.metric(t(f"calls.{name}"), value, help=t(f"calls.{name}_help"))
            st.caption(bounds)


def _figure(t: Texts, found: Interval) -> tuple[str, str]:
    return _written(t, found, [None if one is None else t.number(one, 1) for one in _ends(found)])


def _share(t: Texts, found: Interval) -> tuple[str, str]:
    return _written(t, found, [None if one is None else t.percent(one) for one in _ends(found)])


def _ends(found: Interval) -> tuple[float | None, ...]:
    return found.value, found.low, found.high


def _written(t: Texts, found: Interval, texts: Sequence[str | None]) -> tuple[str, str]:
    value, low, high = texts
    if low is None or high is None:
        return value or t("calls.undefined"), t("model.no_interval")
    return value or t("calls.undefined"), t("model.interval", low=low, high=high)


def _as_table(t: Texts, points: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        {
            t("calls.threshold"): t.percent(point["threshold"], 0),
            t("calls.by_model"): t.signed(100 * point["net_benefit"], 2),
            t("calls.everybody"): t.signed(100 * point["treat_all"], 2),
            t("calls.gain"): t(
                "calls.gain_value",
                value=t.signed(100 * point["gain"], 2),
                low=t.signed(100 * point["gain_low"], 2),
                high=t.signed(100 * point["gain_high"], 2),
            ),
        }
        for point in points
    ]
    page.as_table(t, rows, t("calls.curve_alt"))
