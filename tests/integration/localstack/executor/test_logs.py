"""Functions' output in CloudWatch: logs, and the metrics in them."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

from tests.integration.localstack.server import wait_for


def test_all_output_is_in_the_log_in_order_between_start_and_report(deploy):
    function = deploy(
        """
import logging, os, subprocess, sys
print("init")
def handler(event, context):
    print("printed")
    sys.stderr.write("to stderr\\n")
    logging.getLogger().warning("logged")
    subprocess.run(["/bin/echo", "of a child"])
    os.write(1, b"no line end")
"""
    )
    function.invoke()

    events = function.log_events_with("REPORT RequestId")

    assert events[0] == "init"
    request_id = re.fullmatch(r"START RequestId: (\S+) Version: \$LATEST", events[1])[1]
    assert events[2:4] == ["printed", "to stderr"]
    assert events[4].startswith("[WARNING]\t") and events[4].endswith(f"Z\t{request_id}\tlogged")
    assert events[5:8] == ["of a child", "no line end", f"END RequestId: {request_id}"]
    assert re.fullmatch(
        rf"REPORT RequestId: {request_id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\t"
        r"Memory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms\t",
        events[8],
    )
    assert len(events) == 9


def test_the_log_is_in_the_group_that_the_function_names(server, deploy):
    function = deploy(
        "def handler(event, context):\n    print('printed')\n", LoggingConfig={"LogGroup": "/named/group"}
    )
    function.invoke()
    logs = server.client("logs")

    def printed():
        if not logs.describe_log_groups(logGroupNamePrefix="/named/group")["logGroups"]:
            return False
        events = logs.filter_log_events(logGroupName="/named/group")["events"]
        return any(event["message"].strip() == "printed" for event in events)

    wait_for(printed, "the log in the group that is named")
    assert function.log_events() == []


def test_very_long_or_binary_output_is_complete(deploy):
    function = deploy(
        """
import os, sys
def handler(event, context):
    print("x" * 1_000_000)
    sys.stdout.buffer.write(bytes(range(256)) + b"\\n")
    sys.stdout.buffer.flush()
    for number in range(5000):
        print("line", number)
    return "done"
"""
    )

    assert function.invoke().payload == "done"
    assert function.invoke().payload == "done"

    wait_for(lambda: sum("REPORT RequestId" in event for event in function.log_events()) == 2, "both logs")
    events = function.log_events()
    assert events.count("x" * 1_000_000) == 2
    lines = [event for event in events if event.startswith("line ")]
    assert lines == [f"line {number}" for number in range(5000)] * 2


def test_an_invocation_returns_even_if_a_thread_writes_without_pause(deploy):
    function = deploy(
        """
import threading
def chatter():
    while True:
        print("chatter " * 100)
threading.Thread(target=chatter, daemon=True).start()
def handler(event, context):
    print("mine", event)
    return event
"""
    )

    for number in range(3):
        result = function.invoke(number)
        assert result.payload == number
        assert "END RequestId" in result.logs


def test_embedded_metrics_in_the_output_become_metrics(deploy, server):
    now = int(time.time() * 1000)
    line = json.dumps(
        {
            "_aws": {
                "Timestamp": now,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "Embedded",
                        "Dimensions": [["Service", "Model"], ["Stage"]],
                        "Metrics": [
                            {"Name": "Latency", "Unit": "Milliseconds"},
                            {"Name": "Rows", "Unit": "Count"},
                        ],
                    },
                    {"Namespace": "EmbeddedToo", "Dimensions": [[]], "Metrics": [{"Name": "Rows"}]},
                ],
            },
            "Service": "forecast",
            "Model": "m1",
            "Stage": "test",
            "Latency": [10, 20, 20],
            "Rows": 3,
        }
    )
    function = deploy(
        f"""
def handler(event, context):
    print({'{"_aws": {"CloudWatchMetrics": ['!r})
    print({line!r})
"""
    )

    assert not function.invoke().error

    both = {"Service": "forecast", "Model": "m1"}
    assert _statistics(server, "Embedded", "Latency", {"Stage": "test"}) == (3, 50)
    assert _statistics(server, "Embedded", "Latency", both) == (3, 50)
    assert _statistics(server, "Embedded", "Rows", both) == (1, 3)
    assert _statistics(server, "EmbeddedToo", "Rows", {}) == (1, 3)
    assert "malformed embedded metrics" in server.log


def _statistics(server, namespace: str, name: str, dimensions: dict[str, str]) -> tuple[float, float]:
    """Sample count and sum of the last hour, once there is data."""

    def points() -> list[dict]:
        return server.client("cloudwatch").get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
            StartTime=datetime.now(UTC) - timedelta(hours=1),
            EndTime=datetime.now(UTC) + timedelta(hours=1),
            Period=7200,
            Statistics=["SampleCount", "Sum"],
        )["Datapoints"]

    found = wait_for(points, f"metric {name} in {namespace}")
    return sum(point["SampleCount"] for point in found), sum(point["Sum"] for point in found)
