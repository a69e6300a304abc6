"""What serves: its card and plots, the decisions that led there, two versions beside each other, and going back."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import streamlit as st
from botocore.exceptions import BotoCoreError, ClientError
from readmission.client import ApiProblem, Decision, Figure, ModelDescription
from readmission.telemetry.metrics import SCORES

from ui.services import aws, configuration, promotions
from ui.texts import DASH, Texts
from ui.views import page

_LARGEST_LIMIT: Final = 100
_HEADLINES: Final = ("auc_early", "log_loss", "early_calibration_slope", "early_ece")
_IMAGE: Final = re.compile(r"^!\[(?P<alt>[^\]]*)\]\(plots/(?P<name>\w+)\.png\)$", re.MULTILINE)


def show() -> None:
    t = page.texts()
    page.heading(t, "model")
    with page.explained(t):
        _served(t, page.gateway().model())
    decisions: list[Decision] = []
    with page.explained(t):
        decisions = page.gateway().history(_LARGEST_LIMIT)
    if decisions:
        _history(t, decisions)
        _compare(t, decisions)
        _roll_back(t, decisions)


def _served(t: Texts, model: ModelDescription) -> None:
    page.synthetic(t, model["data_kind"])
    family = t(f"family.{model['family']}")
    st.header(t("model.served", version=model["version"], family=family), anchor=False)
    if model["serves_since"]:
        since = t.moment(datetime.fromisoformat(model["serves_since"]))
        st.markdown(t("model.since", since=since, kind=t(f"kind.{model['data_kind']}"), reason=model["reason"] or DASH))
    for column, name in zip(st.columns(len(_HEADLINES)), _HEADLINES, strict=True):
        if figure := model["test_metrics"].get(name):
            with column.container(border=True):
                st.metric(t(f"metric.{name}"), t.number(figure["value"], 3), help=t(f"metric_help.{name}"))
                st.caption(_interval(t, figure))
    with st.expander(t("model.card")):
        try:
            card = page.gateway().model_card()
        except ApiProblem as error:
            if error.status != 404:
                raise
            st.info(t("model.no_card"))
        else:
            _card(t, card, _plots(model["mlflow_run_id"]))


def _interval(t: Texts, figure: Figure) -> str:
    low, high = figure.get("low"), figure.get("high")
    if low is None or high is None:
        return t("model.no_interval")
    return t("model.interval", low=t.number(low, 3), high=t.number(high, 3))


def _plots(run_id: str) -> dict[str, bytes]:
    """The training's plots; none where AWS cannot be asked, as the card is the gateway's."""
    try:
        return _stored_plots(page.stack().artifact_bucket, run_id)
    except (aws.NotDeployed, BotoCoreError, ClientError):
        return {}


@st.cache_data(max_entries=8, ttl=3600, show_spinner=False)
def _stored_plots(bucket: str, run_id: str) -> dict[str, bytes]:
    client = aws.client("s3")
    folder = promotions.run_folder(client, bucket, run_id)
    return promotions.plots(client, bucket, folder) if folder else {}


def _card(t: Texts, card: str, plots: dict[str, bytes]) -> None:
    """The card's Markdown, whose headings go below the page's, with the plots where it names them."""
    if t.language != "en":
        st.caption(t("model.card_language"))
    start = 0
    card = re.sub(r"^(#+ )", r"##\1", card, flags=re.MULTILINE)
    for image in _IMAGE.finditer(card):
        st.markdown(card[start : image.start()])
        if image["name"] in plots:
            st.image(plots[image["name"]], alt=image["alt"], width="stretch")
        else:
            st.caption(t("model.no_plot", name=image["alt"]))
        start = image.end()
    st.markdown(card[start:])


def _history(t: Texts, decisions: Sequence[Decision]) -> None:
    st.header(t("model.history"), anchor=False)
    rows = [
        {
            t("column.when"): t.moment(datetime.fromisoformat(one["decided_at"])),
            t("column.version"): one["version"],
            t("column.before"): one["previous_version"] or DASH,
            t("column.decision"): t(f"decision.{one['decision'].replace(' ', '_')}"),
            t("column.family"): t(f"family.{one['family']}") if one["family"] else DASH,
            t("column.kind"): t(f"kind.{one['data_kind']}") if one["data_kind"] else DASH,
            t("column.reason"): one["reason"],
        }
        for one in decisions
    ]
    st.dataframe(rows, hide_index=True, alt=t("model.history"))


# ---------------------------------------------------------------- two versions
def _compare(t: Texts, decisions: Sequence[Decision]) -> None:
    st.header(t("model.compare"), anchor=False)
    runs = promotions.trainings(decisions)
    if len(runs) < 2:
        st.caption(t("model.one_version"))
        return
    with page.explained(t):
        versions = list(runs)
        columns = st.columns(2)
        one = columns[0].selectbox(t("model.version_a"), versions, 0)
        other = columns[1].selectbox(t("model.version_b"), versions, 1)
        figures = {version: _figures(page.stack().artifact_bucket, runs[version]) for version in (one, other)}
        names = [name for name in SCORES if name in figures[one] or name in figures[other]]
        rows = [
            {
                t("column.metric"): t(f"metric.{name}"),
                t("column.better"): t(f"better.{name}"),
                **{
                    t("model.version", version=version): _figure(t, figures[version].get(name))
                    for version in dict.fromkeys((one, other))
                },
            }
            for name in names
        ]
        if rows:
            st.dataframe(rows, hide_index=True, alt=t("model.compare"))
        else:
            st.info(t("model.no_figures"))
        st.caption(t("model.compare_note"))
        for name, found in promotions.differences(decisions, one, other).items():
            text = {"value": t.signed(found.value, 4), "low": t.signed(found.low, 4), "high": t.signed(found.high, 4)}
            st.markdown(t("model.difference", metric=t(f"metric.{name}"), one=one, other=other, **text))


@st.cache_data(max_entries=32, ttl=3600, show_spinner=False)
def _figures(bucket: str, run_id: str) -> dict[str, Figure]:
    client = aws.client("s3")
    folder = promotions.run_folder(client, bucket, run_id)
    return promotions.evaluation(client, bucket, folder) if folder else {}


def _figure(t: Texts, figure: Figure | None) -> str:
    if figure is None:
        return DASH
    low, high = figure["low"], figure["high"]
    interval = f" ({t.number(low, 3)}{DASH}{t.number(high, 3)})" if low is not None and high is not None else ""
    return f"{t.number(figure['value'], 3)}{interval}"


# ---------------------------------------------------------------- going back
def _roll_back(t: Texts, decisions: Sequence[Decision]) -> None:
    st.header(t("model.roll_back"), anchor=False)
    serving = promotions.serving(decisions)
    earlier = [version for version in promotions.trainings(decisions) if version != serving]
    if told := st.session_state.pop("rolled_back", None):
        st.success(t("model.rolled_back", **told), icon=":material/undo:")
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
        _confirm(t, version, serving or DASH, reason)


def _confirm(t: Texts, version: str, serving: str, reason: str) -> None:
    @st.dialog(t("model.confirm"), on_dismiss=_leave)
    def ask() -> None:
        st.markdown(t("model.confirm_text", version=version, serving=serving))
        with st.container(horizontal=True):
            yes = st.button(t("model.confirm_yes", version=version), type="primary", key="confirm_yes")
            no = st.button(t("model.confirm_no"), key="confirm_no")
        done = no
        if yes:
            with page.explained(t):
                done = _carry_out(t, version, reason)
        if done:
            _leave()
            st.rerun()

    ask()


def _leave() -> None:
    st.session_state.pop("confirming", None)


def _carry_out(t: Texts, version: str, reason: str) -> bool:
    """Whether it was done; what the function refuses is told. Raises what botocore raises."""
    function = f"{configuration.load().stack_name}-promote"
    try:
        answer = promotions.roll_back(aws.client("lambda"), function, version, reason)
    except promotions.RollbackRefused as error:
        page.problem(t, "rollback", error=error.error, message=error.message)
        return False
    st.session_state["rolled_back"] = {"version": answer["version"], "previous": answer["previous_version"]}
    return True
