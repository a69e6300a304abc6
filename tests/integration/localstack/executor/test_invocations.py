"""Invocations return the function's response, however they are made."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration.localstack.server import Function, is_alive, wait_for, wait_until_updated, zip_of

WHO = """
import os
def handler(event, context):
    return {
        "pid": os.getpid(),
        "event": event,
        "id": context.aws_request_id,
        "left": context.get_remaining_time_in_millis(),
        "arn": context.invoked_function_arn,
        "version": context.function_version,
    }
"""


def test_an_event_reaches_the_handler_and_its_response_the_caller(deploy):
    function = deploy(WHO, Timeout=5)

    result = function.invoke({"name": "Zoë", "numbers": [1, 2.5, None]})

    assert not result.error
    assert result.payload["event"] == {"name": "Zoë", "numbers": [1, 2.5, None]}
    assert result.payload["version"] == "$LATEST"
    assert result.payload["arn"].endswith(f":function:{function.name}")
    assert 0 < result.payload["left"] <= 5000
    assert f"START RequestId: {result.payload['id']} Version: $LATEST" in result.logs


def test_a_second_invocation_reuses_the_warm_process(deploy):
    function = deploy(WHO)

    cold, warm = function.invoke(), function.invoke()

    assert cold.payload["pid"] == warm.payload["pid"]
    assert "Init Duration: " in cold.logs
    assert "Init Duration: " not in warm.logs


def test_an_exception_is_an_unhandled_error_with_a_stack_trace(deploy):
    function = deploy(
        """
import os
def handler(event, context):
    if event == "pid":
        return os.getpid()
    return broken()

def broken():
    raise ValueError("not found")
"""
    )
    pid = function.invoke("pid").payload

    result = function.invoke("fail")

    assert result.error
    assert result.payload["errorType"] == "ValueError"
    assert result.payload["errorMessage"] == "not found"
    first, second = result.payload["stackTrace"]
    assert re.fullmatch(r'  File "/.+/app\.py", line 6, in handler\n    return broken\(\)\n', first)
    assert "in broken" in second
    assert "[ERROR] ValueError: not found" in result.logs
    assert function.invoke("pid").payload == pid


def test_payloads_of_six_megabytes_pass_in_both_directions(deploy):
    function = deploy("def handler(event, context):\n    return event\n")
    text = "x" * (6 * 2**20 - 100)

    assert function.invoke(text).payload == text


def test_a_response_over_the_limit_is_an_error_and_the_next_invocation_succeeds(deploy):
    function = deploy("def handler(event, context):\n    return 'x' * event\n")

    result = function.invoke(7 * 2**20)

    assert result.error
    assert result.payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert function.invoke(3).payload == "xxx"


def test_an_asynchronous_invocation_runs_and_logs(deploy):
    function = deploy("def handler(event, context):\n    print('got', event)\n")

    response = function.server.client("lambda").invoke(
        FunctionName=function.name, InvocationType="Event", Payload='"an event"'
    )

    assert response["StatusCode"] == 202
    assert "got an event" in function.log_events_with("REPORT RequestId")


def test_an_update_switches_to_the_new_code_and_ends_the_old_process(deploy):
    function = deploy("import os\ndef handler(event, context):\n    return 'old', os.getpid()\n")
    text, pid = function.invoke().payload
    assert text == "old"

    lambda_client = function.server.client("lambda")
    lambda_client.update_function_code(
        FunctionName=function.name,
        ZipFile=zip_of({"app.py": "def handler(event, context):\n    return 'new'\n"}),
    )
    wait_until_updated(function.server, function.name)

    assert function.invoke().payload == "new"
    wait_for(lambda: not is_alive(pid), "the old process to end")


def test_an_invocation_running_during_an_update_completes_with_the_old_code(deploy, tmp_path):
    source = """
import time
from pathlib import Path
def handler(event, context):
    Path(event, "running").touch()
    while not Path(event, "go on").exists():
        time.sleep(0.01)
    return "old"
"""
    function = deploy(source, Timeout=30)
    lambda_client = function.server.client("lambda")

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(function.invoke, str(tmp_path))
        wait_for((tmp_path / "running").exists, "the invocation to run")
        lambda_client.update_function_code(
            FunctionName=function.name, ZipFile=zip_of({"app.py": source.replace("old", "new")})
        )
        wait_until_updated(function.server, function.name)
        (tmp_path / "go on").touch()

        assert running.result().payload == "old"
    assert function.invoke(str(tmp_path)).payload == "new"


def test_an_invocation_leaves_nothing_in_the_emulators_memory_map(deploy):
    """A thread that is never released keeps its stack: two entries, of which a process may have 65,530."""
    function = deploy("def handler(event, context):\n    return event\n")

    def entries() -> int:
        return len(Path(f"/proc/{function.server.process.pid}/maps").read_text().splitlines())

    for number in range(50):  # entries that are added once, on first use
        assert function.invoke(number).payload == number
    before = entries()
    for number in range(100):
        assert function.invoke(number).payload == number
    assert entries() - before < 50


def test_an_alias_with_provisioned_concurrency_runs_in_an_environment_started_before(deploy):
    function = deploy(
        "import os\ndef handler(event, context):\n"
        "    return os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'], context.function_version\n"
    )
    lambda_client = function.server.client("lambda")
    version = lambda_client.publish_version(FunctionName=function.name)["Version"]
    lambda_client.create_alias(FunctionName=function.name, Name="live", FunctionVersion=version)

    _provision(function, "live")

    assert function.invoke(qualifier="live").payload == ["provisioned-concurrency", version]
    assert function.invoke().payload == ["on-demand", "$LATEST"]


def test_provisioned_concurrency_fails_if_the_function_s_init_fails(deploy):
    function = deploy("raise RuntimeError('no')\n")
    lambda_client = function.server.client("lambda")
    version = lambda_client.publish_version(FunctionName=function.name)["Version"]

    assert _provision(function, version) == "FAILED"


def _provision(function: Function, qualifier: str) -> str:
    """Provision one environment and return the final status."""
    lambda_client = function.server.client("lambda")
    which = {"FunctionName": function.name, "Qualifier": qualifier}
    lambda_client.put_provisioned_concurrency_config(**which, ProvisionedConcurrentExecutions=1)

    def status() -> str:
        found = lambda_client.get_provisioned_concurrency_config(**which)["Status"]
        return "" if found == "IN_PROGRESS" else found

    return wait_for(status, "provisioned concurrency")
