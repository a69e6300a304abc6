"""`make bench`: the speed and memory of each part of the project, measured side by side with its peers in one run.

Parts that need servers start a platform of their own. The table shows each figure with its threshold.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from importlib.metadata import version
from pathlib import Path

# Set before anything loads OpenMP: waiting threads must sleep, because spinning slows down a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from infra.local import environment
from infra.local.servers import postgres
from tests.arguments import positive
from tests.benchmarks import (
    concurrency,
    deployment,
    growth,
    history,
    ingest,
    pages,
    pipeline,
    prediction,
    report,
    scale,
    score,
)
from tests.benchmarks.cold import ROOT
from tests.benchmarks.report import ON_REQUEST, PARTS, Figure
from tests.platforms import Platform

_PACKAGES = (
    *("fastapi", "starlette", "pydantic", "mangum", "aws-lambda-powertools", "mlflow", "scikit-learn", "pandas"),
    *("onnxruntime", "pg8000", "sqlalchemy"),
)


def main() -> int:
    """Exits 1 if a threshold is missed."""
    asked = _arguments()
    if asked.compare:
        print(report.comparison(*map(report.read, asked.compare)))
        return 0
    environment.isolate()
    signal.signal(signal.SIGTERM, _end)
    figures: dict[str, Figure] = {}
    about = _about(asked)
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as temporary, ExitStack() as stack:
            for found, more in _run(asked, Path(temporary), stack):
                figures |= found
                about |= more
                _write(asked.json, figures, about)
    finally:  # a part that fails must not hide the figures of the parts before it
        if figures:
            print(report.table(figures, about))
    broken = report.broken(figures, asked.only)
    if broken:
        print(f"\nMissed thresholds: {'; '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def _end(*_: object) -> None:
    """Stop the servers once; ignore further signals meanwhile."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        type=_parts,
        default=[part for part in PARTS if part not in ON_REQUEST],
        help=f"parts to run, from {','.join(PARTS)}; without it, all but {','.join(ON_REQUEST)}",
    )
    parser.add_argument("--rounds", type=positive, default=7, help="how often ours and the peers take turns")
    parser.add_argument("--rows", type=positive, default=20_000, help="encounters to train the model on")
    parser.add_argument(
        "--growth-rows", type=positive, default=10_000, help="the smallest size; the others are 3 and 10 times as large"
    )
    parser.add_argument(
        "--scale-rows", type=positive, default=1_000_000, help="the largest size; the others are 0.1 and 0.3 of it"
    )
    parser.add_argument("--model", type=Path, help="a folder that keeps the model for the next run")
    parser.add_argument("--json", type=_file, help="a file for the figures")
    parser.add_argument(
        "--compare", type=Path, nargs=2, metavar="FILE", help="compare two such files instead of measuring"
    )
    return parser.parse_args()


def _file(text: str) -> Path:
    path = Path(text)
    if not path.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.absolute().parent} is not a folder")
    return path


def _parts(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def _run(
    asked: argparse.Namespace, temporary: Path, stack: ExitStack
) -> Iterator[tuple[dict[str, Figure], dict[str, str]]]:
    """Yields each part's figures, and facts about what they were measured on."""
    deployed = not {"pipeline", "concurrency", "pages", "score"}.isdisjoint(asked.only)

    @cache
    def servers() -> Platform:
        folder = temporary / "platform"
        folder.mkdir()
        temporary.chmod(0o711)
        return stack.enter_context(deployment.running(folder, deployed))

    measures: dict[str, Callable[[], dict[str, Figure]]] = {
        "history": lambda: history.measure(servers(), temporary, asked.rounds),
        "ingest": lambda: ingest.measure(servers(), temporary, asked.rounds),
        "pipeline": lambda: pipeline.measure(servers(), temporary),
        "growth": lambda: growth.measure(servers(), temporary, asked.growth_rows),
        "scale": lambda: scale.measure(servers(), temporary, asked.scale_rows),
        "score": lambda: score.measure(
            servers(), temporary, asked.model or temporary, asked.scale_rows, min(asked.rounds, 3)
        ),
        "pages": lambda: pages.measure(servers(), temporary, asked.rounds),
        "concurrency": lambda: concurrency.measure(servers(), temporary, asked.rounds),
    }
    for name in asked.only:
        if name == "prediction":
            yield prediction.measure(temporary, asked.model or temporary, asked.rows, asked.rounds)
        else:
            yield measures[name](), {}


def _write(file: Path | None, figures: dict[str, Figure], about: dict[str, str]) -> None:
    """Replace the file atomically after each part, because the next part may be interrupted."""
    if file:
        whole = file.with_name(f"{file.name}.new")
        whole.write_text(json.dumps(report.document(figures, about), indent=2) + "\n")
        whole.replace(file)


def _about(asked: argparse.Namespace) -> dict[str, str]:
    archive = os.environ.get("DIABETES_DATA")
    sizes = f"{asked.rounds} rounds, a model trained on {asked.rows:,} rows, growth from {asked.growth_rows:,} rows"
    if not {"scale", "score"}.isdisjoint(asked.only):
        sizes += f", scale and score up to {asked.scale_rows:,} rows"
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {platform.platform()}",
        "load": f"{os.getloadavg()[0]:.1f} (average of the minute before)",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "servers": f"{_output(postgres.binaries() / 'postgres', '--version')}, LocalStack {_localstack()}",
        "data": "DIABETES_DATA; growth and scale use synthetic rows" if archive else "synthetic",
        "sizes": f"{sizes}; one thread per model",
        "commit": _output("git", "describe", "--always", "--dirty"),
        "command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
    }


def _localstack() -> str:
    """The version pinned in the emulator's lock file."""
    packages = tomllib.loads((ROOT / "infra/localstack/uv.lock").read_text())["package"]
    return next(one["version"] for one in packages if one["name"] == "localstack-core")


def _output(*command: str | Path) -> str:
    """The command's output, or the reason why there is none."""
    try:
        finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"unknown ({error})"
    return finished.stdout.strip() or f"unknown ({finished.stderr.strip().rpartition('\n')[2]})"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
