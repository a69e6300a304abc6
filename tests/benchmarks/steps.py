"""The pipeline's steps as a plain script: `python -m tests.benchmarks.steps state.json STEP...`

Each step calls the handlers that the state machine calls, one after the other, in this process. What a step leaves for
the next, and what it took, is in the state file.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.benchmarks.report import FAMILIES
from tests.benchmarks.subject import Context, peak_mb

type State = dict[str, Any]

_FUNCTIONS = Path(__file__).parents[2] / "functions"
_loaded: dict[str, ModuleType] = {}


def new_state(source: str, batch_size: int, execution: str) -> State:
    request = {"source": source, "batch_size": batch_size, "models": list(FAMILIES)}
    event = {"execution": execution, "started_at": "2026-01-01T00:00:00Z", "input": request}
    return {"event": event, "candidates": [], "measured": {}}


def load(function: str) -> ModuleType:
    """The function's module, imported once."""
    if function not in _loaded:
        path = Path(__file__).with_name("export.py") if function == "export" else _FUNCTIONS / function / "app.py"
        spec = importlib.util.spec_from_file_location(f"{function}_app", path)
        assert spec and spec.loader
        _loaded[function] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(_loaded[function])
    return _loaded[function]


def _call(function: str, state: State, **event: Any) -> Any:
    return load(function).handler({"execution": state["event"]["execution"], **event}, Context())


def _plan(state: State) -> None:
    state["plan"] = load("plan").handler(state["event"], Context())


def _batches(function: str) -> Callable[[State], None]:
    def run(state: State) -> None:
        took = state["batches"] = []
        for batch in state["plan"]["batches"]:
            began = time.perf_counter()
            _call(function, state, manifest=state["plan"]["manifest"], batch=batch)
            took.append(time.perf_counter() - began)

    return run


def _check(state: State) -> None:
    _call("check", state, manifest=state["plan"]["manifest"])


def _train(family: str) -> Callable[[State], None]:
    def run(state: State) -> None:
        trained = _call("train", state, data_kind=state["plan"]["data_kind"], model=family)
        state["candidates"].append(trained)

    return run


def _export(state: State) -> None:
    _call("export", state, data_kind=state["plan"]["data_kind"])


def _report(state: State) -> None:
    for candidate in state["candidates"]:
        _call("report", state, task="plots", **candidate)


def _promote(state: State) -> None:
    plan, kind = state["plan"], state["plan"]["data_kind"]
    promotion = _call("promote", state, data_kind=kind, models=plan["models"], candidates=state["candidates"])
    _call("report", state, task="card", data_kind=kind, promotion=promotion)


# The steps by name, with the functions they import.
STEPS: dict[str, tuple[Callable[[State], None], tuple[str, ...]]] = {
    "plan": (_plan, ("plan",)),
    "ingest": (_batches("ingest"), ("ingest",)),
    "clean": (_batches("clean"), ("clean",)),
    "check": (_check, ("check",)),
    "export": (_export, ("export",)),
    **{f"train {family}": (_train(family), ("train",)) for family in FAMILIES},
    "report": (_report, ("report",)),
    "promote": (_promote, ("promote", "report")),
}


def main() -> None:
    _, file, *steps = sys.argv
    path = Path(file)
    state = json.loads(path.read_text())
    for name in steps:
        run, functions = STEPS[name]
        for function in functions:
            load(function)
        began, busy = time.perf_counter(), time.process_time()
        run(state)
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
        state["measured"][name] = {"seconds": seconds, "cpu": cpu, "mb": peak_mb()}
    path.write_text(json.dumps(state))


if __name__ == "__main__":
    main()
