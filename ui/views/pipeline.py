"""Starts pipeline executions, follows the running one, and lists recent ones."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import streamlit as st
from readmission.domain import spreadsheet
from readmission.domain.payloads import DEFAULT_BATCH_SIZE, FAMILIES, MAX_BATCH_SIZE, STAGES
from readmission.pipeline import executions
from readmission.pipeline.executions import Execution, State

from ui.services import aws
from ui.texts import DASH, Texts
from ui.views import entrance, page

_LISTED: Final = 10
_EVERY_SECONDS: Final = 1.5
_SOURCES: Final = ("default", "synthetic", "address")
_ICONS: Final = {
    "RUNNING": ":blue[:material/progress_activity:]",
    "SUCCEEDED": ":green[:material/check_circle:]",
    "FAILED": ":red[:material/cancel:]",
    "TIMED_OUT": ":red[:material/timer_off:]",
    "ABORTED": ":red[:material/block:]",
    "PENDING_REDRIVE": ":blue[:material/pending:]",
}


def show() -> None:
    t = page.texts()
    page.heading(t, "pipeline")
    left, right = st.columns([2, 3], gap="large")
    with left, page.explained(t):
        _form(t)
    with right, page.explained(t):
        _watch(t)
    with page.explained(t):
        _last(t)


# ---------------------------------------------------------------- new execution
def _form(t: Texts) -> None:
    st.header(t("pipeline.new"), anchor=False)
    if not entrance.person().operates:
        st.caption(t("login.operators_only"))
        return
    kind = st.segmented_control(
        t("pipeline.source"),
        _SOURCES,
        format_func=lambda one: t(f"pipeline.source_{one}"),
        default="default",
        required=True,
        key="pipeline_source",
        persist_state="session",
    )
    source = _source(t, kind)
    batch_size = st.number_input(
        t("pipeline.batch_size"), 1, MAX_BATCH_SIZE, DEFAULT_BATCH_SIZE, step=1000, help=t("pipeline.help.batch_size")
    )
    models = st.pills(
        t("pipeline.models"),
        FAMILIES,
        selection_mode="multi",
        default=FAMILIES,
        wrap=True,
        format_func=lambda family: t(f"family.{family}"),
    )
    columns = st.columns(2)
    start_at = columns[0].selectbox(t("pipeline.start_at"), STAGES, 0, format_func=lambda step: t(f"step.{step}"))
    stop_after = columns[1].selectbox(
        t("pipeline.stop_after"), STAGES, len(STAGES) - 1, format_func=lambda step: t(f"step.{step}")
    )
    force = st.checkbox(t("pipeline.force"), help=t("pipeline.help.force"))
    if st.button(t("pipeline.start"), type="primary", icon=":material/play_arrow:", width="stretch"):
        _start(
            t,
            {
                **({"source": source} if source is not None else {}),
                "batch_size": batch_size,
                "models": models,
                "start_at": start_at,
                "stop_after": stop_after,
                **({"force": True} if force else {}),
            },
        )


def _source(t: Texts, kind: str) -> str | None:
    if kind == "synthetic":
        columns = st.columns(2)
        rows = columns[0].number_input(t("pipeline.rows"), 100, 1_000_000, 6000, step=1000)
        seed = columns[1].number_input(t("pipeline.seed"), 0, 1_000_000, 4)
        st.caption(t("pipeline.synthetic"))
        return f"synthetic:rows={rows},seed={seed}"
    if kind == "address":
        return st.text_input(t("pipeline.address"), placeholder="s3://bucket/key.zip", help=t("pipeline.help.address"))
    st.caption(t("pipeline.default"))
    return None


def _start(t: Texts, request: dict[str, Any]) -> None:
    """Raises `PermissionError`, or botocore's errors."""
    who = entrance.person()
    if not who.operates:
        raise PermissionError("operator")
    if who.name:
        request["by"] = who.name
    if problem := _problem(request):
        page.problem(t, problem)
        return
    arn = executions.start(aws.client("stepfunctions"), page.stack().pipeline_arn, request)
    st.session_state["watched"] = arn


def _problem(request: dict[str, Any]) -> str | None:
    """The problem with a request that the form allows but the pipeline rejects; everything else the form rules out."""
    if "source" in request and not request["source"].strip():
        return "request_source"
    if not request["models"]:
        return "request_models"
    if STAGES.index(request["stop_after"]) < STAGES.index(request["start_at"]):
        return "request_steps"
    return None


# ---------------------------------------------------------------- current execution
def _watch(t: Texts) -> None:
    arn = st.session_state.get("watched")
    if arn is None:
        # By default the newest, from any user.
        newest = executions.newest(aws.client("stepfunctions"), page.stack().pipeline_arn, 1)
        if not newest:
            st.header(t("pipeline.watch"), anchor=False)
            st.info(t("pipeline.none"))
            return
        arn = newest[0]
    running = executions.describe(aws.client("stepfunctions"), arn).status == executions.RUNNING

    @st.fragment(run_every=_EVERY_SECONDS if running else None)
    def live() -> None:
        with page.explained(t):
            execution = executions.describe(aws.client("stepfunctions"), arn)
            _execution(t, execution, executions.states(aws.client("stepfunctions"), arn))
            if running and execution.status != executions.RUNNING:
                st.rerun()  # updates the recent executions and stops polling

    live()


