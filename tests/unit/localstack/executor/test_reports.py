"""The log lines and errors that Lambda adds."""

import json
from datetime import UTC, datetime

import pytest
from localstack_plugin.executor.reports import (
    Report,
    exit_error,
    handler_error,
    init_error,
    log_of,
    report_line,
    timeout_error,
    too_large_error,
)


def report(**changes: object) -> Report:
    facts = {
        "request_id": "id-1",
        "version": "$LATEST",
        "duration": 0.0123456,
        "init": 0.0,
        "memory_size_mb": 128,
        "memory_used_bytes": 30 * 2**20 + 1,
    }
    return Report(**(facts | changes))


def test_the_report_line_of_a_warm_invocation():
    assert report_line(report()) == (
        "REPORT RequestId: id-1\tDuration: 12.35 ms\tBilled Duration: 13 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 31 MB\t\n"
    )


def test_the_report_line_of_a_cold_start_bills_the_init():
    line = report_line(report(init=0.1))

    assert "\tBilled Duration: 113 ms\t" in line
    assert line.endswith("\tInit Duration: 100.00 ms\t\n")


def test_memory_used_is_at_most_the_memory_size():
    assert "Max Memory Used: 128 MB" in report_line(report(memory_used_bytes=500 * 2**20))


def test_the_report_line_of_a_failure_shows_its_status():
    moment = datetime(2026, 1, 2, tzinfo=UTC)

    assert report_line(report(failure=exit_error("id-1", 1))).endswith(
        "\tStatus: error\tError Type: Runtime.ExitError\t\n"
    )
    assert report_line(report(failure=timeout_error("id-1", 3, moment))).endswith("\tStatus: timeout\t\n")


def test_the_log_has_init_output_start_output_end_and_report_in_this_order():
    log = log_of(report(), "in init", "one\ntwo")

    assert log.split("\n")[:5] == [
        "in init",
        "START RequestId: id-1 Version: $LATEST",
        "one",
        "two",
        "END RequestId: id-1",
    ]
    assert log.endswith(report_line(report()))


def test_the_log_of_a_failure_shows_it_before_the_end():
    log = log_of(report(failure=exit_error("id-1", -9)), "", "output\n")

    message = "RequestId: id-1 Error: Runtime exited with error: signal: killed"
    assert f"output\n{message}\nRuntime.ExitError\nEND" in log


@pytest.mark.parametrize(
    ("returncode", "reason"),
    [
        (1, "Runtime exited with error: exit status 1"),
        (-9, "Runtime exited with error: signal: killed"),
        (-11, "Runtime exited with error: signal: segmentation fault"),
        (-6, "Runtime exited with error: signal: aborted"),
        (0, "Runtime exited without providing a reason"),
    ],
)
def test_a_process_that_exits_is_an_exit_error(returncode, reason):
    failure = exit_error("id-1", returncode)

    assert json.loads(failure.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: id-1 Error: {reason}",
    }
    assert failure.ends_process


def test_a_timeout_error_names_time_request_and_limit():
    failure = timeout_error("id-1", 3, datetime(2026, 1, 2, 3, 4, 5, 6000, UTC))

    message = "2026-01-02T03:04:05.006Z id-1 Task timed out after 3.00 seconds"
    assert json.loads(failure.payload) == {"errorType": "Sandbox.Timedout", "errorMessage": message}
    assert failure.log == f"{message}\n"


def test_the_error_for_a_response_that_is_too_large_names_both_sizes():
    payload = json.loads(too_large_error(7, 6).payload)

    assert payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert "(7 bytes) exceeded maximum allowed payload size (6 bytes)" in payload["errorMessage"]


@pytest.mark.parametrize(
    ("payload", "error_type"),
    [
        (b'{"errorType": "ValueError"}', "ValueError"),
        (b"not JSON", "Runtime.Unknown"),
        (b"[]", "Runtime.Unknown"),
    ],
)
def test_errors_of_the_runtime_are_passed_on_unchanged(payload, error_type):
    handler, init = handler_error(payload), init_error(payload)

    assert (handler.payload, handler.error_type, handler.ends_process) == (payload, error_type, False)
    assert (init.payload, init.error_type, init.ends_process) == (payload, error_type, True)
