"""Scores a file of patients: the patients by risk, the rejected rows with reasons, and a download of all rows."""

import math
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pandas as pd
import streamlit as st
from readmission.client import RowProblem
from readmission.domain import spreadsheet

from ui import charts
from ui.services import configuration, scoring, uploads
from ui.texts import DASH, Texts
from ui.views import entrance, page, style

_SHOWN: Final = 1000  # rows of a table; the download has all
_NUMBERS: Final = 10  # row numbers beside a fault
# Other files than CSV can be chosen too, so that the page can say what to do with them.
_TYPES: Final = ["csv", "txt", "tsv", "xlsx", "xls", "ods"]
_BINS: Final = 40
_TIMEOUT_SECONDS: Final = 60
# Keys of the session state, so results end with the session. A change of page empties the uploader.
_FILE, _SCORED, _KEPT = "patients_file", "scored", "kept"


def show() -> None:
    t = page.texts()
    page.heading(t, "patients")
    if known := take(t):
        _results(t, known)


def take(t: Texts) -> dict[str, Any] | None:
    """The uploader, and what became of the file that was chosen; None before that."""
    st.html(style.uploader(t("patients.upload"), t("patients.upload_limit")))
    st.html(style.UPLOADER_ROLE, unsafe_allow_javascript=True)
    uploaded = st.file_uploader(
        t("patients.file"), type=_TYPES, help=t("patients.help.file"), key=_FILE, on_change=_changed
    )
    with st.expander(t("patients.format")):
        st.markdown(t("patients.format_text"))
    if uploaded is None:
        st.session_state.pop(_SCORED, None)
        return None
    known = st.session_state.get(_SCORED)
    if known is None or known["file"] != uploaded.file_id:
        st.session_state.pop(_SCORED, None)
        with page.explained(t):
            _score(t, uploaded.file_id, uploaded.getvalue())
    return st.session_state.get(_SCORED)


def kept() -> dict[str, Any] | None:
    """What became of the file that was chosen last, on any page, unless it was removed."""
    return st.session_state.get(_KEPT)


def _changed() -> None:
    """Unlike a change of page, removing a file or choosing another one discards what is known of it."""
    st.session_state.pop(_KEPT, None)


def _score(t: Texts, file_id: str, content: bytes) -> None:
    """Raises ApiProblem or ApiUnreachable."""
    try:
        upload = uploads.read(content)
    except uploads.FileRefused as error:
        page.problem(t, f"file_{error.complaint}", found=error.found)
        return
    settings = configuration.load()
    model = page.gateway().model()
    rows = len(upload.rows)
    bar = st.progress(0.0, t("patients.progress", done=t.number(0), rows=t.number(rows)))

    def progress(done: int) -> None:
        bar.progress(min(1.0, done / rows), t("patients.progress", done=t.number(done), rows=t.number(rows)))

    began = time.monotonic()
    try:
        connect = partial(page.connect, settings, entrance.person().token, timeout=_TIMEOUT_SECONDS)
        scores = scoring.score(upload, connect, progress, partial(_faults, t))
    finally:
        bar.empty()
    st.session_state[_SCORED] = st.session_state[_KEPT] = {
        "file": file_id,
        "seconds": time.monotonic() - began,
        "version": model["version"],
        "data_kind": model["data_kind"],
        "table": _table(scores, scoring.identifiers(upload)),
        "faults": scores.faults,
        "upload": replace(upload, rows=[]) if upload.unusual else None,
        "requests": list(zip(scores.request, scores.index, strict=True)),
        "marks": {},
    }


def _faults(t: Texts, problem: RowProblem) -> list[str]:
    """What is wrong with a row, by field, in the page's language."""
    if problem["errors"]:
        return [f"{error['field']}: {t.message(error)}" for error in problem["errors"]]
    return [t.translation("row.no_forecast") if t.translates else problem["detail"]]


