"""A process that runs a function's code, seen from outside: its requests, its output and its exit."""

import codecs
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from localstack_plugin.executor.runtime_api import Request, RuntimeApi

# The capacity of a Linux pipe: one read of this size takes everything written before.
_PIPE_CAPACITY = 65536


class RuntimeProcess:
    """A running process in its own session. Only one thread may use it."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], cwd: Path, send_timeout: float) -> None:
        self._api = RuntimeApi(send_timeout)
        self._pipe, write_end = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self._popen = subprocess.Popen(
                command,
                env={**variables, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except OSError:
            os.close(self._pipe)
            self._api.close()
            raise
        finally:
            os.close(write_end)
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._output = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._closed = False
        self._registered: set[int] = set()
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)
        self._poll.register(self._pidfd, select.POLLIN)

    def wait(self, seconds: float) -> Request | int | None:
        """Wait for the process's next action, collecting its output.

        Returns its next complete Runtime API request, its return code once it has exited and all its requests have
        been returned, or None after `seconds` or if anything less has happened.
        """
        self._register(self._api.descriptors)
        ready = {descriptor for descriptor, _ in self._poll.poll(max(seconds, 0) * 1000)}
        if self._pipe in ready:
            self._drain()
        sockets = ready & self._registered
        for descriptor in sockets:
            if request := self._api.receive(descriptor):
                self._drain()
                return request
        if self._pidfd in ready and not sockets:
            self._drain()
            return self._returncode()
        return None

    def has_exited(self) -> bool:
        return self._returncode() is not None

    def take_output(self) -> str:
        """The text that the process wrote to stdout and stderr since the last call; invalid UTF-8 is replaced.

        A character of which a live process has written only half is left for the next call.
        """
        text = self._decoder.decode(bytes(self._output), final=self._closed)
        self._output.clear()
        return text

    def kill(self) -> None:
        """Also after it has exited. `Popen.kill` would then collect its exit, which nobody could learn any more."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process and its group and free their resources; `take_output` still returns the last output."""
        os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._drain()
        self._closed = True
        self._api.close()
        os.close(self._pidfd)
        os.close(self._pipe)

    def _returncode(self) -> int | None:
        """As in subprocess; None while the process lives. Its pid, and so its group, stays reserved."""
        exited = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if not exited:
            return None
        return exited.si_status if exited.si_code == os.CLD_EXITED else -exited.si_status

    def _register(self, sockets: set[int]) -> None:
        if sockets != self._registered:
            for descriptor in self._registered - sockets:
                self._poll.unregister(descriptor)
            for descriptor in sockets - self._registered:
                self._poll.register(descriptor, select.POLLIN)
            self._registered = sockets

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            chunk = os.read(self._pipe, _PIPE_CAPACITY)
            self._output += chunk
            if not chunk:  # all writers are gone; poll would report the closed pipe as ready forever
                with suppress(KeyError):
                    self._poll.unregister(self._pipe)
