"""How each step's time and memory grow with the rows (1, 3 and 10 times), each step in its own process.

Trainings learn from all rows, without the limit that the deployed functions have: an exponent over sizes of which the
largest were cut to the same rows would say nothing.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks import deployment, steps
from tests.benchmarks.cold import DOMAIN, ROOT
from tests.benchmarks.report import STEPS, TIMES, Figure
from tests.platforms import Platform

_BATCH = 15_000
_DATA = ("plan", "ingest", "clean", "check")
# Repeats of the data steps: with few rows they are so short that a busy moment would distort them.
_REPEATS = {1: 9, 3: 5, 10: 3}


def measure(platform: Platform, folder: Path, rows: int) -> dict[str, Figure]:
    """`rows` is the smallest size. The batch size stays the same, so that more rows make more batches."""
    by_size = [_measured(platform, folder, rows * times, min(rows, _BATCH), _REPEATS[times]) for times in TIMES]
    figures = {}
    for step in STEPS:
        seconds, memory = (tuple(one[step][unit] for one in by_size) for unit in ("seconds", "mb"))
        figures[f"growth_{step}"] = Figure(exponent(TIMES, seconds), of=seconds)
        figures[f"growth_{step}_rss"] = Figure(memory[-1] / memory[0], of=memory)
    return figures


def _measured(platform: Platform, folder: Path, rows: int, batch_size: int, times: int) -> dict[str, dict[str, float]]:
    """Each step's time (s) and memory (MB) in its own process; the median for repeated steps."""
    name = f"growth-{rows}"
    state = folder / f"{name}.json"
    environment = deployment.environment(platform, name) | {"MAX_TRAINING_ROWS": str(rows)}
    repeats: list[dict[str, dict[str, float]]] = []
    for number in range(times):
        platform.empty_databases()
        state.write_text(json.dumps(steps.new_state(f"synthetic:rows={rows},seed=1", batch_size, name)))
        for step in _DATA:
            deployment.tell(f"{rows:,} rows: {step}, {number + 1} of {times} ...")
            run_steps(state, environment, step)
        repeats.append(json.loads(state.read_text())["measured"])
    for step in (step for step in STEPS if step not in _DATA):
        deployment.tell(f"{rows:,} rows: {step} ...")
        run_steps(state, environment, step)
    measured: dict[str, dict[str, float]] = json.loads(state.read_text())["measured"]
    for step in _DATA:
        measured[step] = {unit: median(one[step][unit] for one in repeats) for unit in ("seconds", "mb")}
    return measured


def run_steps(state: Path, environment: Mapping[str, str], *names: str) -> None:
    """Runs the steps in one new process. Raises SystemExit with its output when it fails."""
    finished = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.steps", str(state), *names],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(DOMAIN)},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(f"{names}: {finished.stdout[-3000:]}\n{finished.stderr[-3000:]}")


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent b in values = a · sizes^b, by least squares on the logarithms."""
    x, y = ([math.log(one) for one in some] for some in (sizes, values))
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    pairs = [(one - middle_x, other - middle_y) for one, other in zip(x, y, strict=True)]
    return sum(one * other for one, other in pairs) / sum(one * one for one, _ in pairs)