def _table(scores: scoring.Scores, identifiers: dict[str, list[str]]) -> pd.DataFrame:
    """The file's rows with their results, highest risk first and rejected rows last."""
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
    if upload := known["upload"]:
        _read_as(t, upload)
    if len(scored):
        _scored(t, scored)
    if len(refused):
        _refused(t, refused, known["faults"])
    download = table.rename(columns={"later": "probability_later", "never": "probability_none"})
    st.download_button(
        t("patients.download"),
        lambda: download.to_csv(index=False).encode(),
        "readmission_risk.csv",
        "text/csv",
        icon=":material/download:",
        type="primary",
        on_click="ignore",
    )
    st.caption(t("patients.kept"))


def _read_as(t: Texts, upload: uploads.Upload) -> None:
    """What was understood of the file's form, for people to check."""
    separator = t("patients.tab") if upload.separator == "\t" else f"“{upload.separator}”"
    said = [t("patients.read_as", separator=separator, encoding=upload.encoding)]
    if upload.decimals:
        said.append(t("patients.decimals", count=t.number(upload.decimals)))
    st.caption(" ".join(said))


def _scored(t: Texts, scored: pd.DataFrame) -> None:
    st.header(t("patients.histogram"), anchor=False)
    counts = _histogram(t, scored["early_risk"].astype(float).tolist())
    median = t.percent(float(scored["early_risk"].median()))
    summary = t("patients.histogram_alt", count=t.number(len(scored)), median=median)
    page.chart(t, charts.histogram(counts, t("patient.risk"), t("patients.patients")), summary)
    st.caption(summary)
    st.header(t("patients.table"), anchor=False)
    shown = scored.head(_SHOWN).drop(columns="error")
    shown["band"] = [t(f"band.{band}") if band else "" for band in shown["band"]]
    page.table(
        shown,
        t("patients.table"),
        formats={
            **dict.fromkeys(("early_risk", "later", "never"), t.percent),
            "percentile": lambda percentile: t.number(percentile, 1),
        },
        height=420,
        column_config={
            "row": t("column.row"),
            "encounter_id": t("column.encounter_id"),
            "patient_nbr": t("column.patient_nbr"),
            "early_risk": t("column.early_risk"),
            "band": t("column.band"),
            "percentile": t("column.percentile"),
            "later": t("class.>30"),
            "never": t("class.NO"),
        },
    )
    if len(scored) > _SHOWN:
        st.caption(t("patients.first", shown=t.number(_SHOWN), rows=t.number(len(scored))))


def _histogram(t: Texts, risks: list[float]) -> list[dict[str, Any]]:
    """Counts in bins of equal width, a whole percentage, from 0 to the highest risk."""
    width = max(1, math.ceil(100 * max(risks) / _BINS)) / 100
    counts = Counter(int(risk / width) for risk in risks)
    return [
        {
            "low": index * width,
            "high": (index + 1) * width,
            "count": counts[index],
            "text": f"{_span(t, index * width, (index + 1) * width)}: {t.number(counts[index])}",
        }
        for index in range(max(counts) + 1)
    ]


def _span(t: Texts, low: float, high: float) -> str:
    return f"{t.percent(low, 0)}{DASH}{t.percent(high, 0)}"


def _listed(t: Texts, numbers: list[int]) -> str:
    more = "; …" if len(numbers) > _NUMBERS else ""
    return "; ".join(map(t.number, numbers[:_NUMBERS])) + more


def _refused(t: Texts, refused: pd.DataFrame, faults: dict[str, list[int]]) -> None:
    st.header(t("patients.failed"), anchor=False)
    st.caption(t("patients.failed_text"))
    rows = [
        {
            t("column.reason"): spreadsheet.cell(fault),
            t("column.rows"): len(numbers),
            t("column.row_numbers"): _listed(t, numbers),
        }
        for fault, numbers in sorted(faults.items(), key=lambda one: -len(one[1]))
    ]
    page.table(rows, t("patients.failed"), formats={t("column.rows"): t.number})
    identifiers = [name for name in ("encounter_id", "patient_nbr") if name in refused]
    with st.expander(t("patients.failed_rows")):
        page.table(
            refused.sort_values("row").head(_SHOWN)[["row", *identifiers, "error"]],
            t("patients.failed_rows"),
            column_config={
                "row": t("column.row"),
                "encounter_id": t("column.encounter_id"),
                "patient_nbr": t("column.patient_nbr"),
                "error": t("column.reason"),
            },
        )
