"""What it adds to a request to look up the history of its patient: the same handler asked with and without a number."""

import json
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from readmission.domain.contract import NAMES
from readmission.domain.features import FEATURES, features_of
from readmission.pipeline import synthetic
from readmission.scoring.format import FORMAT, FORMAT_VERSION

from tests.benchmarks import cold, deployment, growth, server, steps, subject
from tests.benchmarks.measuring import Subject
from tests.benchmarks.report import Figure
from tests.platforms import Platform

_ROWS, _SEED, _BATCH_SIZE = 100_000, 1, 15_000
_SINGLE, _BATCH = 200, 1000  # different patients
_CALLS = {"row": 200, "batch": 3}


def measure(platform: Platform, folder: Path, rounds: int) -> dict[str, Figure]:
    """On a database of 100,000 stays. The model takes no time, so that the difference is that of the look-up."""
    environment = _load(platform, folder / "history.json")
    scorer = json.dumps(_scorer()).encode()
    with server.serve(server.registry(scorer, sha256(scorer).hexdigest(), "synthetic")) as address:
        environment |= {"MLFLOW_TRACKING_URI": address}
        events = folder / "history-events.json"
        asking = _events()
        events.write_text(json.dumps(asking))
        first = subject.event_of(*asking["row_named"][0])
        added: dict[str, list[float]] = {name: [] for name in _CALLS}
        cold_starts = []
        with Subject("ours", environment, events) as ours:
            for number in range(rounds):
                deployment.tell(f"history, round {number + 1} of {rounds} ...")
                for name, calls in _CALLS.items():
                    took = {
                        asked: median(_asked(ours, f"{name}_{asked}", calls))
                        for asked in ("named", "unnamed")[:: 1 if number % 2 else -1]
                    }
                    added[name].append(took["named"] - took["unnamed"])
                cold_starts.append(cold.start("ours", environment, first))
    return {
        "history": Figure(median(added["row"])),
        "history_batch": Figure(median(added["batch"])),
        "history_cold": Figure(median(cold_starts)),
    }


def _load(platform: Platform, state: Path) -> dict[str, str]:
    """Fill the database. Returns the environment of a function that looks up histories."""
    environment = deployment.environment(platform, "history")
    platform.empty_databases()
    source = f"synthetic:rows={_ROWS},seed={_SEED}"
    state.write_text(json.dumps(steps.new_state(source, _BATCH_SIZE, "history")))
    deployment.tell(f"history: loading {_ROWS:,} rows ...")
    growth.run_steps(state, environment, "plan", "ingest", "clean", "check")
    return environment | {
        "AWS_LAMBDA_FUNCTION_NAME": "readmission-predict",
        "DATABASE_SECRET": "readmission/database/reader",
        "MODEL_NAME": "readmission",
        "PATIENT_HISTORY": "on",
        # Answers must have the history, however busy the machine is.
        "PATIENT_HISTORY_SECONDS": "10",
    }


def _asked(ours: Subject, events: str, calls: int) -> list[float]:
    """The milliseconds of each call."""
    answer = ours.ask("answers", events, calls)
    statuses = answer["body"].count('"history":{"status":"')
    wanted = 0 if events.endswith("unnamed") else _BATCH if events.startswith("batch") else 1
    if statuses != wanted or "unavailable" in answer["body"]:
        raise SystemExit(f"{events}: the histories were not looked up: {answer['body'][:1000]}")
    return [nanoseconds / 1e6 for nanoseconds in answer["took"]]


def _events() -> dict[str, list[tuple[str, str, str]]]:
    """The requests by name: path, body, content type. The patients are the last in the database."""
    rows = [dict(zip(NAMES, row, strict=True)) for row in synthetic.rows(_ROWS, seed=_SEED)][-_BATCH:]
    unnamed: list[dict[str, Any]] = [features_of(row) for row in rows]
    whose = [{name: int(row[name]) for name in ("patient_nbr", "encounter_id")} for row in rows]
    named = [one | who for one, who in zip(unnamed, whose, strict=True)]
    kind = "application/json"
    found = {}
    for name, encounters in (("named", named), ("unnamed", unnamed)):
        found[f"row_{name}"] = [("/predict", json.dumps(one), kind) for one in encounters[:_SINGLE]]
        found[f"batch_{name}"] = [("/predict/batch", json.dumps({"encounters": encounters}), kind)]
    return found


def _scorer() -> dict[str, Any]:
    """A document that gives every encounter the same probabilities."""
    tree = {"columns": [-1], "thresholds": [0], "missing": "r", "values": [0.1, 0.2, 0.7]}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "inputs": [{"name": name, "kind": "number"} for name in FEATURES],
        "classes": ["<30", ">30", "NO"],
        "model": {"type": "forest", "trees": [tree]},
    }
