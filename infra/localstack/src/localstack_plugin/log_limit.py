"""Limits the log events that LocalStack keeps, all of them in memory: without a limit it grows with every request."""

from collections.abc import Callable
from functools import cache
from typing import Any

from localstack.utils.patch import patch
from moto.logs.models import LogStream

KEPT = 20_000
"""Newest events of each log stream, which is that of one execution environment."""


def put_log_events(original: Callable[..., str], self: LogStream, log_events: list[dict[str, Any]]) -> str:
    token = original(self, log_events)
    # Rarely, because it copies the list.
    if len(self.events) > KEPT + KEPT // 10:
        del self.events[:-KEPT]
    return token


@cache
def install() -> None:
    """Further calls do nothing."""
    patch(LogStream.put_log_events)(put_log_events)
