"""Scoring jobs: a night's discharges by one command, and a large file beside a loop over `mlflow.pyfunc`."""

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from readmission.domain.contract import NAMES
from readmission.domain.features import inputs_of
from readmission.pipeline import synthetic

from infra.local import stack
from infra.local.commands import pipeline
from tests.benchmarks import deployment, encounters, model
from tests.benchmarks.cold import ROOT
from tests.benchmarks.report import Figure
from tests.platforms import Platform

_NIGHT = 5_000
_LEARNED = 20_000
_SEED = 1
_SHARE = 10  # the smaller size is this part of the larger one
_PEER_ROWS = 50
_PATIENT = NAMES.index("patient_nbr")


def measure(platform: Platform, temporary: Path, folder: Path, rows: int, rounds: int) -> dict[str, Figure]:
    """`rows` are those of the larger file. The model is kept in `folder` and reused."""
    trained, inputs = _model(folder, temporary)
    found = [_job(trained.folder, temporary, size) for size in (rows // _SHARE, rows)]
    ours = found[1]["rows"] / found[1]["worked"]
    peer = median(_peer(trained.folder, inputs) for _ in range(rounds))
    memory = tuple(one["mb"] for one in found)
    return _night(platform, temporary) | {
        "score_rows": Figure(ours, peer, ours / peer),
        "score_seconds": Figure(found[1]["seconds"], of=tuple(one["seconds"] for one in found)),
        "score_rss": Figure(memory[1] / memory[0], of=memory),
    }


def _night(platform: Platform, temporary: Path) -> dict[str, Figure]:
    """`make score` with cold and with warm functions; the histories of the patients are looked up."""
    deployment.tell(f"training on {_LEARNED:,} rows on the platform ...")
    platform.empty_databases()
    with contextlib.redirect_stdout(sys.stderr):
        request = {"source": f"synthetic:rows={_LEARNED},seed={_SEED}", "models": ["gradient_boosting"]}
        pipeline.run(platform.settings, stack.get(platform.settings), request)
    file = temporary / "night.csv"
    later = (
        [str(9_000_000_000 + place), *row[1:]]
        for place, row in enumerate(islice(synthetic.rows(_LEARNED, seed=_SEED), _NIGHT))
    )
    _write(file, NAMES, later)
    took = []
    for _ in range(2):
        deployment.tell(f"make score with {_NIGHT:,} stays ...")
        began = time.perf_counter()
        platform.run("score", "--source", str(file))
        took.append(time.perf_counter() - began)
    return {"score_night_cold": Figure(took[0]), "score_night": Figure(took[1])}


def _model(folder: Path, temporary: Path) -> tuple[model.Model, Path]:
    """The model, and a file with rows of its inputs for the peer."""
    known = encounters.read(_LEARNED, None)
    if model.is_in(folder):
        trained = model.read(folder)
    else:
        deployment.tell(f"training on {_LEARNED:,} encounters ...")
        folder.mkdir(parents=True, exist_ok=True)
        trained = model.make(known.table, folder)
    inputs = temporary / "score-inputs.json"
    inputs.write_text(json.dumps([list(inputs_of(one).values()) for one in known.fields[-_PEER_ROWS:]]))
    return trained, inputs


def _job(folder: Path, temporary: Path, rows: int) -> dict[str, Any]:
    """A job over so many rows in a process of its own."""
    file = temporary / f"score-{rows}.csv"
    deployment.tell(f"writing {rows:,} rows ...")
    _write(file, NAMES, ([*row[:_PATIENT], "?", *row[_PATIENT + 1 :]] for row in synthetic.rows(rows, seed=_SEED)))
    deployment.tell(f"scoring {rows:,} rows ...")
    found: dict[str, Any] = json.loads(_run("job_alone", folder, file, temporary / f"job-{rows}"))
    file.unlink()
    return found


def _peer(folder: Path, inputs: Path) -> float:
    found: float = json.loads(_run("alone", "pyfunc-rows", folder, inputs))["found"]
    return found


def _run(program: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-m", f"tests.benchmarks.{program}", *map(str, arguments)]
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    finished = subprocess.run(
        command, cwd=ROOT, env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return finished.stdout


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with file.open("w", newline="") as content:
        writer = csv.writer(content)
        writer.writerow(header)
        writer.writerows(rows)
