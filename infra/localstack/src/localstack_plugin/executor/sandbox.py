"""A Lambda execution environment: a private folder, and one runtime process at a time in it."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from localstack_plugin.executor.invocation import Invocation, Outcome, SandboxStopped, Settings
from localstack_plugin.executor.output import Output
from localstack_plugin.executor.reports import Failure, Report, log_of
from localstack_plugin.executor.session import Session
from localstack_plugin.storage.watchdog import kill_processes

# AWS lets an environment initialise for 10 s before the timeout of an invocation starts to count.
INIT_SECONDS = 10


@dataclass
class _Run:
    """A session and its place in the sandbox's life."""

    session: Session
    is_new: bool = True  # until its first invocation
    earlier_output: str = ""  # of the previous process, which exited between invocations


class Sandbox:
    """Call `start` once, then `invoke` for each event, then `stop` (from any thread, at any time).

    As on AWS, the next invocation replaces a process that has failed; the folder stays. Everything ends at once with
    SandboxStopped when `is_host_stopping` becomes true.
    """

    def __init__(self, settings: Settings, folder: Path, is_host_stopping: Callable[[], bool]) -> None:
        self._settings = settings
        self._folder = folder
        self._is_host_stopping = is_host_stopping
        self._busy = Lock()
        self._stopped = False
        self._run: _Run | None = None
        self._peak_memory = 0
        self._output = Output()

    def start(self, init_seconds: float = INIT_SECONDS) -> bool:
        """Start a process and wait at most `init_seconds` for it; returns whether it is ready for its first event.

        The next invocation reports an error in the function's init. Raises OSError if no process can start,
        SandboxStopped if `stop` came first.
        """
        with self._busy:
            self._folder.mkdir(parents=True)
            return self._start_process(init_seconds).session.is_ready

    def invoke(self, invocation: Invocation) -> Outcome:
        """Run one event. The function's errors are outcomes; raises SandboxStopped after `stop`."""
        with self._busy:
            run = self._usable_run()
            session = run.session
            init_seconds = session.init_seconds if run.is_new else 0.0
            init_output = run.earlier_output + self._take_output(session) if run.is_new else ""
            run.is_new = False
            failure = None
            began = time.monotonic()
            try:
                payload = session.answer(invocation, began + self._settings.timeout)
            except Failure as error:
                failure, payload = error, error.payload
            duration = time.monotonic() - began
            self._peak_memory = max(self._peak_memory, session.peak_memory())
            ends_process = failure is not None and failure.ends_process
            output = self._end_process(session) if ends_process else self._take_output(session)
            report = Report(
                request_id=invocation.request_id,
                version=self._settings.version,
                duration=duration,
                init=init_seconds,
                memory_size_mb=self._settings.memory_mb,
                memory_used_bytes=self._peak_memory,
                failure=failure,
            )
            logs = log_of(report, init_output, output)
            return Outcome(payload, failure is not None, logs, duration, self._output.take())

    def stop(self) -> str:
        """Kill all processes and remove the folder, after a running invocation has ended.

        As on AWS, updating or deleting a function does not interrupt a running invocation; a start is interrupted.
        Returns the lines of output that no outcome has returned.
        """
        self._stopped = True
        with self._busy:
            if self._run:
                self._end_process(self._run.session)
            if self._folder.exists():
                shutil.rmtree(self._folder)
            return self._output.take()

    def _usable_run(self) -> _Run:
        run = self._run
        # A new process that has exited failed in its init: the invocation reports that.
        earlier_output = ""
        if run and not run.is_new and run.session.process.has_exited():
            earlier_output = self._end_process(run.session)
            run = None
        if not run:
            run = self._start_process(INIT_SECONDS)
            run.earlier_output = earlier_output
        return run

    def _start_process(self, init_seconds: float) -> _Run:
        if self._stopped:
            raise SandboxStopped
        self._run = _Run(Session(self._settings, self._must_stop))
        self._run.session.initialise(init_seconds)
        return self._run

    def _must_stop(self) -> bool:
        is_starting = self._run is not None and self._run.is_new
        return self._is_host_stopping() or (self._stopped and is_starting)

    def _end_process(self, session: Session) -> str:
        """Returns the process's last output."""
        self._run = None
        session.process.close()
        kill_processes(str(self._folder))
        output = self._take_output(session)
        self._output.end_process()
        return output

    def _take_output(self, session: Session) -> str:
        output = session.process.take_output()
        self._output.add(output)
        return output
