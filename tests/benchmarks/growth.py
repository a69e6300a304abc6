"""How time and memory of each step grow with the rows: 1, 3 and 10 times, each step in a process of its own."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import deployment, steps
from tests.benchmarks.cold import DOMAIN, ROOT
from tests.benchmarks.report import STEPS, Figure
from tests.platforms import Platform

TIMES = (1, 3, 10)
_BATCH = 15_000


def measure(platform: Platform, folder: Path, rows: int) -> dict[str, Figure]:
    """`rows` is the smallest of the three; batches stay as large, so that there are more of them."""
    by_size: list[Mapping[str, Any]] = []
    for times in TIMES:
        deployment.empty(platform)
        state = folder / f"growth-{times}.json"
        source = f"synthetic:rows={rows * times},seed=1"
        state.write_text(json.dumps(steps.new_state(source, min(rows, _BATCH), f"growth-{times}")))
        environment = deployment.environment(platform, f"growth-{times}")
        for step in STEPS:
            deployment.tell(f"{rows * times:,} rows: {step} ...")
            run_steps(state, environment, step)
        by_size.append(json.loads(state.read_text())["measured"])
    figures = {}
    for step in STEPS:
        seconds, memory = ([one[step][unit] for one in by_size] for unit in ("seconds", "mb"))
        figures[f"growth_{step}"] = Figure(exponent(TIMES, seconds))
        figures[f"growth_{step}_rss"] = Figure(memory[-1] / memory[0])
        figures[f"growth_{step}_seconds"] = Figure(seconds[-1])
    return figures


def run_steps(state: Path, environment: Mapping[str, str], *names: str) -> None:
    """In one new process. Raises SystemExit with what it wrote when it fails."""
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
    """The b of values = a sizes^b, by least squares of the logarithms."""
    x, y = ([math.log(one) for one in some] for some in (sizes, values))
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    pairs = [(one - middle_x, other - middle_y) for one, other in zip(x, y, strict=True)]
    return sum(one * other for one, other in pairs) / sum(one * one for one, _ in pairs)
