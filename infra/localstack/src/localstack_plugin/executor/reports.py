"""The log lines and error payloads that Lambda itself adds to those of the function."""

import json
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil


class Failure(Exception):
    """An invocation for which the runtime returned no result.

    error_type: as in the REPORT line; payload: the caller's response, JSON; log: the text that Lambda adds to the
    function's log, may be empty; status: "error" or "timeout"; ends_process: whether the next invocation needs a new
    process.
    """

    def __init__(
        self,
        error_type: str,
        payload: bytes,
        *,
        log: str = "",
        status: str = "error",
        ends_process: bool = True,
    ) -> None:
        super().__init__(payload.decode(errors="replace"))
        self.error_type, self.payload, self.log = error_type, payload, log
        self.status, self.ends_process = status, ends_process


def init_error(payload: bytes) -> Failure:
    """The runtime could not load the handler; it has logged that itself and exits."""
    return Failure(_error_type(payload), payload)


def handler_error(payload: bytes) -> Failure:
    """The handler raised; the runtime has logged that itself and continues."""
    return Failure(_error_type(payload), payload, ends_process=False)


def exit_error(request_id: str, returncode: int) -> Failure:
    """The runtime process exited; `returncode` as in subprocess (negative for a signal)."""
    reason = f"Runtime exited with error: {_exit_reason(returncode)}"
    if returncode == 0:
        reason = "Runtime exited without providing a reason"
    message = f"RequestId: {request_id} Error: {reason}"
    error_type = "Runtime.ExitError"
    return Failure(error_type, _payload(error_type, message), log=f"{message}\n{error_type}\n")


def timeout_error(request_id: str, seconds: float, now: datetime) -> Failure:
    """The invocation exceeded the function's timeout."""
    message = f"{_timestamp(now)} {request_id} Task timed out after {seconds:.2f} seconds"
    error_type = "Sandbox.Timedout"
    return Failure(error_type, _payload(error_type, message), log=f"{message}\n", status="timeout")


def too_large_error(size: int, limit: int) -> Failure:
    """The response has `size` bytes; Lambda allows `limit`."""
    message = f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({limit} bytes)."
    error_type = "Function.ResponseSizeTooLarge"
    return Failure(error_type, _payload(error_type, message))


def _payload(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()


def _error_type(payload: bytes) -> str:
    try:
        return str(json.loads(payload)["errorType"])
    except (ValueError, KeyError, TypeError):
        return "Runtime.Unknown"


def _exit_reason(returncode: int) -> str:
    if returncode < 0:
        return f"signal: {(signal.strsignal(-returncode) or str(-returncode)).lower()}"
    return f"exit status {returncode}"


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Report:
    """One finished invocation; durations in seconds, `init` is 0 for a warm start."""

    request_id: str
    version: str
    duration: float
    init: float
    memory_size_mb: int
    memory_used_bytes: int
    failure: Failure | None = None


def log_of(report: Report, init_output: str, output: str) -> str:
    """An invocation's complete log: output of init, START, output of the function, END, REPORT."""
    failure = report.failure
    return "".join(
        [
            _terminated(init_output),
            f"START RequestId: {report.request_id} Version: {report.version}\n",
            _terminated(output),
            failure.log if failure else "",
            f"END RequestId: {report.request_id}\n",
            report_line(report),
        ]
    )


def report_line(report: Report) -> str:
    """The REPORT line; AWS rounds up to whole milliseconds and, since August 2025, bills the init of a cold start."""
    fields = [
        f"REPORT RequestId: {report.request_id}",
        f"Duration: {report.duration * 1000:.2f} ms",
        f"Billed Duration: {ceil(round((report.duration + report.init) * 1000, 2))} ms",
        f"Memory Size: {report.memory_size_mb} MB",
        f"Max Memory Used: {min(ceil(report.memory_used_bytes / 2**20), report.memory_size_mb)} MB",
    ]
    if report.init:
        fields.append(f"Init Duration: {report.init * 1000:.2f} ms")
    if report.failure:
        fields.append(f"Status: {report.failure.status}")
        if report.failure.status == "error":
            fields.append(f"Error Type: {report.failure.error_type}")
    return "\t".join([*fields, "\n"])


def _terminated(text: str) -> str:
    """`text`, ending with a line end unless it is empty."""
    return text if not text or text.endswith("\n") else f"{text}\n"
