"""The inference API against the same application with `mlflow.pyfunc`, and its scorer against other runtimes.

Trains one model (on synthetic encounters, or on the archive that DIABETES_DATA names), and serves it in a process of
each.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from readmission.domain.features import FEATURES, INPUTS, inputs_of
from readmission.scoring import scorer

from tests.benchmarks import cold, encounters, measuring, model, over_http, server, subject
from tests.benchmarks.cold import DOMAIN, ROOT
from tests.benchmarks.report import Figure

_BATCH = 1000
_SINGLE = 200  # different rows, so that the processor's cache does not help
_MANY = 20_000
_CALLS = {"sklearn": 100, "onnx": 1000}


def measure(temporary: Path, folder: Path, rows: int, rounds: int) -> tuple[dict[str, Figure], dict[str, str]]:
    """The figures, and facts about the model, which is kept in `folder` and reused."""
    archive = os.environ.get("DIABETES_DATA")
    kind = "real" if archive else "synthetic"
    pages: dict[str, bytes] = {"/archive.zip": Path(archive).read_bytes()} if archive else {}
    with server.serve(pages) as address:
        known = encounters.read(rows, f"{address}/archive.zip" if archive else None)
        if model.is_in(folder):
            trained = model.read(folder)
        else:
            print(f"bench       training on {len(known.fields):,} {kind} encounters ...", file=sys.stderr, flush=True)
            folder.mkdir(parents=True, exist_ok=True)
            trained = model.make(known.table, folder)
        pages |= server.registry(trained.scorer, trained.scorer_sha256, kind)
        asking = _events(known.fields)
        events, first_event = temporary / "events.json", subject.event_of(*asking["row_14"][0])
        events.write_text(json.dumps(asking))
        environment = _environment(address, trained.folder, kind)
        figures = measuring.measure(environment, events, first_event, rounds)
        inputs = temporary / "rows.json"
        some = [list(inputs_of(one).values()) for one in known.fields[-_SINGLE:]]
        inputs.write_text(json.dumps(some))
        for name in ("sklearn", "onnx"):
            figures |= _beside(name, figures, trained, some, inputs, rounds)
        figures |= _together(trained, known.fields, temporary / "many.json", rounds)
        figures |= over_http.measure(environment, trained.folder / model.PYFUNC, known.fields[-_SINGLE:])
    return figures, _about(trained, kind)


def _beside(
    name: str, figures: Mapping[str, Figure], trained: model.Model, rows: list[list[Any]], inputs: Path, rounds: int
) -> dict[str, Figure]:
    """The times of the model alone in another runtime, in new processes."""
    if name == "onnx":
        _alone("onnx-export", trained.folder, inputs)
    took, rates, memory, starts = [], [], [], []
    for _ in range(rounds):
        began = time.time()
        found = json.loads(_alone(name, trained.folder, inputs, str(_CALLS[name])))
        starts.append(found["started"] - began)
        took.append(median(found["took"]) / 1e6)
        rates.append(len(found["took"]) / found["worked"])
        memory.append(found["mb"])
    _must_agree(name, found["first"], _scored(trained, rows[0]))
    beside = {}
    for what, its in (("scorer", median(took)), ("cold", median(starts)), ("rss", median(memory))):
        beside[f"{what}_{name}"] = Figure(figures[what].ours, its, its / figures[what].ours)
    ours, its = figures["per_core"].ours, median(rates)
    return beside | {f"per_core_{name}": Figure(ours, its, ours / its)}


def _together(trained: model.Model, fields: list[dict[str, Any]], inputs: Path, rounds: int) -> dict[str, Figure]:
    """Two versions asked for one row, and many rows scored at once, each in new processes."""
    inputs.write_text(json.dumps([list(inputs_of(one).values()) for one in fields[-_MANY:]]))
    found: dict[str, list[float]] = {"vectorised": [], "pyfunc": [], "pyfunc-rows": [], "shadow": []}
    for _ in range(rounds):
        for kind, values in found.items():
            values.append(json.loads(_alone(kind, trained.folder, inputs))["found"])
    ours, table, rows, shadow = (median(values) for values in found.values())
    return {
        "shadow": Figure(shadow),
        "vectorised": Figure(ours, table, ours / table),
        "vectorised_rows": Figure(ours, rows, ours / rows),
    }


def _scored(trained: model.Model, row: list[Any]) -> list[float]:
    """Our probabilities for a row of `INPUTS`."""
    ours, known = scorer.load(trained.scorer, trained.scorer_sha256), dict(zip(INPUTS, row, strict=True))
    return ours.probabilities([known[feature] for feature in ours.features])


def _must_agree(name: str, its: Sequence[float], ours: Sequence[float]) -> None:
    """Times can be compared only if the answers agree; ONNX computes in 32 bits."""
    tolerance = 1e-4 if name == "onnx" else 1e-9
    if not all(abs(one - other) <= tolerance for one, other in zip(its, ours, strict=True)):
        raise SystemExit(f"{name} answers {its}, ours answers {ours}")


def _alone(kind: str, folder: Path, inputs: Path, *times: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.alone", kind, str(folder), str(inputs), *times],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(DOMAIN), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{kind}: {finished.stderr[-3000:]}")
    return finished.stdout


def _events(fields: list[dict[str, Any]]) -> dict[str, list[tuple[str, str, str]]]:
    """The requests by name: path, body, content type."""
    last = fields[-_BATCH:]
    prepared = [{name: one[name] for name in FEATURES} for one in last]
    rows = "/predict", "application/json"
    return {
        "row_14": [(rows[0], json.dumps(one), rows[1]) for one in prepared[:_SINGLE]],
        "row_all": [(rows[0], json.dumps(one), rows[1]) for one in last[:_SINGLE]],
        "batch_json_14": [("/predict/batch", json.dumps({"encounters": prepared}), "application/json")],
        "batch_json_all": [("/predict/batch", json.dumps({"encounters": last}), "application/json")],
        "batch_csv_all": [("/predict/batch", encounters.as_csv(last), "text/csv")],
    }


def _environment(address: str, folder: Path, kind: str) -> dict[str, str]:
    return {
        # Set by the template and the runtime.
        "MLFLOW_TRACKING_URI": address,
        "MODEL_NAME": "readmission",
        "AWS_LAMBDA_FUNCTION_NAME": "readmission-predict",
        "AWS_REGION": "eu-central-1",
        # For the peers.
        "PYFUNC_MODEL": str(folder / model.PYFUNC),
        "DATA_KIND": kind,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # One row is too little work for threads: with two threads scikit-learn takes six times as long.
        "OMP_NUM_THREADS": "1",
    }


def _about(trained: model.Model, kind: str) -> dict[str, str]:
    return {
        "model": f"gradient_boosting on {kind} encounters, {trained.trees:,} trees, {trained.leaves:,} leaves",
        "cold start": f"on the emulator's runtime; packages of ours from {cold.where()}",
    }
