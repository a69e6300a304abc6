"""Finds the interpreter of a Lambda runtime."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SETTING = "LAMBDA_PROCESS_RUNTIMES"
DEFAULT = Path(__file__).parents[3] / ".runtimes"


class CannotRun(Exception):
    """The function needs something that a process here cannot offer; the message says what."""


@dataclass(frozen=True)
class Runtimes:
    """A folder with one virtual environment per runtime: `<folder>/python3.13/bin/python`."""

    folder: Path

    @classmethod
    def from_environment(cls) -> "Runtimes":
        return cls(Path(os.environ.get(SETTING) or DEFAULT).absolute())

    def interpreter(self, runtime: str) -> Path:
        """Interpreter of `runtime` ("python3.13"); raises CannotRun if it is not installed."""
        interpreter = self._interpreter(runtime)
        if not interpreter.exists():
            raise CannotRun(
                f"Runtime {runtime} is not installed: {interpreter} does not exist. Installed runtimes: "
                f"{', '.join(self.installed()) or 'none'} ({SETTING}={self.folder})"
            )
        return interpreter

    def installed(self) -> list[str]:
        """Names of the installed runtimes, sorted."""
        return sorted(path.name for path in self.folder.glob("*") if self._interpreter(path.name).exists())

    def _interpreter(self, runtime: str) -> Path:
        return self.folder / runtime / "bin" / "python"


@cache
def runtimes() -> Runtimes:
    """The runtimes of this LocalStack."""
    return Runtimes.from_environment()
