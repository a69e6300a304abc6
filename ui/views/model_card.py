"""The model card with its plots: as the pipeline wrote them in English, else composed anew from the same data."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st
from readmission.client import ApiProblem, Decision, ModelDescription
from readmission.reporting import card
from readmission.reporting.facts import Decision as CardDecision
from readmission.reporting.facts import Facts

from ui.services import configuration, training_runs
from ui.services.training_runs import RunsUnavailable
from ui.texts import Texts
from ui.views import card_plots, decisions, page

_IMAGE: Final = re.compile(r"^!\[(?P<alt>[^\]]*)\]\(plots/(?P<name>\w+)\.png\)$", re.MULTILINE)
_NOT_FOUND: Final = 404


def show(t: Texts, model: ModelDescription, known: Sequence[Decision]) -> None:
    """Raises ApiProblem or ApiUnreachable."""
    try:
        text = page.gateway().model_card()
    except ApiProblem as error:
        if error.status != _NOT_FOUND:
            raise
        st.info(t("model.no_card"))
        return
    url = configuration.load().mlflow_url
    try:
        if t.translates and (translated := _translated(t, model, known, url)):
            _render(t, *translated)
        else:
            _render(t, text, _plots(url, model["name"], model["mlflow_run_id"]))
    except RunsUnavailable as error:
        st.info(t(f"model.{error.reason}"))
        if t.translates:
            st.caption(t("model.card_english"))
        _render(t, text, {})


def _render(t: Texts, text: str, plots: Mapping[str, bytes | card_plots.Plot]) -> None:
    """The card's Markdown, with headings below the page's own and the plots in place."""
    start = 0
    text = re.sub(r"^(#+ )", r"##\1", text, flags=re.MULTILINE)
    for image in _IMAGE.finditer(text):
        st.markdown(text[start : image.start()])
        plot = plots.get(image["name"])
        if plot is None:
            st.caption(t("model.no_plot", name=image["alt"]))
        elif isinstance(plot, bytes):
            st.image(plot, caption=image["alt"], alt=image["alt"], width="stretch")
        else:
            _show(t, plot, image["alt"])
        start = image.end()
    st.markdown(text[start:])


def _show(t: Texts, plot: card_plots.Plot, title: str) -> None:
    st.markdown(f"**{title}**")
    for column, chart in zip(st.columns(len(plot)), plot, strict=True):
        with column:
            page.chart(t, chart, title)


def _translated(
    t: Texts, model: ModelDescription, known: Sequence[Decision], url: str | None
) -> tuple[str, dict[str, card_plots.Plot]] | None:
    """The card and its plots in the page's language, None if the ledger or MLflow lacks its data.

    Raises RunsUnavailable.
    """
    decision = next((one for one in known if one["version"] == model["version"]), None)
    data = _data(url, model["name"], model["version"])
    if decision is None or data is None:
        return None
    facts, evaluation = data
    made = CardDecision(decision["decision"], decisions.reason(t, decision, known), model["version"])
    return card.markdown(facts, evaluation, made, Wording(t)), card_plots.draw(t, evaluation)


@st.cache_data(max_entries=8, ttl=3600, show_spinner=False)
def _data(url: str | None, model: str, version: str) -> tuple[Facts, dict[str, Any]] | None:
    with training_runs.mlflow(url, model, configuration.load().mlflow_secret) as client:
        return training_runs.card_data(client, version)


@st.cache_data(max_entries=8, ttl=3600, show_spinner=False)
def _plots(url: str | None, model: str, run_id: str) -> dict[str, bytes]:
    with training_runs.mlflow(url, model, configuration.load().mlflow_secret) as client:
        return training_runs.plots(client, run_id)


class Wording:
    """The card's texts and numbers in the page's language (`readmission.reporting.wording.Wording`)."""

    def __init__(self, t: Texts) -> None:
        self._t = t

    @property
    def language(self) -> str:
        return self._t.language

    def text(self, key: str, /, **values: Any) -> str:
        return self._t.translation(f"card.{key}", **values)

    def known(self, key: str, otherwise: str) -> str:
        kind, _, name = key.partition("_")
        if kind in ("family", "decision"):
            return self._t.get(f"{kind}.{name.replace(' ', '_')}", otherwise)
        if kind == "input":
            return card_plots.input_name(self._t, name)
        return self._t.translation_or(f"{kind}.{name}", otherwise)

    def number(self, value: float, digits: int = 0) -> str:
        return self._t.number(value, digits)

    def signed(self, value: float, digits: int) -> str:
        return self._t.signed(value, digits)

    def percent(self, share: float, digits: int = 1) -> str:
        return self._t.percent(share, digits)
