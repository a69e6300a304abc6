"""`make bench`: what the parts of the project take, each beside its peers in the same run.

Needs nothing that runs: parts that use servers start a platform of their own. Prints what must hold beside what was
measured.
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
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before anything loads OpenMP: threads that wait for each other are to sleep, not to spin on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from infra.local import postgres
from tests.benchmarks import concurrency, deployment, growth, ingest, pipeline, prediction, report
from tests.benchmarks.cold import ROOT
from tests.benchmarks.report import PARTS, Figure
from tests.platforms import Platform

_PACKAGES = (
    *("fastapi", "starlette", "pydantic", "mangum", "aws-lambda-powertools", "mlflow", "scikit-learn", "pandas"),
    *("onnxruntime", "pg8000", "sqlalchemy"),
)


def main() -> int:
    """1 where something does not hold that must."""
    asked = _arguments()
    if asked.compare:
        print(report.comparison(*map(_document, asked.compare)))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # not without stopping the servers
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary, ExitStack() as stack:
        figures, about = _run(asked, Path(temporary), stack)
    print(report.table(figures, about))
    broken = report.broken(figures)
    if broken:
        print(f"\ndoes not hold: {'; '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=7, help="turns of ours and the peers")
    parser.add_argument("--rows", type=int, default=20_000, help="encounters that the inference's model learns from")
    parser.add_argument("--growth-rows", type=int, default=10_000, help="rows of which 1, 3 and 10 times are taken")
    parser.add_argument("--model", type=Path, help="a folder to keep the model in, and to take it from the next time")
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="FILE", help="two such files: nothing is measured")
    return parser.parse_args()


def _document(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(path.read_text())
        known["about"], known["figures"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} is no result of make bench JSON=file: {error}") from error
    return known


def _parts(text: str) -> Sequence[str]:
    names = text.split(",")
    if unknown := set(names) - set(PARTS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return [name for name in PARTS if name in names]


def _run(asked: argparse.Namespace, temporary: Path, stack: ExitStack) -> tuple[dict[str, Figure], dict[str, str]]:
    deployed = not {"pipeline", "concurrency"}.isdisjoint(asked.only)

    @cache
    def servers() -> Platform:
        folder = temporary / "platform"
        folder.mkdir()
        temporary.chmod(0o711)
        return stack.enter_context(deployment.running(folder, deployed))

    measures: dict[str, Callable[[], dict[str, Figure]]] = {
        "ingest": lambda: ingest.measure(servers(), temporary, asked.rounds),
        "growth": lambda: growth.measure(servers(), temporary, asked.growth_rows),
        "pipeline": lambda: pipeline.measure(servers(), temporary),
        "concurrency": lambda: concurrency.measure(servers(), temporary, asked.rounds),
    }
    figures: dict[str, Figure] = {}
    about = _about()
    for name in asked.only:
        if name == "prediction":
            found, of_the_model = prediction.measure(temporary, asked.model or temporary, asked.rows, asked.rounds)
            about |= of_the_model
        else:
            found = measures[name]()
        figures |= found
        if asked.json:  # after each part: the next one may be interrupted
            asked.json.write_text(json.dumps(report.document(figures, about), indent=2) + "\n")
    return figures, about


def _about() -> dict[str, str]:
    archive = os.environ.get("DIABETES_DATA")
    return {
        "machine": f"{_processor()}, {os.cpu_count()} processors, {platform.platform()}",
        "load": f"{os.getloadavg()[0]:.1f} processes on average in the minute before",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "servers": f"{_output(postgres.binaries() / 'postgres', '--version')}, LocalStack {_localstack()}",
        "data": "that of DIABETES_DATA; of growth synthetic" if archive else "synthetic",
        "commit": _output("git", "describe", "--always", "--dirty") or "no repository",
        "command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
    }


def _localstack() -> str:
    """The version that is pinned for the emulator's own environment."""
    packages = tomllib.loads((ROOT / "infra/localstack/uv.lock").read_text())["package"]
    return next(one["version"] for one in packages if one["name"] == "localstack-core")


def _output(*command: str | Path) -> str:
    """Nothing where the command fails: outside a repository there is no commit."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
