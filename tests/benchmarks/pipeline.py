"""The pipeline run by the state machine, and the same steps as a plain script in one process."""

import contextlib
import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local import stack
from infra.local.commands import pipeline
from tests.benchmarks import deployment, growth, steps
from tests.benchmarks.report import STEPS, Figure
from tests.platforms import Platform

_BATCH = 15_000
_ROWS = 20_000
_FUNCTIONS = ("plan", "ingest", "clean", "check", "train", "report", "promote")
_REPORT = re.compile(r"REPORT .*?\tDuration: ([\d.]+) ms")
_INIT = re.compile(r"Init Duration: ([\d.]+) ms")
_LOGS_SECONDS = 10  # until the log has an execution's last line


@dataclass(frozen=True, slots=True)
class Invocation:
    """When a function ran (epoch, s), with its cold start, and for how long (s)."""

    function: str
    began: float
    ended: float
    init: float


def measure(platform: Platform, folder: Path) -> dict[str, Figure]:
    """Both start with empty databases. The execution is measured twice: with cold and with warm functions.

    It trains each time, although MLflow still has the models of the time before.
    """
    source = deployment.source(platform, _ROWS)
    script = _script(platform, folder, source)
    figures = {}
    for name in ("pipeline_first", "pipeline"):
        deployment.tell(f"state machine, {source} ...")
        platform.empty_databases()
        began, (seconds, transitions) = time.time(), _execute(platform, source)
        ran = _invocations(platform, began)
        figures[name] = Figure(seconds, script, script / seconds)
        figures[f"{name}_share"] = Figure(100 * (1 - covered(ran) / seconds))
        if name == "pipeline_first":
            figures["pipeline_transitions"] = Figure(transitions)
            figures["pipeline_invocations"] = Figure(len(ran))
            for function in _FUNCTIONS:
                its = [one for one in ran if one.function == function]
                starting = sum(one.init for one in its)
                figures |= {f"init_{function}": Figure(starting), f"ran_{function}": Figure(_sum(its) - starting)}
            figures["pipeline_cold"] = Figure(100 * sum(one.init for one in ran) / _sum(ran))
    return figures


def _script(platform: Platform, folder: Path, source: str) -> float:
    deployment.tell(f"plain script, {source} ...")
    platform.empty_databases()
    state = folder / "script.json"
    state.write_text(json.dumps(steps.new_state(source, _BATCH, "script")))
    began = time.perf_counter()
    growth.run_steps(state, deployment.environment(platform, "script"), *STEPS)
    return time.perf_counter() - began


def _execute(platform: Platform, source: str) -> tuple[float, int]:
    """The duration (s) and the number of states entered."""
    deployed, states = stack.get(platform.settings), platform.client("stepfunctions")
    with contextlib.redirect_stdout(sys.stderr):
        began = time.perf_counter()
        pipeline.run(platform.settings, deployed, {"source": source, "batch_size": _BATCH, "force": True})
        seconds = time.perf_counter() - began
    newest = max(
        states.list_executions(stateMachineArn=deployed.pipeline_arn)["executions"], key=lambda one: one["startDate"]
    )
    pages = states.get_paginator("get_execution_history").paginate(executionArn=newest["executionArn"])
    return seconds, sum(event["type"].endswith("StateEntered") for page in pages for event in page["events"])


def _invocations(platform: Platform, since: float) -> list[Invocation]:
    """The invocations of the pipeline's functions, from the REPORT lines in their logs."""
    time.sleep(_LOGS_SECONDS)
    logs = platform.client("logs")
    found = []
    for name in _FUNCTIONS:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/{stack.NAME}/{name}", startTime=int(since * 1000)
        )
        lines = [(event["timestamp"], event["message"]) for page in pages for event in page["events"]]
        found += [invocation_of(name, moment / 1000, line) for moment, line in lines if line.startswith("REPORT ")]
    return found


def invocation_of(function: str, ended: float, line: str) -> Invocation:
    """From a REPORT line, which is written at the end of an invocation."""
    duration, init = _REPORT.search(line), _INIT.search(line)
    assert duration, line
    cold = float(init[1]) / 1000 if init else 0.0
    return Invocation(function, ended - float(duration[1]) / 1000 - cold, ended, cold)


def covered(invocations: Iterable[Invocation]) -> float:
    """Seconds in which at least one of them ran."""
    total, until = 0.0, float("-inf")
    for one in sorted(invocations, key=lambda one: one.began):
        total += max(0.0, one.ended - max(one.began, until))
        until = max(until, one.ended)
    return total


def _sum(invocations: Sequence[Invocation]) -> float:
    return sum(one.ended - one.began for one in invocations)