def _execution(t: Texts, execution: Execution, states: list[State]) -> None:
    now = datetime.now(UTC)
    st.header(t("pipeline.watch"), anchor=False)
    status = t(f"status.{execution.status}")
    st.markdown(
        t(
            "pipeline.execution",
            icon=_ICONS[execution.status],
            status=status,
            name=execution.name[:8],
            time=t.seconds(execution.seconds(now)),
            started=t.moment(execution.started),
        )
    )
    _why(t, execution)
    reached = {state.name: state for state in states}
    for name in executions.STATES:
        if state := reached.get(name):
            _state(t, state, execution, now)
        elif execution.status == executions.RUNNING:
            st.markdown(f":gray[:material/radio_button_unchecked: {t(f'state.{name}')}]")
    if execution.error:
        message = execution.message or DASH
        if known := _explained(t, execution):
            message = f"{known}\n\n{t.translation('execution.original', message=message)}"
        page.problem(t, "execution", step=_step(t, execution), error=execution.error, message=message)
    _shortfalls(t, execution)


def _why(t: Texts, execution: Execution) -> None:
    """Who or what started the execution and why, and why it did less than it might have."""
    # As plain text: names and reasons may come from anybody, and must not be read as Markdown.
    st.text(f"{t('column.started_by')}: {_starter(t, execution)}")
    if reason := execution.request.get("reason"):
        st.text(t("pipeline.reason", reason=reason))
    if execution.skipped:
        st.info(t("pipeline.skipped_text"))
        st.text(t.translation("execution.original", message=execution.skipped) if t.translates else execution.skipped)
    elif execution.decided_by_execution:
        st.info(t("pipeline.unchanged_text", execution=execution.decided_by_execution))


def _starter(t: Texts, execution: Execution) -> str:
    """The name of the person, or what started the execution."""
    name = execution.request.get("by")
    if isinstance(name, str) and name:
        return name
    return t(f"actor.{execution.started_by}") if execution.started_by else DASH


def _state(t: Texts, state: State, execution: Execution, now: datetime) -> None:
    failed = execution.error is not None and state.exited is None
    icon = _ICONS["FAILED" if failed else "SUCCEEDED" if state.exited else "RUNNING"]
    facts = [t.seconds(state.seconds(execution.ended or now))]
    if state.of is not None:
        facts.insert(0, t("pipeline.done", done=state.done, of=state.of))
    facts += [t(f"fact.{name}", count=t.number(count)) for name, count in state.facts.items()]
    st.markdown(f"{icon} **{t(f'state.{state.name}')}** · {' · '.join(facts)}")
    if state.of and not state.exited and not failed:
        st.progress(state.done / state.of)


# ---------------------------------------------------------------- recent executions
def _last(t: Texts) -> None:
    st.header(t("pipeline.last"), anchor=False)
    arns = executions.newest(aws.client("stepfunctions"), page.stack().pipeline_arn, _LISTED)
    if not arns:
        st.caption(t("pipeline.none"))
        return
    last = [_ended(arn) for arn in arns]
    rows = [
        {
            t("column.started"): t.moment(one.started),
            t("column.status"): t(f"status.{one.status}"),
            t("column.duration"): t.seconds(one.seconds()),
            t("column.rows"): t.number(one.rows) if one.rows is not None else DASH,
            t("column.started_by"): spreadsheet.cell(_starter(t, one)),
            t("column.outcome"): _outcome(t, one),
            # Streamlit offers every table as a CSV.
            t("column.source"): spreadsheet.cell(str(one.request.get("source") or t("pipeline.source_default"))),
        }
        for one in last
    ]
    wide = {t("column.outcome"): st.column_config.TextColumn(width="medium")}
    page.table(rows, t("pipeline.last"), column_config=wide)
    for one in last:
        if one.error:
            with st.expander(t("pipeline.failed", started=t.moment(one.started), error=one.error)):
                st.markdown(t("pipeline.failed_text", step=_step(t, one), error=one.error))
                if known := _explained(t, one):
                    st.markdown(known)
                st.code(one.message or DASH, language=None, wrap_lines=True)
        elif one.shortfalls:
            with st.expander(t("pipeline.incomplete_title", started=t.moment(one.started))):
                _shortfalls(t, one)


def _shortfalls(t: Texts, execution: Execution) -> None:
    """What failed without failing the execution."""
    for one in execution.shortfalls:
        family = t(f"family.{one.family}") if one.family else ""
        message = t.translation_or(f"error.{one.error}", one.message) if t.translates else one.message
        st.warning(t(f"pipeline.without_{one.what}", family=family, error=one.error, message=message))


def _explained(t: Texts, execution: Execution) -> str:
    """What the error means, in a language other than English, which its own message is in; empty if it is unknown."""
    return t.translation_or(f"error.{execution.error}", "") if t.translates else ""


def _step(t: Texts, execution: Execution) -> str:
    """The step that failed, by the page's name if it is one of the pipeline's stages."""
    return t.get(f"step.{execution.step}", execution.step or DASH)


def _ended(arn: str) -> Execution:
    """The execution; an ended one is read once, as it no longer changes."""
    known: dict[str, Execution] = st.session_state.setdefault("executions", {})
    if arn not in known:
        client = aws.client("stepfunctions")
        found = executions.describe(client, arn)
        if found.status == executions.RUNNING:
            return found
        known[arn] = replace(found, rows=executions.rows(client, arn))
    return known[arn]


def _outcome(t: Texts, execution: Execution) -> str:
    outcome = _decided(t, execution)
    return t("pipeline.incomplete", outcome=outcome) if execution.shortfalls else outcome


def _decided(t: Texts, execution: Execution) -> str:
    if execution.error:
        return execution.error
    if execution.skipped:
        return t("pipeline.skipped")
    if execution.decision:
        decision = t(f"decision.{execution.decision}")
        return t("pipeline.unchanged", decision=decision) if execution.decided_by_execution else decision
    if execution.status == executions.RUNNING:
        return DASH
    return t("pipeline.no_decision", step=t(f"step.{execution.request.get('stop_after', 'promote')}"))
