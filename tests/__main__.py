"""`make test`: all tests in two pytest processes beside each other, as the servers' ones wait for the most part.

What they print comes one after the other, and last the summary of those that failed.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

ROOT = Path(__file__).parents[1]
# These need no server, or start their own; the rest shares one platform.
ASIDE = ("tests/unit", "tests/integration/load", "tests/integration/local", "tests/integration/localstack")
REST = ("tests/integration", "tests/e2e")
INTERRUPTED = 130


@dataclass
class Part:
    process: subprocess.Popen[bytes]
    output: BinaryIO

    def follow(self) -> None:
        """Print what it has printed and prints, until it ends."""
        ended = False
        while not ended:
            ended = self.process.poll() is not None
            sys.stdout.write(self.output.read().decode(errors="replace"))
            sys.stdout.flush()
            if not ended:
                time.sleep(0.2)

    def summary(self) -> str:
        """From the list of what failed on, or all of it where there is none: pytest did not come as far."""
        self.output.seek(0)
        text = self.output.read().decode(errors="replace")
        lines = text.splitlines(keepends=True)
        starts = [place for place, line in enumerate(lines) if " short test summary info " in line]
        return "".join(lines[starts[-1] :]) if starts else text


def run(commands: Sequence[Sequence[str]]) -> int:
    """Exit code of all: 0 when each has ended with 0. An interrupt ends each as Ctrl-C would, and waits for that."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, _interrupt))
        parts = [_start(command, folder / str(number), stack) for number, command in enumerate(commands)]
        interrupted = False
        for part in parts:
            try:
                part.follow()
            except KeyboardInterrupt:
                interrupted = True
                for one in parts:
                    one.process.send_signal(signal.SIGINT)
                part.follow()
        failed = [part for part in parts if part.process.returncode]
        # The last one's stands there already.
        if failed and failed != parts[-1:]:
            for part in failed:
                sys.stdout.write(f"\n{part.summary()}")
        return INTERRUPTED if interrupted else int(bool(failed))


def _start(command: Sequence[str], file: Path, stack: ExitStack) -> Part:
    """In a session of its own, so that an interrupt reaches it once, and from here."""
    with file.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    return Part(process, stack.enter_context(file.open("rb")))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once: a second interrupt would keep the tests from stopping their servers."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    # Unbuffered, so that progress is seen; with a cache of its own, as both write theirs.
    pytest = [sys.executable, "-u", "-m", "pytest", f"--color={'yes' if sys.stdout.isatty() else 'no'}"]
    aside = [*pytest, "-o", "cache_dir=.pytest_cache/aside", *ASIDE]
    rest = [*pytest, *(f"--ignore={folder}" for folder in ASIDE), *REST]
    return run([aside, rest])


if __name__ == "__main__":
    sys.exit(main())
