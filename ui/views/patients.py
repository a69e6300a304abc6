"""Many patients: a file through the gateway, its table by risk, what was refused and why, and the whole to keep."""

import math
import time
from collections import Counter
from typing import Any, Final

import pandas as pd
import streamlit as st

from ui import charts
from ui.services import configuration, scoring
from ui.texts import DASH, Texts
from ui.views import page

_SHOWN: Final = 1000  # rows of a table: the whole is in the download
_BINS: Final = 40
_TIMEOUT_SECONDS: Final = 60
_SCORED: Final = "scored"  # this session's; nothing of it outlives the session


def show() -> None:
    t = page.texts()
    page.heading(t, "patients")
    uploaded = st.file_uploader(t("patients.file"), type="csv", help=t("patients.help.file"))
    with st.expander(t("patients.format")):
        st.markdown(t("patients.format_text"))
    if uploaded is None:
        st.session_state.pop(_SCORED, None)
        return
    known = st.session_state.get(_SCORED)
    if known is None or known["file"] != uploaded.file_id:
        st.session_state.pop(_SCORED, None)
        with page.explained(t):
            _score(t, uploaded.file_id, uploaded.getvalue())
    if known := st.session_state.get(_SCORED):
        _results(t, known)


def _score(t: Texts, file_id: str, content: bytes) -> None:
    """Raises ApiProblem or ApiUnreachable."""
    try:
        upload = scoring.read(content)
    except scoring.FileRefused as error:
        page.problem(t, f"file_{error.complaint}")
        return
    found = configuration.load()
    model = page.gateway().model()
    rows = len(upload.rows)
    bar = st.progress(0.0, t("patients.progress", done=t.number(0), rows=t.number(rows)))

    def progress(done: int) -> None:
        bar.progress(min(1.0, done / rows), t("patients.progress", done=t.number(done), rows=t.number(rows)))

    began = time.monotonic()
    try:
        scores = scoring.score(upload, lambda: page.connect(found, timeout=_TIMEOUT_SECONDS), progress)
    finally:
        bar.empty()
    st.session_state[_SCORED] = {
        "file": file_id,
        "seconds": time.monotonic() - began,
        "version": model["version"],
        "data_kind": model["data_kind"],
        "table": _table(scores, scoring.identifiers(upload)),
    }


def _table(scores: scoring.Scores, identifiers: dict[str, list[str]]) -> pd.DataFrame:
    """A row for each of the file's, the highest risk first and those that were refused last."""
    table = pd.DataFrame(
        {
            "row": scores.row,
            **identifiers,
            "early_risk": pd.array(scores.risk, dtype="Float64"),
            "band": scores.band,
            "percentile": pd.array(scores.percentile, dtype="Float64"),
            "later": pd.array(scores.later, dtype="Float64"),
            "never": pd.array(scores.never, dtype="Float64"),
            "error": scores.error,
        }
    )
    return table.sort_values("early_risk", ascending=False, na_position="last", kind="stable", ignore_index=True)


def _results(t: Texts, known: dict[str, Any]) -> None:
    page.synthetic(t, known["data_kind"])
    table: pd.DataFrame = known["table"]
    scored, refused = table[table["error"] == ""], table[table["error"] != ""]
    flagged = int((scored["band"] == "very high").sum())
    columns = st.columns(4)
    columns[0].metric(t("patients.scored"), t.number(len(scored)), border=True)
    columns[1].metric(t("patients.refused"), t.number(len(refused)), border=True)
    columns[2].metric(t("patients.flagged"), t.number(flagged), border=True, help=t("patients.help.flagged"))
    expected = t.number(float(scored["early_risk"].sum())) if len(scored) else DASH
    columns[3].metric(t("patients.expected"), expected, border=True, help=t("patients.help.expected"))
    st.caption(t("patients.took", seconds=t.seconds(known["seconds"]), version=known["version"]))
    if len(scored):
        _scored(t, scored)
    if len(refused):
        _refused(t, refused)
    left = table.rename(columns={"later": "probability_later", "never": "probability_none"})
    st.download_button(
        t("patients.download"),
        lambda: left.to_csv(index=False).encode(),
        "readmission_risk.csv",
        "text/csv",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
    )
    st.caption(t("patients.kept"))


def _scored(t: Texts, scored: pd.DataFrame) -> None:
    st.header(t("patients.histogram"), anchor=False)
    counts = _histogram(t, scored["early_risk"].astype(float).tolist())
    median = t.percent(float(scored["early_risk"].median()))
    summary = t("patients.histogram_alt", count=t.number(len(scored)), median=median)
    st.altair_chart(charts.histogram(counts, t("patient.risk"), t("patients.patients")), alt=summary, width="stretch")
    st.caption(summary)
    st.header(t("patients.table"), anchor=False)
    shown = scored.head(_SHOWN).drop(columns="error")
    for name in ("early_risk", "later", "never"):
        shown[name] *= 100
    shown["band"] = [t(f"band.{band}") if band else "" for band in shown["band"]]
    share = st.column_config.NumberColumn
    st.dataframe(
        shown,
        hide_index=True,
        height=420,
        alt=t("patients.table"),
        column_config={
            "row": t("column.row"),
            "encounter_id": t("column.encounter_id"),
            "patient_nbr": t("column.patient_nbr"),
            "early_risk": share(t("column.early_risk"), format="%.1f %%"),
            "band": t("column.band"),
            "percentile": share(t("column.percentile"), format="%.1f"),
            "later": share(t("class.>30"), format="%.1f %%"),
            "never": share(t("class.NO"), format="%.1f %%"),
        },
    )
    if len(scored) > _SHOWN:
        st.caption(t("patients.first", shown=t.number(_SHOWN), rows=t.number(len(scored))))


def _histogram(t: Texts, risks: list[float]) -> list[dict[str, Any]]:
    """Counts in equal steps of a whole percentage, from 0 to the largest."""
    width = max(1, math.ceil(100 * max(risks) / _BINS)) / 100
    counts = Counter(int(risk / width) for risk in risks)
    return [
        {
            "low": place * width,
            "high": (place + 1) * width,
            "count": counts[place],
            "text": f"{_span(t, place * width, (place + 1) * width)}: {t.number(counts[place])}",
        }
        for place in range(max(counts) + 1)
    ]


def _span(t: Texts, low: float, high: float) -> str:
    return f"{t.percent(low, 0)}{DASH}{t.percent(high, 0)}"


def _refused(t: Texts, refused: pd.DataFrame) -> None:
    st.header(t("patients.failed"), anchor=False)
    st.caption(t("patients.failed_text"))
    reasons = Counter(refused["error"])
    st.dataframe(
        [{t("column.reason"): reason, t("column.rows"): count} for reason, count in reasons.most_common(20)],
        hide_index=True,
        alt=t("patients.failed"),
    )
    identifiers = [name for name in ("encounter_id", "patient_nbr") if name in refused]
    with st.expander(t("patients.failed_rows")):
        st.dataframe(
            refused.sort_values("row").head(_SHOWN)[["row", *identifiers, "error"]],
            hide_index=True,
            alt=t("patients.failed_rows"),
            column_config={
                "row": t("column.row"),
                "encounter_id": t("column.encounter_id"),
                "patient_nbr": t("column.patient_nbr"),
                "error": t("column.reason"),
            },
        )
