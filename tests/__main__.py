"""`make test`: all tests, in several pytest processes at once, because those that use servers mostly wait.

Prints the output of one part after the other, then the summaries of the parts that failed, the slowest tests and the
totals. With `--only NAME` it runs the tests of one package or file, in one process.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import BinaryIO
from xml.etree import ElementTree

from tests.leash import die_with_parent

ROOT = Path(__file__).parents[1]
# The order in which they start: the longest first. Each starts its own servers.
PARTS: Mapping[str, Sequence[str]] = {
    "e2e": ["tests/e2e"],
    "integration": ["tests/integration"],
    "operations": ["tests/e2e/operations"],
    "containers": ["tests/integration/containers"],
    "unit": ["tests/unit"],
    "platform": ["tests/integration/local", "tests/integration/load"],
    "emulator": ["tests/integration/localstack"],
}
# More than there are processors, because a part that waits for a server needs none.
AT_ONCE = 3
SLOWEST = 20
INTERRUPTED = 130
_STOPPING_SECONDS = 120


@dataclass
class Part:
    """A command that may have started, and what it has printed so far."""

    command: Sequence[str]
    file: Path
    process: subprocess.Popen[bytes] | None = None
    output: BinaryIO | None = None

    def start(self, stack: ExitStack) -> None:
        """In a session of its own, so that an interrupt reaches it once, and from here, or from this process's end."""
        with self.file.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGINT),
            )
        self.output = stack.enter_context(self.file.open("rb"))

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def failed(self) -> bool:
        return self.process is not None and self.process.returncode != 0

    def show(self) -> None:
        """Print what is new."""
        if self.output is not None:
            sys.stdout.write(self.output.read().decode(errors="replace"))
            sys.stdout.flush()

    def summary(self) -> str:
        """pytest's list of failures, or everything where pytest did not get that far."""
        text = self.file.read_text(errors="replace")
        lines = text.splitlines(keepends=True)
        starts = [index for index, line in enumerate(lines) if " short test summary info " in line]
        return "".join(lines[starts[-1] :]) if starts else text


def run(commands: Sequence[Sequence[str]], at_once: int = AT_ONCE) -> int:
    """Exit code: 0 when every command exits with 0. An interrupt reaches each as Ctrl-C would, and waits for them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, _interrupt))
        parts = [Part(command, folder / str(index)) for index, command in enumerate(commands)]
        interrupted = False
        try:
            _run_all(parts, at_once, stack)
        except KeyboardInterrupt:
            interrupted = True
            _stop(parts)
        failed = [part for part in parts if part.failed]
        # The last part's summary is already the last thing on the screen.
        if failed and failed != parts[-1:]:
            for part in failed:
                sys.stdout.write(f"\n{part.summary()}")
        return INTERRUPTED if interrupted else int(bool(failed))


def _run_all(parts: Sequence[Part], at_once: int, stack: ExitStack) -> None:
    waiting = list(parts)
    for part in parts:
        while True:
            while waiting and sum(one.running for one in parts) < at_once:
                waiting.pop(0).start(stack)
            ended = not part.running
            part.show()
            if ended:
                break
            time.sleep(0.2)


def _stop(parts: Sequence[Part]) -> None:
    """Let every running part stop its servers; one that does not end in time is killed."""
    for part in parts:
        if part.running and part.process is not None:
            part.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _STOPPING_SECONDS
    for part in parts:
        if part.process is not None:
            try:
                part.process.wait(timeout=max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # Its session, which its own child processes share. `tests.leash` stops its platforms.
                os.killpg(part.process.pid, signal.SIGKILL)
                part.process.wait()
        part.show()


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once: a second interrupt would keep the tests from stopping their servers."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def select(name: str) -> list[str]:
    """The folders and files of tests named `name` or `test_name`. Raises SystemExit when there are none."""
    below = [path for path in sorted((ROOT / "tests").rglob("*")) if "__pycache__" not in path.parts]
    found = [path for path in below if _has_tests(path) and path.stem in (name, f"test_{name}")]
    if not found:
        known = sorted({path.stem.removeprefix("test_") for path in below if _has_tests(path)})
        raise SystemExit(f"make test: no tests are named {name!r}; choose one of: {', '.join(known)}")
    inner = {path for path in found if any(other in path.parents for other in found)}
    return [str(path.relative_to(ROOT)) for path in found if path not in inner]


def _has_tests(path: Path) -> bool:
    return any(path.rglob("test_*.py")) if path.is_dir() else path.match("test_*.py")


def report(files: Sequence[Path]) -> str:
    """The slowest tests and the totals, from pytest's JUnit files. A part that was interrupted has none."""
    suites = [suite for file in files if file.exists() for suite in ElementTree.parse(file).getroot()]
    cases = [case for suite in suites for case in suite]
    cases.sort(key=lambda case: float(case.get("time", 0)), reverse=True)
    lines = [f"{float(case.get('time', 0)):7.1f} s  {case.get('classname')}::{case.get('name')}" for case in cases]
    tests, skipped = (sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "skipped"))
    failed = sum(int(suite.get(name, 0)) for suite in suites for name in ("failures", "errors"))
    totals = f"{tests - failed - skipped} passed, {failed} failed, {skipped} skipped"
    return "\n".join(["The slowest tests, with their fixtures:", *lines[:SLOWEST], "", totals])


def _commands(only: str | None, folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Each part's JUnit file and command."""
    color = f"--color={'yes' if sys.stdout.isatty() else 'no'}"
    # Unbuffered, so that progress shows.
    python = [sys.executable, "-u", "-m"]
    if _measures_coverage(only):
        python += ["coverage", "run", "-m"]
    parts = {only: select(only)} if only else PARTS
    for name, paths in parts.items():
        others = [path for other in parts.values() for path in other if path not in paths]
        ignored = [f"--ignore={path}" for path in others if any(path.startswith(f"{own}/") for own in paths)]
        junit = folder / f"{name}.xml"
        # Each part has its own cache, because two processes would overwrite each other's.
        options = [color, "-o", f"cache_dir=.pytest_cache/{name}", "-o", "junit_family=xunit1", f"--junitxml={junit}"]
        # The first part takes longest, so that the run ends with it. The others give way.
        priority = [] if name == next(iter(parts)) else ["nice", "-n", "10"]
        yield junit, [*priority, *python, "pytest", *options, *ignored, *paths]


def _measures_coverage(only: str | None) -> bool:
    return bool(os.environ.get("CI")) and not only


def _check_coverage() -> int:
    """Exit code: 2 when less is covered than pyproject.toml demands. Functions run in processes that do not count."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, check=True)
    print("\nCoverage:", flush=True)
    return subprocess.run([*coverage, "report", "--skip-covered", "--sort=cover"], cwd=ROOT, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="make test")
    parser.add_argument("--only", help="the package or file whose tests run")
    only = parser.parse_args().only
    begun = time.monotonic()
    with TemporaryDirectory() as folder:
        commands = dict(_commands(only, Path(folder)))
        code = run(list(commands.values()))
        if _measures_coverage(only) and code != INTERRUPTED:
            code = _check_coverage() or code
        print(f"\n{time.monotonic() - begun:.0f} s. {report(list(commands))}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
