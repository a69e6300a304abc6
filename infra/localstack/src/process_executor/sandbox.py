"""A Lambda execution environment: a private folder and, in it, one runtime process after the other."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from process_executor import memory
from process_executor.emf import Lines
from process_executor.reports import (
    Failure,
    Report,
    exit_error,
    handler_error,
    init_error,
    log_of,
    timeout_error,
    too_large_error,
)
from process_executor.runtime_api import Request
from process_executor.runtime_process import RuntimeProcess
from process_executor.watchdog import kill_processes

# AWS lets an environment initialise for 10 s before an invocation's own timeout starts to count.
INIT_SECONDS = 10
# Between two looks at the memory and at `stop`.
_SAMPLE_SECONDS = 0.05


class SandboxStopped(Exception):
    """The execution environment was stopped while it was needed."""


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
    request_id: str
    function_arn: str
    trace_id: str
    event: bytes


@dataclass(frozen=True)
class Outcome:
    """What an invocation gives: the response or error as JSON, its complete log, and its duration in seconds.

    lines: the function's own output since the last outcome, but for a line that is not yet complete.
    """

    payload: bytes
    is_error: bool
    logs: str
    duration: float
    lines: str


@dataclass
class _Run:
    """A runtime process and how far it has come."""

    process: RuntimeProcess
    idle: Request | None = None  # its request for an event, while it waits for one
    init_error: bytes | None = None
    init_seconds: float = 0.0
    is_new: bool = True  # until its first invocation
    earlier_output: str = ""  # of the process before it, which ended between invocations


class Sandbox:
    """`start` once, then `invoke` one event after the other, then `stop` (from any thread, at any time).

    A process that failed is replaced at the next invocation, as AWS does; the folder stays. Everything ends at
    once with SandboxStopped when `is_host_stopping` becomes true.
    """

    def __init__(self, settings: Settings, folder: Path, is_host_stopping: Callable[[], bool]) -> None:
        self._settings = settings
        self._folder = folder
        self._is_host_stopping = is_host_stopping
        self._busy = Lock()
        self._stopped = False
        self._run: _Run | None = None
        self._peak = 0
        self._lines = Lines()
        self._complete: list[str] = []  # lines that no outcome has told

    def start(self, init_seconds: float = INIT_SECONDS) -> bool:
        """Start a process and wait at most `init_seconds` for it; whether it is ready for its first event.

        An error in the function's init is told by the next invocation. Raises OSError when no process can
        start, SandboxStopped when `stop` came first.
        """
        with self._busy:
            self._folder.mkdir(parents=True)
            return self._start_process(init_seconds).idle is not None

    def invoke(self, invocation: Invocation) -> Outcome:
        """Run one event. Errors of the function are outcomes; raises SandboxStopped after `stop`."""
        with self._busy:
            run = self._usable_run()
            init_seconds = run.init_seconds if run.is_new else 0.0
            init_output = run.earlier_output + self._take_output(run) if run.is_new else ""
            run.is_new = False
            failure = None
            began = time.monotonic()
            try:
                payload = self._answer(run, invocation, began + self._settings.timeout)
            except Failure as error:
                failure, payload = error, error.payload
            duration = time.monotonic() - began
            self._peak = max(self._peak, memory.peak(run.process.pid))
            output = self._end_process(run) if failure and failure.ends_process else self._take_output(run)
            report = Report(
                request_id=invocation.request_id,
                version=self._settings.version,
                duration=duration,
                init=init_seconds,
                memory_size_mb=self._settings.memory_mb,
                memory_used_bytes=self._peak,
                failure=failure,
            )
            logs = log_of(report, init_output, output)
            return Outcome(payload, failure is not None, logs, duration, self._take_lines())

    def stop(self) -> str:
        """Kill all processes and remove the folder, after an invocation in progress has ended.

        Returns the lines of output that no outcome has told. An update or deletion of a function leaves what runs
        alone, as on AWS; a start in progress is broken off.
        """
        self._stopped = True
        with self._busy:
            if self._run:
                self._end_process(self._run)
            if self._folder.exists():
                shutil.rmtree(self._folder)
            return self._take_lines()

    def _usable_run(self) -> _Run:
        run = self._run
        # A new process that has ended failed in its init: that is the invocation's result.
        earlier_output = ""
        if run and not run.is_new and run.process.has_ended():
            earlier_output = self._end_process(run)
        if not self._run:
            self._start_process(INIT_SECONDS).earlier_output = earlier_output
        return self._run

    def _start_process(self, init_seconds: float) -> _Run:
        if self._stopped:
            raise SandboxStopped
        settings, began = self._settings, time.monotonic()
        process = RuntimeProcess(settings.command, settings.variables, settings.task_root, settings.timeout)
        run = self._run = _Run(process)
        # The invocation that needs the process meets the failure again.
        with suppress(Failure):
            self._until_idle(run, "", began + init_seconds)
        run.init_seconds = time.monotonic() - began
        return run

    def _end_process(self, run: _Run) -> str:
        """The process's last output."""
        self._run = None
        run.process.close()
        kill_processes(str(self._folder))
        output = self._take_output(run)
        self._complete.append(self._lines.end())
        return output

    def _take_output(self, run: _Run) -> str:
        output = run.process.take_output()
        self._complete.append(self._lines.add(output))
        return output

    def _take_lines(self) -> str:
        lines = "\n".join(self._complete)
        self._complete.clear()
        return lines

    def _answer(self, run: _Run, invocation: Invocation, deadline: float) -> bytes:
        """The handler's response to the event; raises Failure for everything else."""
        idle = self._until_idle(run, invocation.request_id, deadline)
        run.idle = None
        idle.reply("200 OK", invocation.event, _headers(invocation, deadline))
        while True:
            request = self._next_request(run, invocation.request_id, deadline)
            match request.path.rpartition("/")[2]:
                case "response":
                    return self._response(request)
                case "error":
                    request.reply("202 Accepted")
                    raise handler_error(request.body)
                case _:
                    request.reply("404 Not Found")

    def _response(self, request: Request) -> bytes:
        size, limit = len(request.body), self._settings.response_limit
        if size > limit:
            request.reply("413 Payload Too Large")
            raise too_large_error(size, limit)
        request.reply("202 Accepted")
        return request.body

    def _until_idle(self, run: _Run, request_id: str, deadline: float) -> Request:
        """Wait for the runtime to ask for an event; raises Failure when it does not."""
        while not run.idle:
            if run.init_error is not None:
                raise init_error(run.init_error)
            request = self._next_request(run, request_id, deadline)
            match request.path:
                case "/invocation/next":
                    run.idle = request
                case "/init/error":
                    request.reply("202 Accepted")
                    run.init_error = request.body
                case _:
                    request.reply("404 Not Found")
        return run.idle

    def _next_request(self, run: _Run, request_id: str, deadline: float) -> Request:
        """The runtime's next request; kills the process when it uses too much memory.

        Raises Failure when the process ends or `deadline` (monotonic seconds) passes, and SandboxStopped.
        """
        sample_at = time.monotonic() + _SAMPLE_SECONDS
        while True:
            event = run.process.wait(min(sample_at, deadline) - time.monotonic())
            if isinstance(event, Request):
                return event
            if self._is_host_stopping() or (self._stopped and run.is_new):
                raise SandboxStopped
            if event is not None:
                raise exit_error(request_id, event)
            now = time.monotonic()
            if now >= deadline:
                raise timeout_error(request_id, self._settings.timeout, datetime.now(UTC))
            if now >= sample_at:
                self._check_memory(run.process)
                sample_at = now + _SAMPLE_SECONDS

    def _check_memory(self, process: RuntimeProcess) -> None:
        limit = self._settings.memory_mb * 2**20
        used = memory.tree_resident(process.pid, limit)
        self._peak = max(self._peak, used)
        if used > limit:
            process.kill()


def _headers(invocation: Invocation, deadline: float) -> tuple[tuple[str, str], ...]:
    deadline_ms = int((time.time() + deadline - time.monotonic()) * 1000)
    return (
        ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", invocation.function_arn),
        ("Lambda-Runtime-Trace-Id", invocation.trace_id),
    )
