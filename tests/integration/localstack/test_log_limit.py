"""LocalStack's memory does not grow with every line that functions log."""

import time

from tests.integration.localstack.server import Server


def test_the_newest_20000_events_of_a_log_stream_are_kept(server: Server) -> None:
    logs = server.client("logs")
    logs.create_log_group(logGroupName="limited")
    logs.create_log_stream(logGroupName="limited", logStreamName="one")
    now = int(time.time() * 1000)
    try:
        for first in (0, 10_000, 20_000):
            events = [{"timestamp": now + number, "message": str(number)} for number in range(first, first + 10_000)]
            logs.put_log_events(logGroupName="limited", logStreamName="one", logEvents=events)
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName="limited", startTime=now)
        kept = [int(event["message"]) for page in pages for event in page["events"]]
        assert sorted(kept) == list(range(10_000, 30_000))
    finally:
        logs.delete_log_group(logGroupName="limited")
