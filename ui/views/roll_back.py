"""Rolls back to an earlier version, after a confirmation that names what would change."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import streamlit as st
from readmission.client import Decision
from readmission.domain.payloads import RollbackRequest

from ui.services import aws, configuration, promotions
from ui.texts import DASH, Texts
from ui.views import entrance, page

# The function's errors, and the problem in the texts that explains each.
REFUSALS: Final = {
    "AlreadyInProduction": "rollback_in_production",
    "DatabaseUnavailable": "rollback_interrupted",
    "InvalidRequest": "rollback_invalid",
    "NothingToRollBack": "rollback_nothing",
    "RollbackNeedsForce": "rollback_needs_force",
    "TrackingUnavailable": "rollback_interrupted",
    "VersionNotFound": "rollback_not_found",
    "VersionUnusable": "rollback_unusable",
}
_FIGURES: Final = {"log_loss": 4, "auc_early": 3, "early_calibration_slope": 2, "early_ece": 3}  # with their digits


def show(t: Texts, decisions: Sequence[Decision]) -> None:
    st.header(t("model.roll_back"), anchor=False)
    current = promotions.in_production(decisions)
    production = current["version"] if current else None
    if done := st.session_state.pop("rolled_back", None):
        st.success(t("model.rolled_back", **done), icon=":material/undo:")
    known, served = promotions.training_runs(decisions), promotions.served(decisions)
    if not set(known) - {production}:
        st.caption(t("model.one_version"))
        return
    if not entrance.person().operates:
        st.caption(t("login.operators_only"))
        return
    st.markdown(t("model.roll_back_text"))
    listed = served
    if set(known) - set(served) and st.checkbox(t("model.never_served_too"), key="never_served_too"):
        listed = list(known)
    left, middle, right = st.columns([1, 1, 2])
    version = left.selectbox(t("model.to_version"), [one for one in listed if one != production])
    # Who has logged in cannot give another name.
    name = entrance.person().name
    by = name or middle.text_input(t("model.by"), max_chars=200, key="rollback_by")
    if name:
        middle.text_input(t("model.by"), name, disabled=True)
    reason = right.text_input(
        t("model.reason"), max_chars=300, placeholder=t("model.reason_example"), key="rollback_reason"
    )
    if st.button(t("model.roll_back_button"), icon=":material/undo:", disabled=version is None):
        if reason.strip() and by.strip():
            st.session_state["confirming"] = True
        else:
            page.problem(t, "rollback_incomplete")
    if version is not None and st.session_state.get("confirming"):
        _confirm(t, decisions, production, RollbackRequest(version=version, reason=reason.strip(), by=by.strip()))


def _confirm(t: Texts, decisions: Sequence[Decision], production: str | None, request: RollbackRequest) -> None:
    """Ask once more. The safe answer is the button that stands out."""
    version = str(request["version"])
    serving = production or DASH

    @st.dialog(t("model.confirm"), width="medium", on_dismiss=_close)
    def dialog() -> None:
        st.markdown(t("model.confirm_text", version=version, serving=serving))
        if production:
            _differences(t, decisions, version, production)
        objections = promotions.needs_force(decisions, version, production)
        for objection in objections:
            st.warning(t(f"model.{objection}", version=version, serving=serving), icon=":material/warning:")
        force = bool(objections) and st.checkbox(t("model.force"), key="confirm_force")
        with st.container(horizontal=True):
            no = st.button(t("model.confirm_no"), type="primary", key="confirm_no")
            blocked = bool(objections) and not force
            yes = st.button(t("model.confirm_yes", version=version), key="confirm_yes", disabled=blocked)
        done = no
        if yes:
            with page.explained(t):
                done = _roll_back(t, request, force=force)
        if done:
            _close()
            st.rerun()

    dialog()


def _differences(t: Texts, decisions: Sequence[Decision], version: str, production: str) -> None:
    """What differs between both versions: data, model family, age, and figures."""
    pair = (production, version)
    figures = [promotions.figures(decisions, one, other) for one, other in (pair, pair[::-1])]
    described = [_described(t, decisions, one, found) for one, found in zip(pair, figures, strict=True)]
    rows = [
        {
            t("model.differences"): name,
            t("model.serving", version=production): described[0].get(name, DASH),
            t("model.target", version=version): described[1].get(name, DASH),
        }
        for name in dict.fromkeys(name for one in described for name in one)
        if described[0].get(name) != described[1].get(name)
    ]
    if rows:
        page.table(rows, t("model.differences"))
    if difference := promotions.differences(decisions, version, production).get("log_loss"):
        interval = {"low": t.signed(difference.low, 4), "high": t.signed(difference.high, 4)}
        value = t.signed(difference.value, 4)
        metric = t("metric.log_loss")
        st.markdown(t("model.difference", metric=metric, one=version, other=production, value=value, **interval))
    elif any(figures):
        st.caption(t("model.other_rows"))


def _described(t: Texts, decisions: Sequence[Decision], version: str, figures: Mapping[str, Any]) -> dict[str, str]:
    """A version in words, by the name of what is described."""
    first = promotions.first_decision(decisions, version)
    if first is None:
        return {}
    kind, family = first["data_kind"], first["family"]
    found = {
        t("column.kind"): t(f"kind.{kind}") if kind else DASH,
        t("column.family"): t(f"family.{family}") if family else DASH,
        t("model.first_decision"): t.moment(datetime.fromisoformat(first["decided_at"])),
    }
    for name, digits in _FIGURES.items():
        if (value := figures.get(name)) is not None:
            found[t(f"metric.{name}")] = _figure(t, t.number(value, digits), figures["rows"])
    return found


def _figure(t: Texts, value: str, rows: Any) -> str:
    return value if rows is None else t("model.on_rows", value=value, rows=t.number(rows))


def _close() -> None:
    st.session_state.pop("confirming", None)


def _roll_back(t: Texts, request: RollbackRequest, *, force: bool) -> bool:
    """Whether it was done; a rejection by the function is shown. Raises `PermissionError`, or botocore's errors."""
    if not entrance.person().operates:
        raise PermissionError("operator")
    function = f"{configuration.load().stack_name}-promote"
    asked = request.copy()
    asked["force"] = force
    try:
        answer = promotions.roll_back(aws.client("lambda"), function, asked)
    except promotions.RollbackRefused as error:
        if name := REFUSALS.get(error.error):
            page.problem(t, name, version=request["version"])
        else:
            page.problem(t, "rollback", error=error.error, message=error.message)
        return False
    st.session_state["rolled_back"] = {"version": answer["version"], "previous": answer["previous_version"]}
    return True
