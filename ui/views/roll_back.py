"""Rolls back to an earlier version, after a confirmation."""

from collections.abc import Sequence

import streamlit as st
from readmission.client import Decision

from ui.services import aws, configuration, promotions
from ui.texts import DASH, Texts
from ui.views import page


def show(t: Texts, decisions: Sequence[Decision]) -> None:
    st.header(t("model.roll_back"), anchor=False)
    current = promotions.in_production(decisions)
    production = current["version"] if current else None
    earlier = [version for version in promotions.training_runs(decisions) if version != production]
    if done := st.session_state.pop("rolled_back", None):
        st.success(t("model.rolled_back", **done), icon=":material/undo:")
    if not earlier:
        st.caption(t("model.one_version"))
        return
    st.markdown(t("model.roll_back_text"))
    left, right = st.columns([1, 3])
    version = left.selectbox(t("model.to_version"), earlier)
    reason = right.text_input(t("model.reason"), max_chars=300, placeholder=t("model.reason_example"))
    if st.button(t("model.roll_back_button"), icon=":material/undo:"):
        st.session_state["confirming"] = True
    if st.session_state.get("confirming"):
        _confirm(t, version, production or DASH, reason)


def _confirm(t: Texts, version: str, production: str, reason: str) -> None:
    @st.dialog(t("model.confirm"), on_dismiss=_close)
    def dialog() -> None:
        st.markdown(t("model.confirm_text", version=version, serving=production))
        with st.container(horizontal=True):
            yes = st.button(t("model.confirm_yes", version=version), type="primary", key="confirm_yes")
            no = st.button(t("model.confirm_no"), key="confirm_no")
        done = no
        if yes:
            with page.explained(t):
                done = _roll_back(t, version, reason)
        if done:
            _close()
            st.rerun()

    dialog()


def _close() -> None:
    st.session_state.pop("confirming", None)


def _roll_back(t: Texts, version: str, reason: str) -> bool:
    """Whether it was done; a rejection by the function is shown. Raises botocore's errors."""
    function = f"{configuration.load().stack_name}-promote"
    try:
        answer = promotions.roll_back(aws.client("lambda"), function, version, reason)
    except promotions.RollbackRefused as error:
        page.problem(t, "rollback", error=error.error, message=error.message)
        return False
    st.session_state["rolled_back"] = {"version": answer["version"], "previous": answer["previous_version"]}
    return True
