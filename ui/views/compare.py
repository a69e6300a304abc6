"""Compares two versions by their test figures."""

from collections.abc import Mapping, Sequence

import streamlit as st
from readmission.client import Decision, Figure
from readmission.telemetry.metrics import SCORES

from ui.services import configuration, promotions, training_runs
from ui.texts import DASH, Texts
from ui.views import page


def show(t: Texts, decisions: Sequence[Decision]) -> None:
    st.header(t("model.compare"), anchor=False)
    runs = promotions.training_runs(decisions)
    if len(runs) < 2:
        st.caption(t("model.one_version"))
        return
    with page.explained(t):
        versions = list(runs)
        columns = st.columns(2)
        one = columns[0].selectbox(t("model.version_a"), versions, 0)
        other = columns[1].selectbox(t("model.version_b"), versions, 1)
        try:
            names = {decision["version"]: decision["model_name"] for decision in decisions}
            figures = {version: _figures(names[version], runs[version]) for version in (one, other)}
        except training_runs.RunsUnavailable as error:
            st.info(t(f"model.{error.reason}"))
        else:
            _table(t, figures)
        for name, difference in promotions.differences(decisions, one, other).items():
            interval = {"low": t.signed(difference.low, 4), "high": t.signed(difference.high, 4)}
            value = t.signed(difference.value, 4)
            metric = t(f"metric.{name}")
            st.markdown(t("model.difference", metric=metric, one=one, other=other, value=value, **interval))


def _table(t: Texts, figures: Mapping[str, Mapping[str, Figure]]) -> None:
    """The figures of both versions, by metric."""
    rows = [
        {
            t("column.metric"): t(f"metric.{name}"),
            t("column.better"): t(f"better.{name}"),
            **{t("model.version", version=version): _figure(t, found.get(name)) for version, found in figures.items()},
        }
        for name in SCORES
        if any(name in found for found in figures.values())
    ]
    if rows:
        page.table(rows, t("model.compare"))
        st.caption(t("model.compare_note"))
    else:
        st.info(t("model.no_figures"))


def _figure(t: Texts, figure: Figure | None) -> str:
    if figure is None:
        return DASH
    low, high = figure["low"], figure["high"]
    interval = f" ({t.number(low, 3)}{DASH}{t.number(high, 3)})" if low is not None and high is not None else ""
    return f"{t.number(figure['value'], 3)}{interval}"


def _figures(model: str, run_id: str) -> dict[str, Figure]:
    return _stored_figures(configuration.load().mlflow_url, model, run_id)


@st.cache_data(max_entries=32, ttl=3600, show_spinner=False)
def _stored_figures(url: str | None, model: str, run_id: str) -> dict[str, Figure]:
    with training_runs.mlflow(url, model, configuration.load().mlflow_secret) as client:
        return training_runs.figures(training_runs.evaluation(client, run_id))
