"""What a sandbox receives and returns."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class SandboxStopped(Exception):
    """The execution environment was stopped while it was in use."""


@dataclass(frozen=True)
class Settings:
    """How a function's processes run: timeout in seconds, memory in MB, response limit in bytes."""

    command: Sequence[str]
    variables: Mapping[str, str]
    task_root: Path
    version: str
    timeout: int
    memory_mb: int
    response_limit: int


@dataclass(frozen=True)
class Invocation:
    """One event for the function, JSON."""

    request_id: str
    function_arn: str
    trace_id: str
    event: bytes

    def headers(self, deadline: float) -> tuple[tuple[str, str], ...]:
        """Headers of the event in the Runtime API; `deadline` in seconds of the monotonic clock."""
        deadline_ms = int((time.time() + deadline - time.monotonic()) * 1000)
        return (
            ("Lambda-Runtime-Aws-Request-Id", self.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", self.function_arn),
            ("Lambda-Runtime-Trace-Id", self.trace_id),
        )


@dataclass(frozen=True)
class Outcome:
    """Result of an invocation: the response or error as JSON, its complete log, and its duration in seconds.

    lines: the function's own output since the previous outcome, without a line that is still incomplete.
    """

    payload: bytes
    is_error: bool
    logs: str
    duration: float
    lines: str
