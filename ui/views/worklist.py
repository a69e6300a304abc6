"""The worklist: the stays of a scored file by risk, an export for a spreadsheet, and what was done about each."""

from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd
import streamlit as st
from readmission.client import ApiProblem
from readmission.domain import spreadsheet

from ui.services import worklist
from ui.texts import Texts
from ui.views import entrance, page, patients

_SHOWN: Final = 1000  # rows of the table and stays to choose from; the export has all
_IDENTIFIERS: Final = ("encounter_id", "patient_nbr")


def show() -> None:
    t = page.texts()
    page.heading(t, "worklist")
    known = patients.take(t) or patients.kept()
    if known is None:
        st.info(t("worklist.empty"), icon=":material/info:")
        return
    page.synthetic(t, known["data_kind"])
    table: pd.DataFrame = known["table"]
    stays = table[table["error"] == ""]
    bands = _bands(t, stays)
    listed = stays[stays["band"].isin(bands)] if bands is not None else stays
    above = st.container()
    with page.explained(t):
        _feedback(t, known, listed)
    with above:
        _listed(t, listed, known["marks"])
        _download(t, listed, known["marks"])
    if refused := len(table) - len(stays):
        st.caption(t("worklist.refused", count=t.number(refused)))
    st.caption(t("patients.kept"))


def _bands(t: Texts, stays: pd.DataFrame) -> list[str] | None:
    """The bands that are chosen; None if the model has none."""
    present = [band for band in worklist.BANDS if (stays["band"] == band).any()]
    if not present:
        return None
    count = stays["band"].value_counts()
    chosen: list[str] = st.pills(
        t("worklist.bands"),
        present,
        selection_mode="multi",
        default=present,
        format_func=lambda band: f"{t(f'band.{band}')} ({t.number(int(count[band]))})",
        key="worklist_bands",
    )
    return chosen


def _listed(t: Texts, listed: pd.DataFrame, marks: dict[int, dict[str, str]]) -> None:
    if listed.empty:
        st.info(t("worklist.none"), icon=":material/info:")
        return
    contacted = sum(marks.get(int(row), {}).get("outcome") == "contacted" for row in listed["row"])
    st.caption(t("worklist.count", count=t.number(len(listed)), contacted=t.number(contacted)))
    shown = listed.head(_SHOWN)
    names = [name for name in _IDENTIFIERS if name in shown]
    shown = shown[["row", *names, "early_risk", "band", "percentile"]].copy()
    shown["band"] = [t(f"band.{band}") if band else "" for band in shown["band"]]
    shown["done"] = [_done(t, marks.get(int(row))) for row in shown["row"]]
    # The table has a download of its own.
    shown["reason"] = [spreadsheet.cell(marks.get(int(row), {}).get("reason", "")) for row in shown["row"]]
    page.table(
        shown,
        t("worklist.table"),
        formats={"early_risk": t.percent, "percentile": lambda percentile: t.number(percentile, 1)},
        height=420,
        column_config={name: _heading(t, name) for name in shown.columns},
    )
    if len(listed) > _SHOWN:
        st.caption(t("patients.first", shown=t.number(_SHOWN), rows=t.number(len(listed))))


def _heading(t: Texts, name: str) -> str:
    return t(f"column.{name}")


def _done(t: Texts, mark: dict[str, str] | None) -> str:
    return t(f"worklist.outcome.{mark['outcome']}") if mark else ""


def _download(t: Texts, listed: pd.DataFrame, marks: dict[int, dict[str, str]]) -> None:
    names = [name for name in _IDENTIFIERS if name in listed]
    header = [_heading(t, name) for name in ("row", *names)]
    header += [f"{t('column.early_risk')} (%)", *(_heading(t, name) for name in ("band", "done", "reason"))]
    rows: list[list[str | float | None]] = []
    for stay in listed.to_dict("records"):
        mark = marks.get(int(stay["row"]))
        band = t(f"band.{stay['band']}") if stay["band"] else ""
        done = [_done(t, mark), mark["reason"] if mark else ""]
        rows.append(
            [str(stay["row"]), *(str(stay[name]) for name in names), 100 * float(stay["early_risk"]), band, *done]
        )
    st.download_button(
        t("worklist.download"),
        lambda: worklist.export(header, rows, t.language),
        "worklist.csv",
        "text/csv",
        icon=":material/download:",
        on_click="ignore",
        help=t("worklist.help.download"),
    )


def _feedback(t: Texts, known: dict[str, Any], listed: pd.DataFrame) -> None:
    """The form that says what was done about a stay. Raises ApiProblem or ApiUnreachable."""
    if listed.empty:
        return
    labels = {int(stay["row"]): _stay(t, stay) for stay in listed.head(_SHOWN).to_dict("records")}
    rows = sorted(labels, key=lambda row: row in known["marks"])  # what is left to do comes first
    st.header(t("worklist.feedback"), anchor=False)
    with st.form("worklist_feedback", clear_on_submit=True):
        row = st.selectbox(t("worklist.stay"), rows, format_func=lambda row: labels[row], key="worklist_row")
        outcome = st.segmented_control(
            t("worklist.done"),
            worklist.OUTCOMES,
            default=worklist.OUTCOMES[0],
            required=True,
            format_func=lambda outcome: t(f"worklist.outcome.{outcome}"),
            key="worklist_outcome",
        )
        reason = st.text_input(
            t("worklist.reason"),
            max_chars=worklist.LONGEST_REASON,
            help=t("worklist.help.reason"),
            key="worklist_reason",
        )
        if not st.form_submit_button(t("worklist.submit"), type="primary"):
            return
    if not reason.strip():
        st.warning(t("worklist.no_reason"), icon=":material/warning:")
        return
    _send(t, known, row, {"outcome": outcome, "reason": reason.strip()}, labels[row])


def _stay(t: Texts, stay: dict[Any, Any]) -> str:
    named = [f"{_heading(t, name)} {stay[name]}" for name in _IDENTIFIERS if name in stay]
    shown = named or [f"{_heading(t, 'row')} {stay['row']}"]
    band = [t(f"band.{stay['band']}")] if stay["band"] else []
    return " · ".join([*shown, t.percent(float(stay["early_risk"])), *band])


def _send(t: Texts, known: dict[str, Any], row: int, mark: dict[str, str], label: str) -> None:
    request, position = known["requests"][row - 1]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"request_id": request, "position": position, "outcome_at": at, **mark}
    if name := entrance.person().name:
        entry["by"] = name
    try:
        page.gateway().feedback([entry])
    except ApiProblem as error:
        if error.status != 404:
            raise
        page.problem(t, "no_feedback")
        return
    known["marks"][row] = mark
    st.success(t("worklist.marked", stay=label), icon=":material/check:")
