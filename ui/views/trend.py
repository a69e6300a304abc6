"""How the versions developed: what each decision measured between two versions on the same test rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st
from readmission.client import Decision

from ui import charts
from ui.texts import DASH, Texts
from ui.views import decisions, page

_SHOWN: Final = 20  # the newest


def show(t: Texts, known: Sequence[Decision]) -> None:
    """Only differences: log losses of several decisions are of different rows, and a line through them would lie."""
    measured = [(decision, loss) for decision in known if (loss := _difference(decision))][:_SHOWN]
    if not measured:
        return
    st.subheader(t("model.trend"), anchor=False)
    st.caption(t("model.trend_note"))
    rows = [_row(t, decision, loss) for decision, loss in reversed(measured)]
    alt = t("model.trend_alt", count=len(rows))
    page.chart(t, charts.differences(rows, t("model.trend_axis")), alt)
    table = [{t("column.version"): row["name"], t("model.trend_axis"): row["text"]} for row in rows]
    page.as_table(t, table, alt)


def _difference(decision: Decision) -> Mapping[str, float] | None:
    """The difference in log loss with its interval; None without a comparison, or if it is undefined."""
    loss: Mapping[str, float] = (decision["metrics"].get("difference") or {}).get("log_loss") or {}
    return loss if all(loss.get(name) is not None for name in ("value", "low", "high")) else None


def _row(t: Texts, decision: Decision, loss: Mapping[str, float]) -> dict[str, Any]:
    previous = decision["previous_version"] or DASH
    outcome = decisions.kind(t, decision)
    name = t("model.trend_pair", version=decision["version"], previous=previous, decision=outcome)
    written = {part: t.signed(loss[part], 4) for part in ("value", "low", "high")}
    values = {part: loss[part] for part in ("value", "low", "high")}
    return {"name": name, **values, "text": t("model.trend_value", **written)}
