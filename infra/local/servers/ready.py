"""Readiness: asks each server, because a running process may not answer yet."""

import http.client
import time
import urllib.request
from collections import deque
from collections.abc import Callable

from infra.local.errors import LocalError
from infra.local.servers import postgres, supervision
from infra.local.settings import Settings

WITHIN_SECONDS = {"postgres": 60, "localstack": 120, "mlflow": 240, "s3-mirror": 10, "prometheus": 60}
EXTERNAL_SECONDS = 30
"""Servers that others run should be up already."""
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def is_ready(settings: Settings, program: str) -> bool:
    return _PROBES[program](settings)


def wait(settings: Settings, program: str, log_position: int = 0) -> None:
    """Raises LocalError with the end of its log, read from `log_position`, if it stops or takes too long."""
    deadline = time.monotonic() + WITHIN_SECONDS[program]
    pid = supervision.states(settings)[program].pid
    while not is_ready(settings, program):
        state = supervision.states(settings)[program]
        if not state.runs or state.pid != pid:
            raise LocalError(_failure(settings, program, "stopped while starting", log_position))
        if time.monotonic() > deadline:
            late = f"was not ready within {WITHIN_SECONDS[program]} s"
            raise LocalError(_failure(settings, program, late, log_position))
        time.sleep(0.1)


def wait_for_external(settings: Settings, program: str) -> None:
    """For a server that others run. Raises LocalError if it does not answer in time."""
    deadline = time.monotonic() + EXTERNAL_SECONDS
    while not is_ready(settings, program):
        if time.monotonic() > deadline:
            raise LocalError(
                f"{program} did not answer within {EXTERNAL_SECONDS} s. SERVERS=external expects it at "
                f"{settings.localstack_url if program == 'localstack' else settings.mlflow_url}"
            )
        time.sleep(0.2)


def _failure(settings: Settings, program: str, what: str, log_position: int) -> str:
    log = settings.log(program)
    with log.open(errors="replace") as file:
        file.seek(min(log_position, log.stat().st_size))
        end = "".join(f"  {line}" for line in deque(file, maxlen=15)).rstrip()
    return (
        f"{program} {what}. The end of {log}:\n{end}\n"
        f"To see more: make logs NAME={program}. Once the cause is fixed: make up"
    )


def _localstack(settings: Settings) -> bool:
    answer = _get(f"{settings.localstack_url}/_localstack/health")
    return answer is not None and b'"services"' in answer


def _mlflow(settings: Settings) -> bool:
    return _get(f"{settings.mlflow_url}/health") == b"OK"


def _prometheus(settings: Settings) -> bool:
    return _get(f"{settings.prometheus_url}/-/ready") is not None


def _mirror(settings: Settings) -> bool:
    return supervision.states(settings)["s3-mirror"].name == "RUNNING"


def _get(url: str) -> bytes | None:
    """None unless it answers with a success status."""
    try:
        with _direct.open(url, timeout=5) as response:
            content: bytes = response.read()
    except (OSError, http.client.HTTPException):
        return None
    return content


_PROBES: dict[str, Callable[[Settings], bool]] = {
    "postgres": postgres.accepts_queries,
    "localstack": _localstack,
    "mlflow": _mlflow,
    "s3-mirror": _mirror,
    "prometheus": _prometheus,
}
