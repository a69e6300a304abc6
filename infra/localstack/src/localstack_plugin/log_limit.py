"""Limits the log events that LocalStack keeps, all of them in memory: without a limit it grows with every request."""

from collections.abc import Callable
from functools import cache
from typing import Any

from localstack.utils.patch import patch
from moto.logs.models import LogGroup

KEPT = 20_000
"""Newest events of each log stream, which is that of one execution environment."""


def put_log_events(
    original: Callable[..., str], self: LogGroup, log_stream_name: str, log_events: list[dict[str, Any]]
) -> str:
    token = original(self, log_stream_name, log_events)
    events = self.streams[log_stream_name].events
    # Rarely, because it copies the list.
    if len(events) > KEPT + KEPT // 10:
        del events[:-KEPT]
    return token


@cache
def install() -> None:
    """Further calls do nothing. Not at the stream, where LocalStack itself replaces the method later."""
    patch(LogGroup.put_log_events)(put_log_events)
