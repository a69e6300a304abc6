"""The data steps, the export to Parquet and a distributed training with many synthetic rows: seconds, exponents, memory
and disk. The training learns from the first 0.3 of the rows.

Each step runs in its own process and calls the functions' handlers, outside Lambda's limits of memory and time. What
those would be is in the figures: the time of plan at the share of a processor that its memory comes with.
"""

import json
from functools import partial
from pathlib import Path

import psutil

from tests.benchmarks import deployment, distributed, sampling, steps
from tests.benchmarks.growth import exponent, run_steps
from tests.benchmarks.report import SCALE_STEPS, TIMES, Figure
from tests.platforms import Platform

_BATCH = 15_000
# Lambda gives a function with 1,769 MB one processor, and others their share. Plan has 512 MB.
_PLAN_PROCESSORS = 512 / 1769


def measure(platform: Platform, folder: Path, rows: int) -> dict[str, Figure]:
    """`rows` is the largest size; the others are 0.1 and 0.3 of it."""
    sizes = [max(1, rows * times // TIMES[-1]) for times in TIMES]
    by_size = [_measured(platform, folder, size) for size in sizes]
    figures = {}
    for step in SCALE_STEPS:
        seconds, memory = (tuple(one[f"{step} {unit}"] for one in by_size) for unit in ("seconds", "mb"))
        figures[f"scale_{step}"] = Figure(sizes[-1] / seconds[-1], of=seconds)
        figures[f"scale_{step}_exponent"] = Figure(exponent(sizes, seconds), of=seconds)
        figures[f"scale_{step}_rss"] = Figure(memory[-1] / memory[0], of=memory)
    learned = [_learned(size) for size in sizes]
    seconds = tuple(one["train seconds"] for one in by_size)
    figures["scale_distributed"] = Figure(learned[-1] / seconds[-1], of=seconds)
    figures["scale_distributed_exponent"] = Figure(exponent(learned, seconds), of=seconds)
    for process in ("lead", "worker"):
        memory = tuple(one[f"{process} mb"] for one in by_size)
        figures[f"scale_distributed_{process}"] = Figure(memory[-1] / memory[0], of=memory)
    at_lambda = tuple(one["plan cpu"] / _PLAN_PROCESSORS for one in by_size)
    figures["scale_plan_lambda"] = Figure(at_lambda[-1], of=at_lambda)
    figures["scale_check_lambda"] = Figure(by_size[-1]["check seconds"], of=figures["scale_check"].of)
    for name in ("postgres", "localstack"):
        figures[f"scale_{name}"] = Figure(by_size[-1][name], of=tuple(one[name] for one in by_size))
    for name in ("disk", "parquet"):
        bytes_a_row = tuple(one[name] / size for one, size in zip(by_size, sizes, strict=True))
        figures[f"scale_{name}"] = Figure(bytes_a_row[-1], of=bytes_a_row)
    return figures


def _learned(rows: int) -> int:
    """How many of the rows the distributed training learns from."""
    return max(1, rows * 3 // 10)


def _measured(platform: Platform, folder: Path, rows: int) -> dict[str, float]:
    """By name: each step's time (s), processor time (s) and memory (MB); memory of servers (MB); disk (bytes)."""
    name = f"scale-{rows}"
    state, environment = folder / f"{name}.json", deployment.environment(platform, name)
    platform.empty_databases()
    state.write_text(json.dumps(steps.new_state(f"synthetic:rows={rows},seed=1", _BATCH, name)))
    # The peak memory (MB) of the servers: the largest private one of a process of Postgres, and LocalStack's.
    found = {"postgres": 0.0, "localstack": 0.0}
    pids = platform.pids()
    with sampling.repeated(partial(_sample, int(pids["postgres"]), int(pids["localstack"]), found)):
        for step in SCALE_STEPS:
            deployment.tell(f"{rows:,} rows: {step} ...")
            run_steps(state, environment, step)
            took = json.loads(state.read_text())["measured"][step]
            deployment.tell(f"{rows:,} rows: {step} took {took['seconds']:,.1f} s, {took['mb']:,.0f} MB")
        deployment.tell(f"{_learned(rows):,} rows: distributed training ...")
        trained = distributed.measure(environment, folder / f"{name}-job", "synthetic", _learned(rows))
        deployment.tell(f"{_learned(rows):,} rows: distributed training took {trained['train seconds']:,.1f} s")
    document = json.loads(state.read_text())
    for step, measured in document["measured"].items():
        found |= {f"{step} {unit}": value for unit, value in measured.items()}
    found |= trained
    found["disk"] = sum(
        file.stat().st_size
        for file in (Path(platform.variables["LOCAL_DIR"]) / "postgres").rglob("*")
        if file.is_file()
    )
    found["parquet"] = _delete_objects(platform)
    return found


def _sample(postgres: int, localstack: int, peaks: dict[str, float]) -> None:
    for process in psutil.Process(postgres).children(recursive=True):
        try:
            used = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        peaks["postgres"] = max(peaks["postgres"], (used.rss - used.shared) / 2**20)
    peaks["localstack"] = max(peaks["localstack"], psutil.Process(localstack).memory_info().rss / 2**20)


def _delete_objects(platform: Platform) -> int:
    """Deletes what the steps wrote to S3, and returns the bytes of the Parquet files."""
    s3, size = platform.client("s3"), 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=deployment.BUCKETS[0]):
        for entry in page.get("Contents", []):
            size += entry["Size"] if entry["Key"].endswith(".parquet") else 0
            s3.delete_object(Bucket=deployment.BUCKETS[0], Key=entry["Key"])
    return size
