"""One process that runs a function's code, seen from outside: its requests, its output, its end."""

import codecs
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from process_executor.runtime_api import Request, RuntimeApi

# What a Linux pipe holds: one read of this size takes all that was written before.
_PIPE_CAPACITY = 65536


class RuntimeProcess:
    """A started process of its own session. All methods belong to the one thread that uses the process."""

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
        """Wait for what the process does next, collecting its output.

        Returns its next complete Runtime API request, its return code when it has ended and asked all it will
        ever ask, or None when `seconds` have passed or something less has happened.
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

    def has_ended(self) -> bool:
        return self._returncode() is not None

    def take_output(self) -> str:
        """What the process wrote to stdout and stderr since the last call; what is not UTF-8 is replaced.

        A character that a living process has written half of is part of the next call's.
        """
        text = self._decoder.decode(bytes(self._output), final=self._closed)
        self._output.clear()
        return text

    def kill(self) -> None:
        self._popen.kill()

    def close(self) -> None:
        """Kill the process and its group and forget about them; their last output stays available."""
        os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._drain()
        self._closed = True
        self._api.close()
        os.close(self._pidfd)
        os.close(self._pipe)

    def _returncode(self) -> int | None:
        """As subprocess has it; None while the process lives. Its pid, and so its group, stays reserved."""
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if not ended:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

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
            if not chunk:  # all writers have gone; a closed pipe would be ready for ever
                with suppress(KeyError):
                    self._poll.unregister(self._pipe)
