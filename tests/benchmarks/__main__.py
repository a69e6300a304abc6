"""`make bench`: the inference API beside the same application with `mlflow.pyfunc`.

Trains one model (on synthetic encounters, or on the archive that DIABETES_DATA names), serves it in a process of each,
and prints what must hold beside what was measured.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before anything loads OpenMP: threads that wait for each other are to sleep, not to spin on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from readmission.features import FEATURES

from tests.benchmarks import cold, encounters, measuring, model, report, server, subject

_PACKAGES = ("fastapi", "starlette", "pydantic", "mangum", "aws-lambda-powertools", "mlflow", "scikit-learn", "pandas")
_BATCH = 1000
_SINGLE = 200  # different rows, so that none is answered out of a processor's cache


def main() -> None:
    asked = _arguments()
    if asked.compare:
        before, after = (json.loads(path.read_text()) for path in asked.compare)
        print(report.comparison(before, after))
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        figures, about = _run(asked, Path(temporary))
    print(report.table(figures, about))
    if asked.json:
        asked.json.write_text(json.dumps(report.document(figures, about), indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="turns of ours and the peer")
    parser.add_argument("--rows", type=int, default=20_000, help="how many encounters to learn from")
    parser.add_argument("--model", type=Path, help="a folder to keep the model in, and to take it from the next time")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="FILE", help="two such files: nothing is measured")
    return parser.parse_args()


def _run(asked: argparse.Namespace, temporary: Path) -> tuple[dict[str, report.Figure], dict[str, str]]:
    archive = os.environ.get("DIABETES_DATA")
    kind = "real" if archive else "synthetic"
    pages: dict[str, bytes] = {"/archive.zip": Path(archive).read_bytes()} if archive else {}
    with server.serve(pages) as address:
        known = encounters.read(asked.rows, f"{address}/archive.zip" if archive else None)
        folder = asked.model or temporary
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
        return measuring.measure(environment, events, first_event, asked.rounds), _about(trained, kind)


def _events(fields: list[dict[str, Any]]) -> dict[str, list[tuple[str, str, str]]]:
    """Requests by what they are for: path, body, type of it."""
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
        # As the template and the runtime set them.
        "MLFLOW_TRACKING_URI": address,
        "MODEL_NAME": "readmission",
        "AWS_LAMBDA_FUNCTION_NAME": "readmission-predict",
        "AWS_REGION": "eu-central-1",
        # The peer's.
        "PYFUNC_MODEL": str(folder / model.PYFUNC),
        "DATA_KIND": kind,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _about(trained: model.Model, kind: str) -> dict[str, str]:
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {platform.platform()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "model": f"gradient_boosting on {kind} encounters, {trained.trees:,} trees, {trained.leaves:,} leaves",
        "cold start": f"on the emulator's runtime; packages of ours from {cold.where()}",
        "command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
