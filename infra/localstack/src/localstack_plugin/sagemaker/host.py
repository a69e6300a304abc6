"""One machine of a training job: a process with the files and variables that SageMaker gives a container."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

# Log lines, each with the milliseconds since 1970 at which it came.
type Lines = list[tuple[int, str]]

_FLUSH_SECONDS = 1.0
_LONGEST_LINE = 65536
_LONGEST_FAILURE = 1024


@dataclass(frozen=True)
class Container:
    """What all machines of a job share: its command, variables, hyperparameters, hosts and the type of machine."""

    command: Sequence[str]
    variables: Mapping[str, str]
    hyperparameters: Mapping[str, str]
    hosts: Sequence[str]
    instance_type: str


class Host:
    """A running process in its own session. `write` gets its output, on a thread."""

    def __init__(self, container: Container, name: str, folder: Path, write: Callable[[Lines], None]) -> None:
        """Start the process. Raises OSError."""
        self._output = folder / "output"
        temporary = folder / "tmp"
        for path in (folder / "config", self._output, folder / "model", temporary):
            path.mkdir(parents=True)
        self._configure(container, name, folder / "config")
        self._process = subprocess.Popen(
            container.command,
            env={
                "PATH": f"{Path(container.command[0]).parent}:{os.defpath}",
                "LANG": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
                **container.variables,
                "HOME": str(temporary),
                "TMPDIR": str(temporary),  # which also marks the process for the watchdog
                "TRAINING_CONFIG": str(folder / "config"),
                "TRAINING_OUTPUT": str(self._output),
            },
            cwd=temporary,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, args=(write,), name=f"training-job-{name}", daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """As a container's: 128 more than the signal that killed it. None while it runs."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def failure(self) -> str:
        """What the process wrote into the file `failure`; empty if nothing."""
        try:
            return (self._output / "failure").read_text(errors="replace").strip()[:_LONGEST_FAILURE]
        except FileNotFoundError:
            return ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children. Does nothing once it has ended."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def close(self) -> None:
        """Wait until the process has ended and its output is written."""
        self._process.wait()
        self._reader.join(timeout=10)

    @staticmethod
    def _configure(container: Container, name: str, folder: Path) -> None:
        documents: dict[str, Any] = {
            "hyperparameters": container.hyperparameters,
            "resourceconfig": {
                "current_host": name,
                "current_instance_type": container.instance_type,
                "hosts": list(container.hosts),
                "network_interface_name": "lo",
            },
            "inputdataconfig": {},
        }
        for document, content in documents.items():
            (folder / f"{document}.json").write_text(json.dumps(content))

    def _read(self, write: Callable[[Lines], None]) -> None:
        """Passes complete lines on at least every second."""
        assert self._process.stdout
        pipe, rest, lines, flushed = self._process.stdout.fileno(), b"", [], time.monotonic()
        while True:
            ready, _, _ = select.select([pipe], [], [], _FLUSH_SECONDS)
            chunk = os.read(pipe, _LONGEST_LINE) if ready else b""
            *complete, rest = (rest + chunk).split(b"\n")
            ended = bool(ready) and not chunk
            if rest and (ended or len(rest) >= _LONGEST_LINE):
                complete, rest = [*complete, rest], b""
            now = time.time_ns() // 1_000_000
            lines += [(now, line.decode(errors="replace")) for line in complete if line.strip()]
            if lines and (ended or time.monotonic() - flushed >= _FLUSH_SECONDS):
                write(lines)
                lines, flushed = [], time.monotonic()
            if ended:
                self._process.stdout.close()
                return
