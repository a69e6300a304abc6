"""Lambda's side of the Runtime API for one runtime process: its init, then one event after another."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from localstack_plugin.executor import memory
from localstack_plugin.executor.invocation import Invocation, SandboxStopped, Settings
from localstack_plugin.executor.process import RuntimeProcess
from localstack_plugin.executor.reports import (
    Failure,
    exit_error,
    handler_error,
    init_error,
    timeout_error,
    too_large_error,
)
from localstack_plugin.executor.runtime_api import Request

# How often (s) a waiting thread checks the memory and whether it must stop.
_SAMPLE_SECONDS = 0.05


class Session:
    """A runtime process and the state of its conversation.

    Waiting ends at once with SandboxStopped when `must_stop` becomes true.
    """

    def __init__(self, settings: Settings, must_stop: Callable[[], bool]) -> None:
        self._settings = settings
        self._must_stop = must_stop
        self._idle: Request | None = None  # the process's request for an event, while it waits for one
        self._init_error: bytes | None = None
        self._sampled_memory = 0  # bytes, of the process and its descendants
        self._began = time.monotonic()
        self.init_seconds = 0.0
        self.process = RuntimeProcess(settings.command, settings.variables, settings.task_root, settings.timeout)

    @property
    def is_ready(self) -> bool:
        """Whether the process waits for an event."""
        return self._idle is not None

    def initialise(self, seconds: float) -> None:
        """Wait for the init until `seconds` after the process's start.

        A failure is not raised here: the first event meets it again.
        """
        with suppress(Failure):
            self._wait_until_ready("", self._began + seconds)
        self.init_seconds = time.monotonic() - self._began

    def answer(self, invocation: Invocation, deadline: float) -> bytes:
        """The handler's response to the event; raises Failure otherwise.

        `deadline`: in seconds of the monotonic clock.
        """
        idle = self._wait_until_ready(invocation.request_id, deadline)
        self._idle = None
        idle.reply("200 OK", invocation.event, invocation.headers(deadline))
        while True:
            request = self._next_request(invocation.request_id, deadline)
            match request.path.rpartition("/")[2]:
                case "response":
                    return self._response(request)
                case "error":
                    request.reply("202 Accepted")
                    raise handler_error(request.body)
                case _:
                    request.reply("404 Not Found")

    def peak_memory(self) -> int:
        """Bytes; includes the descendants as far as they were sampled."""
        return max(self._sampled_memory, memory.peak(self.process.pid))

    def _response(self, request: Request) -> bytes:
        size, limit = len(request.body), self._settings.response_limit
        if size > limit:
            request.reply("413 Payload Too Large")
            raise too_large_error(size, limit)
        request.reply("202 Accepted")
        return request.body

    def _wait_until_ready(self, request_id: str, deadline: float) -> Request:
        """Wait until the runtime requests an event; raises Failure if it does not."""
        while not self._idle:
            if self._init_error is not None:
                raise init_error(self._init_error)
            request = self._next_request(request_id, deadline)
            match request.path:
                case "/invocation/next":
                    self._idle = request
                case "/init/error":
                    request.reply("202 Accepted")
                    self._init_error = request.body
                case _:
                    request.reply("404 Not Found")
        return self._idle

    def _next_request(self, request_id: str, deadline: float) -> Request:
        """The runtime's next request; kills the process if it uses too much memory.

        Raises Failure if the process exits or `deadline` passes, and SandboxStopped.
        """
        sample_at = time.monotonic() + _SAMPLE_SECONDS
        while True:
            event = self.process.wait(min(sample_at, deadline) - time.monotonic())
            if isinstance(event, Request):
                return event
            if self._must_stop():
                raise SandboxStopped
            if event is not None:
                raise exit_error(request_id, event)
            now = time.monotonic()
            if now >= deadline:
                raise timeout_error(request_id, self._settings.timeout, datetime.now(UTC))
            if now >= sample_at:
                self._check_memory()
                sample_at = now + _SAMPLE_SECONDS

    def _check_memory(self) -> None:
        limit = self._settings.memory_mb * 2**20
        used = memory.tree_resident(self.process.pid, limit)
        self._sampled_memory = max(self._sampled_memory, used)
        if used > limit:
            self.process.kill()
